"""The fields of each data set, standard library only: every job is checked before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from freezeout.checks import check_at_least, check_choice

SPLITS = ("validation", "test")
AUGMENTS = ("crop_flip", "none")

# Classes, (height, width) and number of training images, of a set whose fields say them before it is read.
Outline = tuple[int, tuple[int, int], int]


# The largest side in pixels: a hundred images of it take 5 GB. Of one pixel no image is left to crop or to resize.
LARGEST = 4096


def check_size(size: int | None) -> None:
    if size is None:
        return
    check_at_least("dataset.size", size, 2)
    if size > LARGEST:
        raise ValueError(f"dataset.size={size}: must be at most {LARGEST}")


def check_files(split: str, files: Any) -> None:
    if not isinstance(files, list | tuple) or not all(isinstance(file, str) for file in files):
        raise ValueError(f"dataset.{split}={files}: must be a list of files, as in dataset.{split}=[{split}.npz]")


@dataclass(kw_only=True)
class Digits:
    """scikit-learn's handwritten digits: 1,797 images of 8 x 8, a stratified fifth of them (360) for testing."""

    size: int | None = None

    def __post_init__(self) -> None:
        check_size(self.size)

    @property
    def outline(self) -> Outline:
        side = self.size or 8
        return 10, (side, side), 1437


@dataclass(kw_only=True)
class Cifar10:
    """CIFAR-10 through torchvision, downloaded and checksummed on first use into `root`."""

    classes: ClassVar[int] = 10
    root: str
    split: str = "validation"
    validation: int = 5000
    size: int | None = None

    def __post_init__(self) -> None:
        check_choice("dataset.split", self.split, SPLITS)
        check_at_least("dataset.validation", self.validation, 1)
        check_size(self.size)

    @property
    def outline(self) -> Outline:
        side = self.size or 32
        return self.classes, (side, side), 50_000 - (self.validation if self.split == "validation" else 0)


@dataclass(kw_only=True)
class Cifar100(Cifar10):
    """CIFAR-100 through torchvision, downloaded and checksummed on first use into `root`."""

    classes: ClassVar[int] = 100


@dataclass(kw_only=True)
class Npz:
    """numpy archives with x uint8 (n, h, w, 3) and y (n,); several files of a split are joined in order.

    The last `validation` training images are held out, unless split is "test". Paths are relative to the working
    directory.
    """

    # Lists of str. Typed so, OmegaConf would refuse a lone name before this does, in words about its own classes.
    train: Any
    test: Any = field(default_factory=list)
    split: str = "validation"
    validation: int = 5000
    size: int | None = None

    def __post_init__(self) -> None:
        check_choice("dataset.split", self.split, SPLITS)
        check_at_least("dataset.validation", self.validation, 1)
        check_size(self.size)
        check_files("train", self.train)
        check_files("test", self.test)
        if not self.train:
            raise ValueError("dataset.train=[]: name at least one file, as in dataset.train=[train.npz]")
        if self.split == "test" and not self.test:
            raise ValueError("dataset.split=test: needs test images; name their files, as in dataset.test=[test.npz]")


@dataclass(kw_only=True)
class ImageFolder:
    """A folder with train/CLASS/image and val/CLASS/image or test/CLASS/image, read by worker processes, resized."""

    root: str
    size: int = 224
    workers: int = 4

    def __post_init__(self) -> None:
        check_size(self.size)
        check_at_least("dataset.workers", self.workers, 0)


@dataclass(kw_only=True)
class Synthetic:
    """Random images and labels: for timing only; its results say so and never enter an error plot."""

    size: int = 32
    classes: int = 10
    train: int = 50_000
    test: int = 10_000

    def __post_init__(self) -> None:
        check_size(self.size)
        for name in ("classes", "train", "test"):
            check_at_least(f"dataset.{name}", getattr(self, name), 1)

    @property
    def outline(self) -> Outline:
        return self.classes, (self.size, self.size), self.train


@dataclass(kw_only=True)
class Python:
    """Images of the user's own: target = package.module:function, called with the options.

    It returns {"train": (x, y), "test": (x, y)}, and "validation" or not, as numpy arrays like those of an npz file.
    """

    target: str
    options: dict[str, Any] = field(default_factory=dict)
    size: int | None = None

    def __post_init__(self) -> None:
        check_size(self.size)
        module, _, function = self.target.partition(":")
        if not module or not function:
            raise ValueError(f"dataset.target={self.target}: must be package.module:function")


DATASETS = {
    "digits": Digits,
    "cifar10": Cifar10,
    "cifar100": Cifar100,
    "npz": Npz,
    "image_folder": ImageFolder,
    "synthetic": Synthetic,
    "python": Python,
}


@dataclass(kw_only=True)
class Augment:
    """What is drawn for each training image: crop_flip (zero-padded crop, horizontal flip) or none."""

    kind: str = "crop_flip"

    def __post_init__(self) -> None:
        check_choice("augment.kind", self.kind, AUGMENTS)
