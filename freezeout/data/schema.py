"""The fields of each data set, standard library only: every job is checked before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from freezeout.checks import check_at_least, check_choice, check_share, check_target

SPLITS = ("validation", "test")
Triple = tuple[float, float, float]  # a number for each channel
AUGMENTS = ("crop_flip", "none")

# Images held out for validation where no number is given: a tenth of the training images, at most CIFAR's 5,000.
TENTH, AT_MOST = 10, 5000

CIFAR_IMAGES = 50_000  # of either set, to train and to validate on

MOST = 1_000_000_000  # images, or classes; to many more torch cannot count

# The largest side in pixels: a hundred images of it take 5 GB. Of one pixel no image is left to crop or to resize.
LARGEST = 4096


class Outline(NamedTuple):
    """What of a data set decides a run's network, number of steps and cost, without its pixels.

    Attributes:
        classes: Number of classes.
        image: Height and width of the images in pixels, after resizing.
        sizes: Number of images in "train", "validation" and "test"; 0 for a split that the set does not have.
    """

    classes: int
    image: tuple[int, int]
    sizes: dict[str, int]


def check_size(size: int | None) -> None:
    """Refuse a side length that images cannot be resized to.

    Args:
        size: Pixels a side; None leaves images as they are.

    Raises:
        ValueError: It is less than 2 or more than LARGEST.
    """
    if size is not None:
        check_at_least("dataset.size", size, 2, LARGEST)


def check_files(split: str, files: Any) -> None:
    """Refuse anything but a list of file names.

    Args:
        split: "train" or "test", the field that was given.
        files: Its value.

    Raises:
        ValueError: It is no list, or not all of it is text.
    """
    if not isinstance(files, list | tuple) or not all(isinstance(file, str) for file in files):
        raise ValueError(f"dataset.{split}={files}: must be a list of files, as in dataset.{split}=[{split}.npz]")


@dataclass(kw_only=True)
class HeldOut:
    """Fields of a set without a validation split of its own: the last training images are held out for it.

    Attributes:
        split: "validation": each epoch's error is that of held-out training images, and the test set is evaluated
            once, at the end. "test": no image is held out, and each epoch's error is that of the test set.
        validation: Number of images to hold out; None: a tenth of the training images, at least 1 and at most 5,000.
        limit: Number of images to train on, of those that are not held out: the same ones in every run, of each class
            as many to within one; None: all.
        size: Images are resized to so many pixels a side; None leaves them as they are.
        images: Number of images that the set has to train and to validate on, where it is always the same.
        classes: Number of classes, where it is always the same.
    """

    images: ClassVar[int | None] = None
    classes: ClassVar[int | None] = None
    split: str = "validation"
    validation: int | None = 5000
    limit: int | None = None
    size: int | None = None

    def __post_init__(self) -> None:
        check_choice("dataset.split", self.split, SPLITS)
        if self.validation is not None:
            check_at_least("dataset.validation", self.validation, 1)
        if self.limit is not None:
            check_at_least("dataset.limit", self.limit, 1)
        check_size(self.size)
        if self.images is not None and self.classes is not None:
            self.kept(self.images - self.held_out(self.images), self.classes)

    def held_out(self, images: int) -> int:
        """How many of so many training images become the validation split.

        Args:
            images: Number of training images before any is held out.

        Returns:
            Number of images; 0 where split is "test".

        Raises:
            ValueError: No training image would be left.
        """
        if self.split == "test":
            return 0
        count = max(1, min(images // TENTH, AT_MOST)) if self.validation is None else self.validation
        if count >= images:
            raise ValueError(
                f"dataset.validation={count} leaves nothing of {images} training images: lower it, or give test"
                " images and dataset.split=test"
            )
        return count

    def kept(self, images: int, classes: int) -> int:
        """How many of so many images that are not held out are trained on.

        Args:
            images: Number of training images that are left to train on.
            classes: Number of classes.

        Returns:
            Number of images.

        Raises:
            ValueError: There are fewer, or a class would have none.
        """
        if self.limit is None:
            return images
        if not classes <= self.limit <= images:
            raise ValueError(
                f"dataset.limit={self.limit}: must be from {classes}, an image of each class, to {images}, those left"
                " to train on; null for all"
            )
        return self.limit


@dataclass(kw_only=True)
class Digits:
    """scikit-learn's handwritten digits: 1,797 images of 8 x 8, a stratified fifth of them (360) for testing.

    Attributes:
        size: Images are resized to so many pixels a side; None leaves them as they are.
    """

    size: int | None = None

    def __post_init__(self) -> None:
        check_size(self.size)

    @property
    def outline(self) -> Outline:
        side = self.size or 8
        return Outline(10, (side, side), {"train": 1437, "validation": 0, "test": 360})


@dataclass(kw_only=True)
class Cifar10(HeldOut):
    """CIFAR-10 through torchvision, downloaded and checksummed on first use.

    Attributes:
        root: The folder that holds the archive or shall hold it.
    """

    images: ClassVar[int | None] = CIFAR_IMAGES
    classes: ClassVar[int] = 10
    root: str

    @property
    def outline(self) -> Outline:
        return cifar_outline(self)


@dataclass(kw_only=True)
class Cifar100(HeldOut):
    """CIFAR-100 through torchvision, downloaded and checksummed on first use.

    Attributes:
        root: The folder that holds the archive or shall hold it.
    """

    images: ClassVar[int | None] = CIFAR_IMAGES
    classes: ClassVar[int] = 100
    root: str

    @property
    def outline(self) -> Outline:
        return cifar_outline(self)


def cifar_outline(fields: Cifar10 | Cifar100) -> Outline:
    """The outline of either CIFAR, whose images are of 32 x 32 pixels, 10,000 of them for testing.

    Args:
        fields: How the set is split and resized.

    Returns:
        What the set will be when it is loaded.
    """
    side, held_out = fields.size or 32, fields.held_out(CIFAR_IMAGES)
    train = fields.kept(CIFAR_IMAGES - held_out, fields.classes)
    return Outline(fields.classes, (side, side), {"train": train, "validation": held_out, "test": 10_000})


@dataclass(kw_only=True)
class Npz(HeldOut):
    """numpy archives with images x uint8 (n, height, width, 3) and labels y, integers (n,).

    Attributes:
        train: Files of the training set, joined in order; absolute or relative to the working directory.
        test: Files of the test set, likewise; may be empty where split is "validation".
    """

    # Lists of str, not typed so: OmegaConf would refuse a lone file name itself, and speak of its own classes.
    train: Any
    test: Any = field(default_factory=list)
    validation: int | None = None
    outline: ClassVar[Outline | None] = None  # only the files can tell

    def __post_init__(self) -> None:
        super().__post_init__()
        check_files("train", self.train)
        check_files("test", self.test)
        if not self.train:
            raise ValueError("dataset.train=[]: name at least one file, as in dataset.train=[train.npz]")
        names = [*self.train, *self.test]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"dataset.train, dataset.test: {twice[0]} is named twice; its images are read once")
        if self.split == "test" and not self.test:
            raise ValueError("dataset.split=test: needs test images; name their files, as in dataset.test=[test.npz]")


@dataclass(kw_only=True)
class ImageFolder:
    """A folder with train/CLASS/IMAGE, and val/CLASS/IMAGE or test/CLASS/IMAGE or both.

    Attributes:
        root: The folder.
        size: The shorter side of each image is resized to so many pixels, and the middle square is kept.
        workers: Number of processes that read; 0 reads in the training process.
    """

    root: str
    size: int = 224
    workers: int = 4
    outline: ClassVar[Outline | None] = None  # only the folder can tell

    def __post_init__(self) -> None:
        check_size(self.size)
        check_at_least("dataset.workers", self.workers, 0)


@dataclass(kw_only=True)
class Synthetic:
    """Random images and labels, for timing only: results are marked as such and never enter an error plot.

    Attributes:
        size: Pixels a side.
        classes: Number of classes.
        train: Number of training images.
        test: Number of test images.
    """

    size: int = 32
    classes: int = 10
    train: int = 50_000
    test: int = 10_000

    def __post_init__(self) -> None:
        check_size(self.size)
        for name in ("classes", "train", "test"):
            check_at_least(f"dataset.{name}", getattr(self, name), 1, MOST)

    @property
    def outline(self) -> Outline:
        return Outline(self.classes, (self.size, self.size), {"train": self.train, "validation": 0, "test": self.test})


@dataclass(kw_only=True)
class Python:
    """Images from a function of the user's own.

    Attributes:
        target: `package.module:function`. The function returns {"train": (x, y), "test": (x, y)}, with "validation"
            too or in place of "test", numpy arrays like those of an npz file.
        options: Its keyword arguments.
        size: Images are resized to so many pixels a side; None leaves them as they are.
    """

    target: str
    options: dict[str, Any] = field(default_factory=dict)
    size: int | None = None
    outline: ClassVar[Outline | None] = None  # only the function can tell

    def __post_init__(self) -> None:
        check_size(self.size)
        check_target("dataset.target", self.target)


DATASETS: dict[str, type] = {
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
    """The random changes to each training image.

    Attributes:
        kind: "crop_flip" (a crop of the zero-padded image, mirrored or not) or "none".
        views: How many fixed versions each image has from `views_from` on, taken in turn, one an epoch; None draws a
            new one at every visit.
        views_from: The fraction of training, in [0, 1), from which on epochs take views; None: from the first epoch
            that begins with a frozen stage.
    """

    kind: str = "crop_flip"
    views: int | None = None
    views_from: float | None = None

    def __post_init__(self) -> None:
        check_choice("augment.kind", self.kind, AUGMENTS)
        if self.views is not None:
            check_at_least("augment.views", self.views, 1)
            if self.kind == "none":
                raise ValueError(f"augment.views={self.views}: augment=none has one view of each image; leave it null")
        if self.views_from is not None:
            check_share("augment.views_from", self.views_from, zero=True, one=False)
            if self.views is None:
                raise ValueError(
                    f"augment.views_from={self.views_from:g}: says when views begin; give augment.views too"
                )
