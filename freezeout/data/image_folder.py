"""A folder of image files, root/train/CLASS/* and root/val or root/test, for sets that do not fit in memory.

Worker processes read, resize and cut out the centre; nothing random happens there. Crops and flips are for the device.
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
    """Raises ValueError naming a folder or class without images, classes that disagree, or a damaged image.

    Images of a set beyond 64 MiB are decoded only as training meets them; a damaged one is named then.
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
    if sum(byte_counts) <= CHECKED:
        check_images(files)
    digest = hashlib.sha256(f"{config.size}".encode())
    labels = [label for split in SPLITS for _, label in samples[split]]
    for path, count, label in zip(files, byte_counts, labels, strict=True):
        digest.update(f"{Path(path).relative_to(root).as_posix()} {count} {label}\n".encode())
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
    try:
        return Layout(folder)
    except FileNotFoundError as error:  # torchvision's word for no class folders, and for a class without images
        empty = next((sub.name for sub in sorted(folder.iterdir()) if sub.is_dir() and not has_image(sub)), None)
        what = "there are no class folders in it" if empty is None else f"class {empty} has no images"
        raise ValueError(f"{folder}: {what}; it must hold CLASS/IMAGE files") from error


def has_image(folder: Path) -> bool:
    return any(is_image_file(str(path)) for path in folder.rglob("*"))


def check_images(files: list[str]) -> None:
    """Decode every file. Raises ValueError naming the first, in order, that is damaged."""
    with ThreadPoolExecutor() as pool:
        for _ in pool.map(decode, files):
            pass


def decode(path: str) -> Image.Image:
    """The image in RGB. Raises ValueError naming the file."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except Exception as error:  # decoders report damage with whatever comes to hand
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: a corrupt image ({reason}): replace or remove it") from error


class Files(Dataset):
    """Batches of the files of all splits, one after another, by index."""

    def __init__(self, files: list[str], labels: list[int], size: int) -> None:
        self.files, self.labels, self.size = files, labels, size

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor] | str:
        """Images uint8 (b, 3, size, size) and labels, or what is wrong, as text: an error would come out of a worker
        wrapped in its traceback."""
        try:
            images = torch.stack([self.image(self.files[i]) for i in indices])
        except ValueError as error:
            return str(error)
        return images, torch.tensor([self.labels[i] for i in indices])

    def image(self, path: str) -> Tensor:
        """The middle square of the image, its shorter side resized to `size` (bilinear, antialiased)."""
        image = functional.resize(decode(path), [self.size], antialias=True)
        return functional.pil_to_tensor(functional.center_crop(image, [self.size, self.size]))


def as_is(batch: Any) -> Any:
    return batch


def end_with_parent(_: int) -> None:
    """End this worker as soon as the process that reads from it is gone, and with the last of them their server.

    torch's workers watch their parent; that is the server, which lives as long as a worker does.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Rows:
    """The batches of the present iteration: a sampler for workers that outlive an epoch.

    Apart from the folder, which would else refer to itself and leave its workers to the garbage collector.
    """

    def __init__(self) -> None:
        self.rows: list[list[int]] = []  # replaced, never changed: another list is another iteration

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.rows)


@dataclass(kw_only=True)
class Folder(Source):
    """A data set read from disk by `workers` processes (0: by this one) that live as long as it."""

    files: Files = field(repr=False)
    workers: int
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    current: Rows = field(default_factory=Rows, init=False, repr=False)
    loader: DataLoader | None = field(default=None, init=False, repr=False)

    def to(self, device: torch.device | str) -> Self:
        self.device = torch.device(device)
        self.loader = None
        return self

    def batches(self, split: str, order: Tensor | Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches as they come from the workers, which serve one iteration at a time: a new one ends the last.

        Raises ValueError naming a damaged file, RuntimeError when an ended iteration is continued.
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
                # The workers end now; held by the traceback, they would go on until that is collected.
                del served
                self.loader = None
                raise ValueError(batch)
            images, labels = batch
            yield images.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)

    def start(self) -> DataLoader:
        context = None
        if self.workers:
            # From a clean server process, which imports this module once: a fork of this one would copy held locks.
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
