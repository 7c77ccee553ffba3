"""A folder of image files, root/train/CLASS/* and root/val or root/test, for sets that do not fit in memory.

Worker processes read, resize and centre-crop images and draw no random numbers; random crops and flips are done on the
device.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder as Layout
from torchvision.datasets.folder import is_image_file
from torchvision.transforms.v2 import functional

from freezeout.data.schema import ImageFolder
from freezeout.data.source import SPLITS, Source

FOLDERS = {"train": "train", "validation": "val", "test": "test"}

# Per channel, of ImageNet's training set: torchvision's constants. Measuring a large folder would take hours.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

# Up to this many bytes, every image is decoded once before training: a few seconds.
CHECKED = 64 * 2**20


def load(config: ImageFolder) -> Folder:
    """Lists the files of each split and decodes those of a small set once, to find damage before training does.

    Args:
        config: The folder, the size that images are resized to, and the number of worker processes.

    Returns:
        The data set, which reads from the folder when it is asked for batches.

    Raises:
        ValueError: A folder or a class has no images, the splits have different classes, or (where all files together
            have at most 64 MiB) an image is damaged. One line, which names the folder or the file.
    """
    root = Path(config.root).expanduser()
    layouts = {split: find(root / sub) for split, sub in FOLDERS.items() if (root / sub).is_dir()}
    if "train" not in layouts or len(layouts) == 1:
        raise ValueError(f"dataset.root={root}: must hold train/CLASS/ with images, and val/CLASS/ or test/CLASS/")
    classes = layouts["train"].classes
    for split, layout in layouts.items():
        if difference := sorted(set(classes) ^ set(layout.classes)):
            raise ValueError(f"{root / FOLDERS[split]}: class {difference[0]} is not in both this and {root / 'train'}")
    samples = {split: layouts[split].samples if split in layouts else [] for split in SPLITS}
    files = [path for split in SPLITS for path, _ in samples[split]]
    byte_counts = [os.path.getsize(path) for path in files]
    is_small = sum(byte_counts) <= CHECKED
    if is_small:
        check_images(files)
    digest = hashlib.sha256(f"{config.size}".encode())
    labels = [label for split in SPLITS for _, label in samples[split]]
    for path, count, label in zip(files, byte_counts, labels, strict=True):
        digest.update(f"{Path(path).relative_to(root).as_posix()} {count} {label}\n".encode())
        if is_small:  # for a large set, names and sizes must do: reading it would take as long as an epoch
            digest.update(Path(path).read_bytes())
    return Folder(
        name="image_folder",
        classes=len(classes),
        image=(config.size, config.size),
        sizes={split: len(samples[split]) for split in SPLITS},
        fingerprint=digest.hexdigest(),
        mean=MEAN,
        std=STD,
        files=Files(files, labels, config.size),
        workers=min(config.workers, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 8),
    )


def find(folder: Path) -> Layout:
    """The classes and files of one split.

    Args:
        folder: The folder of the split, which contains one folder per class.

    Returns:
        Classes and samples in torchvision's order.

    Raises:
        ValueError: There are no class folders in it, or one of them has no images.
    """
    try:
        return Layout(folder)
    except FileNotFoundError as error:  # no class folders, or a class without images
        empty = next((sub.name for sub in sorted(folder.iterdir()) if sub.is_dir() and not has_image(sub)), None)
        what = "there are no class folders in it" if empty is None else f"class {empty} has no images"
        raise ValueError(f"{folder}: {what}; it must hold CLASS/IMAGE files") from error


def has_image(folder: Path) -> bool:
    """Whether a folder, or one inside it, contains a file with an image's extension."""
    return any(is_image_file(str(path)) for path in folder.rglob("*"))


def check_images(files: list[str]) -> None:
    """Decodes every file, several at a time.

    Raises:
        ValueError: One is damaged; the message names the first, in the given order.
    """
    with ThreadPoolExecutor() as pool:
        for _ in pool.map(decode, files):
            pass


