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

STALL = 20.0  # seconds without a response after which a download is abandoned


def load(config: Cifar10 | Cifar100) -> InMemory:
    """Reads CIFAR-10 or CIFAR-100, downloading it first if it is not in `config.root`.

    Args:
        config: The folder, and how the set is split and resized.

    Returns:
        50,000 training images, the last of them held out for validation unless `config.split` is "test", and 10,000
        test images; on the CPU. With `config.limit`, fewer of those not held out.

    Raises:
        ValueError: The archive is missing and cannot be downloaded, or is not the published one, or a class has too few
            images for `config.limit`. One line.
    """
    name, reader, classes = ("cifar100", CIFAR100, 100) if isinstance(config, Cifar100) else ("cifar10", CIFAR10, 10)
    train, test = obtain(name, reader, Path(config.root).expanduser())
    splits = training_splits(config, np.asarray(train.data), np.asarray(train.targets), classes)
    splits["test"] = (np.asarray(test.data), np.asarray(test.targets))
    return hold(name, splits, classes, size=config.size)


def obtain(name: str, reader: type[CIFAR10], root: Path) -> tuple[CIFAR10, CIFAR10]:
    """Reads the training and the test set; downloads them only once, even if several processes need them at once.

    Args:
        name: Name of the set, for error messages and the lock file.
        reader: torchvision's class for it.
        root: The folder that holds the archive, or into which it is downloaded.

    Returns:
        Training set and test set.

    Raises:
        ValueError: They are missing and cannot be downloaded. One line: what is wrong and what to do.
    """

    def read() -> tuple[CIFAR10, CIFAR10]:
        return reader(root, train=True), reader(root, train=False)

    with suppress(RuntimeError):  # raised by torchvision if files are absent, incomplete or damaged
        return read()
    try:
        with locked(root, name), timeout(STALL):
            reader(root, download=True)
            return read()
    except Exception as error:  # networks, disks and archives fail with errors of many types
        raise ValueError(advice(name, reader, root, error)) from error


def advice(name: str, reader: type[CIFAR10], root: Path, error: Exception) -> str:
    """What to do about a set that cannot be obtained.

    Args:
        name: Name of the set.
        reader: torchvision's class for it.
        root: The folder where it was expected.
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
    """Lets one process at a time download a set into a folder; the others wait and then find it there.

    If the download fails, a folder that was made for it and is still empty is removed.

    Args:
        root: The folder; it is made if it does not exist.
        name: Name of the set, for the lock file.
    """
    path, made = root / f".{name}.lock", False
    while True:
        made = made or not root.exists()
        root.mkdir(parents=True, exist_ok=True)
        with open(path, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.fstat(lock.fileno()).st_nlink:
                continue  # the other process failed and removed lock and folder
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
    """Makes connections opened inside fail after `seconds` without a response; torchvision sets no limit."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
