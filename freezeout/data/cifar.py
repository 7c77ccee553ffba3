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
from freezeout.data.source import InMemory, hold, hold_out

STALL = 20.0  # seconds without an answer after which a download is given up


def load(config: Cifar10) -> InMemory:
    """50,000 training images, the last `validation` of them held out unless split is "test"; 10,000 test images.

    Raises ValueError when the archive is neither there nor to be had, or is not the published one.
    """
    name, reader, classes = ("cifar100", CIFAR100, 100) if isinstance(config, Cifar100) else ("cifar10", CIFAR10, 10)
    train, test = obtain(name, reader, Path(config.root).expanduser())
    images, labels = np.asarray(train.data), np.asarray(train.targets)
    splits = {"train": (images, labels)} if config.split == "test" else hold_out(images, labels, config.validation)
    splits["test"] = (np.asarray(test.data), np.asarray(test.targets))
    return hold(name, splits, classes, size=config.size)


def obtain(name: str, reader: type[CIFAR10], root: Path) -> tuple[CIFAR10, CIFAR10]:
    """Training and test set from `root`, downloaded there once however many processes ask at the same time."""

    def read() -> tuple[CIFAR10, CIFAR10]:
        return reader(root, train=True), reader(root, train=False)

    with suppress(RuntimeError):  # torchvision's word for absent, half there or damaged
        return read()
    try:
        with locked(root, name), patience(STALL):
            reader(root, download=True)
            return read()
    except Exception as error:  # a network, a disk, an archive: any of them fails in many ways
        raise ValueError(advice(name, reader, root, error)) from error


def advice(name: str, reader: type[CIFAR10], root: Path, error: Exception) -> str:
    """One line: what is wrong, what to fetch and where to put it."""
    reason = " ".join(str(error).split()) or type(error).__name__
    archive, folder = root / reader.filename, root / reader.base_folder
    found = next((path for path in (archive, folder) if path.exists()), None)
    if found is None:
        return f"{name} is not in {root.resolve()} ({reason}): fetch {reader.url} and put {reader.filename} there"
    return (
        f"{name}: {found.resolve()} is corrupt, its checksum is not the published one ({reason}): delete it, fetch"
        f" {reader.url} and put {reader.filename} into {root.resolve()}"
    )


@contextmanager
def locked(root: Path, name: str) -> Iterator[None]:
    """Hold the download of `name` into `root` alone; others wait here, then find it done.

    A folder made for a download that failed, and still empty, is removed.
    """
    path, made = root / f".{name}.lock", False
    while True:
        made = made or not root.exists()
        root.mkdir(parents=True, exist_ok=True)
        with open(path, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.fstat(lock.fileno()).st_nlink:
                continue  # the one waited for failed, and took lock and folder with it
            try:
                yield
            except BaseException:
                if made and os.listdir(root) == [path.name]:
                    path.unlink()
                    root.rmdir()
                raise
            return


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Connections opened inside fail after `seconds` of silence; torchvision's own would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
