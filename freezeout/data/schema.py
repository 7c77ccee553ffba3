"""The fields of each data set; standard library only, so that every job is checked before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from freezeout.checks import check_at_least, check_choice, check_share, check_target

SPLITS = ("validation", "test")
Triple = tuple[float, float, float]  # one number per channel
AUGMENTS = ("crop_flip", "none")

# Images held out for validation if no number is given: a tenth of the training images, at most CIFAR's 5,000.
TENTH, AT_MOST = 10, 5000

CIFAR_IMAGES = 50_000  # of either set, for training and validation

MOST = 1_000_000_000  # images or classes; torch cannot count many more

# The largest side in pixels: a hundred images of this size take 5 GB. The smallest is 2: one pixel cannot be cropped.
LARGEST = 4096


class Outline(NamedTuple):
    """The properties of a data set that determine a run's network, number of steps and cost, without its pixels.

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
        size: Height and width in pixels; None leaves images as they are.

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
        ValueError: It is not a list of strings.
    """
    if not isinstance(files, list | tuple) or not all(isinstance(file, str) for file in files):
        raise ValueError(f"dataset.{split}={files}: must be a list of files, as in dataset.{split}=[{split}.npz]")


@dataclass(kw_only=True)
class HeldOut:
    """Fields of a set without a validation split of its own: the last training images are held out for validation.

    Attributes:
        split: "validation": each epoch's error is that of held-out training images, and the test set is evaluated
            once, at the end. "test": no image is held out, and each epoch's error is that of the test set.
        validation: Number of images to hold out; None: a tenth of the training images, at least 1 and at most 5,000.
        limit: Number of images to train on, of those that are not held out: the same ones in every run, equally many of
            each class to within one; None: all.
        size: Height and width in pixels to which images are resized; None leaves them as they are.
        images: Number of images for training and validation, if it is always the same.
        classes: Number of classes, if it is always the same.
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
        """Number of training images that become the validation split.

        Args:
            images: Number of training images before any is held out.

        Returns:
            Number of images; 0 if split is "test".

        Raises:
            ValueError: No training image would be left.
        """
        if self.split == "test":
            return 0
        count = max(1, min(images // TENTH, AT_MOST)) if self.validation is None else self.validation
        if count >= images:
            raise ValueError(
                f"dataset.validation={count} leaves none of {images} training images: lower it, or give test"
                " images and dataset.split=test"
            )
        return count

    def kept(self, images: int, classes: int) -> int:
        """Number of images to train on.

        Args:
            images: Number of training images that are not held out.
            classes: Number of classes.

        Returns:
            Number of images.

        Raises:
            ValueError: `limit` is above `images`, or below `classes`, so that a class would have no image.
        """
        if self.limit is None:
            return images
        if not classes <= self.limit <= images:
            raise ValueError(
                f"dataset.limit={self.limit}: must be from {classes} (one per class) to {images} (those left"
                " for training); null for all"
            )
        return self.limit


@dataclass(kw_only=True)
class Digits:
    """scikit-learn's handwritten digits: 1,797 images of 8 x 8, a stratified fifth of them (360) for testing.

    Attributes:
        size: Height and width in pixels to which images are resized; None leaves them as they are.
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
        root: The folder that holds the archive, or into which it is downloaded.
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
        root: The folder that holds the archive, or into which it is downloaded.
    """

    images: ClassVar[int | None] = CIFAR_IMAGES
    classes: ClassVar[int] = 100
    root: str

    @property
    def outline(self) -> Outline:
        return cifar_outline(self)


def cifar_outline(fields: Cifar10 | Cifar100) -> Outline:
    """The outline of either CIFAR: images of 32 x 32 pixels, 10,000 of them for testing.

    Args:
        fields: How the set is split and resized.

    Returns:
        The outline of the set when it is loaded.
    """
    side, held_out = fields.size or 32, fields.held_out(CIFAR_IMAGES)
    train = fields.kept(CIFAR_IMAGES - held_out, fields.classes)
    return Outline(fields.classes, (side, side), {"train": train, "validation": held_out, "test": 10_000})


@dataclass(kw_only=True)
class Npz(HeldOut):
    """numpy archives with images x uint8 (n, height, width, 3) and labels y, integers (n,).

    Attributes:
        train: Files of the training set, joined in order; absolute or relative to the working directory.
        test: Files of the test set, likewise; may be empty if split is "validation".
    """

    # Lists of str, but typed Any: OmegaConf would reject a single file name with an error about its own classes.
    train: Any
    test: Any = field(default_factory=list)
    validation: int | None = None
    outline: ClassVar[Outline | None] = None  # known only from the files

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
        size: Number of pixels to which the shorter side of each image is resized; the central square is kept.
        workers: Number of worker processes that read images; with 0, the training process reads.
    """

    root: str
    size: int = 224
    workers: int = 4
    outline: ClassVar[Outline | None] = None  # known only from the folder

    def __post_init__(self) -> None:
        check_size(self.size)
        check_at_least("dataset.workers", self.workers, 0)


@dataclass(kw_only=True)
class Synthetic:
    """Random images and labels, for timing only: results are marked as such and never enter an error plot.

    Attributes:
        size: Height and width in pixels.
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
        target: `package.module:function`. The function returns numpy arrays like those of an npz file, as
            {"train": (x, y), "test": (x, y)}, with "validation" in addition to or instead of "test".
        options: Its keyword arguments.
        size: Height and width in pixels to which images are resized; None leaves them as they are.
    """

    target: str
    options: dict[str, Any] = field(default_factory=dict)
    size: int | None = None
    outline: ClassVar[Outline | None] = None  # known only from the function

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
        views: Number of fixed versions of each image from `views_from` on, one per epoch in turn; None draws a new
            version at every visit.
        views_from: The fraction of training, in [0, 1), from which epochs take views; None: from the first epoch that
            begins with a frozen stage.
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
