"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) through torchvision, downloaded and checksummed on first use."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from torchvision.datasets import CIFAR10, CIFAR100

from freezeout.data.schema import Cifar10, Cifar100
from freezeout.data.source import InMemory, hold
from freezeout.data.split import training_splits

STALL = 20.0  # seconds without an answer after which a download is abandoned


def load(config: Cifar10 | Cifar100) -> InMemory:
    """Reads CIFAR-10 or CIFAR-100, downloading it first where it is not in `config.root`.

    Args:
        config: The folder, and how the set is split and resized.

    Returns:
        50,000 training images, the last of them held out for validation unless `config.split` is "test", and 10,000
        test images; on the CPU. Fewer train where `config.limit` says so.

    Raises:
        ValueError: The archive is neither there nor can be downloaded, or is not the published one, or a class has too
            few images for `config.limit`. One line.
    """
    name, reader, classes = ("cifar100", CIFAR100, 100) if isinstance(config, Cifar100) else ("cifar10", CIFAR10, 10)
    train, test = obtain(name, reader, Path(config.root).expanduser())
    splits = training_splits(config, np.asarray(train.data), np.asarray(train.targets), classes)
    splits["test"] = (np.asarray(test.data), np.asarray(test.targets))
    return hold(name, splits, classes, size=config.size)


def obtain(name: str, reader: type[CIFAR10], root: Path) -> tuple[CIFAR10, CIFAR10]:
    """Reads the training and the test set; downloads them once, however many processes ask at the same time.

    Args:
        name: What the set is called in error messages and in the name of the lock file.
        reader: torchvision's class for it.
        root: The folder that holds the archive, or shall hold it.

    Returns:
        Training set and test set.

    Raises:
        ValueError: They are not there and cannot be downloaded. One line: what is wrong and what to do.
    """

    def read() -> tuple[CIFAR10, CIFAR10]:
        return reader(root, train=True), reader(root, train=False)

    with suppress(RuntimeError):  # raised by torchvision where files are absent, incomplete or damaged
        return read()
    try:
        with locked(root, name), timeout(STALL):
            reader(root, download=True)
            return read()
    except Exception as error:  # a network, a disk, an archive: any of them fails in many ways
        raise ValueError(advice(name, reader, root, error)) from error


def advice(name: str, reader: type[CIFAR10], root: Path, error: Exception) -> str:
    """What to do about a set that cannot be obtained.

    Args:
        name: What the set is called.
        reader: torchvision's class for it.
        root: The folder that it was looked for in.
        error: Why it could not be downloaded or read.

    Returns:
        One line: what is wrong, what to fetch and where to put it.
    """
    reason = " ".join(str(error).split()) or type(error).__name__
    archive, folder = root / reader.filename, root / reader.base_folder
    found = next((path for path in (archive, folder) if path.exists()), None)
    if found is None:
        return f"{name} is not in {root.absolute()} ({reason}): fetch {reader.url} and put {reader.filename} there"
    return (
        f"{name}: {found.absolute()} is corrupt, its checksum is not the published one ({reason}): delete it, fetch"
        f" {reader.url} and put {reader.filename} into {root.absolute()}"
    )


@contextmanager
def locked(root: Path, name: str) -> Iterator[None]:
    """Lets one process at a time download a set into a folder; the others wait, then find it there.

    A folder that was made for a download that failed, and is still empty, is removed.

    Args:
        root: The folder, made where it does not exist.
        name: The set, which names the lock file.
    """
    path, made = root / f".{name}.lock", False
    while True:
        made = made or not root.exists()
        root.mkdir(parents=True, exist_ok=True)
        with open(path, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.fstat(lock.fileno()).st_nlink:
                continue  # the process waited for failed, and removed lock and folder
            try:
                yield
            except BaseException:
                if made and os.listdir(root) == [path.name]:
                    path.unlink()
                    root.rmdir()
                raise
            return


@contextmanager
def timeout(seconds: float) -> Iterator[None]:
    """Makes connections that are opened inside fail after `seconds` without an answer; torchvision sets no limit."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