def decode(path: str) -> Image.Image:
    """The image of a file in RGB.

    Raises:
        ValueError: It cannot be read, for whatever reason. One line, which begins with `path`.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except Exception as error:  # decoders report damage by errors of many types
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: a corrupt image ({reason}): replace or remove it") from error


class Files(Dataset):
    """The files of all splits, one split after another; a batch is given by a list of indices.

    Args:
        files: Paths.
        labels: The class of each.
        size: Height and width in pixels of the images delivered.
    """

    def __init__(self, files: list[str], labels: list[int], size: int) -> None:
        self.files, self.labels, self.size = files, labels, size

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor] | str:
        """Reads one batch.

        Returns:
            Images uint8 (b, 3, size, size) and labels int64 (b,). If a file is damaged, the error's message: an
            exception would leave the worker process with its traceback as text.
        """
        try:
            images = torch.stack([self.image(self.files[i]) for i in indices])
        except ValueError as error:
            return str(error)
        return images, torch.tensor([self.labels[i] for i in indices])

    def image(self, path: str) -> Tensor:
        """The central square of an image whose shorter side is resized to `size` pixels (bilinear, antialiased)."""
        image = functional.resize(decode(path), [self.size], antialias=True)
        return functional.pil_to_tensor(functional.center_crop(image, [self.size, self.size]))


def as_is(batch: Any) -> Any:
    """The batch unchanged: the data set returns whole batches. (A lambda cannot be sent to worker processes.)"""
    return batch


def end_with_parent(_: int) -> None:
    """Ends this worker process as soon as the training process has ended, for whatever reason.

    torch's workers watch only the process that forked them. Here that is the fork server, which itself runs as long as
    one of its workers does, so that neither would ever end.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Rows:
    """The batches of the current iteration, as the sampler of a loader that is kept from epoch to epoch.

    A separate object, because a loader that referred to its Folder would form a reference cycle, and the workers would
    end only when the garbage collector finds it.
    """

    def __init__(self) -> None:
        self.rows: list[list[int]] = []  # replaced, never modified in place: each iteration has its own list

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.rows)


@dataclass(kw_only=True)
class Folder(Source):
    """A data set that is read from disk by worker processes, which run as long as it exists.

    Attributes:
        files: The files of all splits.
        workers: Number of worker processes; with 0, this process reads.
        device: The device on which batches are delivered.
        current: The batches of the current iteration.
        loader: Started with the first iteration; None before it and after a damaged image.
    """

    files: Files = field(repr=False)
    workers: int
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    current: Rows = field(default_factory=Rows, init=False, repr=False)
    loader: DataLoader | None = field(default=None, init=False, repr=False)

    def to(self, device: torch.device | str) -> Self:
        self.device = torch.device(device)
        self.loader = None
        return self

    def labels(self, index: Tensor) -> Tensor:
        return torch.tensor(self.files.labels)[index].to(self.device)  # training images come first

    def batches(self, split: str, order: Tensor | Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """See Source.batches. The workers serve one iteration at a time: starting another ends the one before.

        Raises:
            ValueError: A file is damaged. One line, which names it.
            RuntimeError: An iteration is continued after another was started.
        """
        first = sum(self.sizes[s] for s in SPLITS[: SPLITS.index(split)])
        rows = self.current.rows = [(row + first).tolist() for row in order]
        if self.loader is None:
            self.loader = self.start()
        served = iter(self.loader)
        for _ in rows:
            if self.current.rows is not rows:
                raise RuntimeError(f"the workers have begun another iteration: read all batches of {split} first")
            batch = next(served)
            if isinstance(batch, str):
                # Dropped here, so that the workers end now: the error's traceback would keep them alive.
                del served
                self.loader = None
                raise ValueError(batch)
            images, labels = batch
            yield images.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)

    def start(self) -> DataLoader:
        """A loader that reads the batches of `current`, with its worker processes."""
        context = None
        if self.workers:
            # Forked from a server process that only imports this module: a fork of this process would copy locks
            # currently held by its other threads.
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload([__name__])
        return DataLoader(
            self.files,
            batch_sampler=self.current,
            num_workers=self.workers,
            collate_fn=as_is,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # the loader draws seeds for its workers: not from the run's generator
            multiprocessing_context=context,
            worker_init_fn=end_with_parent,
            persistent_workers=self.workers > 0,
        )
