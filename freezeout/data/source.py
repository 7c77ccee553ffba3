"""A loaded data set: its sizes, its fingerprint and batches of uint8 images on a device."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import torch
from torch import Tensor

from freezeout.data.resize import resize
from freezeout.data.schema import Outline, Triple

SPLITS = ("train", "validation", "test")
Arrays = tuple[np.ndarray, np.ndarray]  # x uint8 (n, height, width, 3) and y integers (n,)


@dataclass(kw_only=True)
class Source(ABC):
    """A loaded data set of RGB images, all of one size.

    Attributes:
        name: The key of DATASETS that it was loaded under.
        classes: Number of classes.
        image: Height and width in pixels.
        sizes: Number of images in "train", "validation" and "test"; 0 for a split that the set does not have.
        fingerprint: Hex digest of the data; the same on every machine and in every process.
        mean: Mean of each channel over the training images, with pixels in [0, 1].
        std: Standard deviation of each channel, likewise.
        synthetic: Whether images and labels are random, for timing only.
        pad: Pixels of zero padding around an image that is to be cropped.
    """

    name: str
    classes: int
    image: tuple[int, int]
    sizes: dict[str, int]
    fingerprint: str
    mean: Triple
    std: Triple
    synthetic: bool = False
    pad: int = field(init=False)

    def __post_init__(self) -> None:
        # An eighth of the side, as the usual 4 pixels are of 32.
        self.pad = max(1, min(self.image) // 8)

    @property
    def outline(self) -> Outline:
        """The set's outline; some schemas can give it before the set is loaded."""
        return Outline(self.classes, self.image, self.sizes)

    @property
    def evaluation_split(self) -> str:
        """The split of each epoch's error: "validation" if there is one, else "test"."""
        return "validation" if self.sizes["validation"] else "test"

    @abstractmethod
    def to(self, device: torch.device | str) -> Self:
        """Makes the set deliver batches on `device` from now on. Returns the data set itself."""

    @abstractmethod
    def labels(self, index: Tensor) -> Tensor:
        """Labels of training images, int64, on the device.

        Args:
            index: Indices of images, int64, of any shape.
        """

    @abstractmethod
    def batches(self, split: str, order: Tensor | Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields the batches given by an order, one after another.

        Args:
            split: "train", "validation" or "test".
            order: Rows of int64 indices (b,) into the split; each is a batch.

        Yields:
            Images uint8 (b, 3, h, w) and labels int64 (b,), on the device.
        """


@dataclass(kw_only=True)
class InMemory(Source):
    """A data set that lives on the device.

    Attributes:
        tensors: Images uint8 (n, 3, h, w) and labels int64 (n,) of each split.
    """

    tensors: dict[str, tuple[Tensor, Tensor]] = field(repr=False)

    def to(self, device: torch.device | str) -> Self:
        self.tensors = {split: (x.to(device), y.to(device)) for split, (x, y) in self.tensors.items()}
        return self

    def labels(self, index: Tensor) -> Tensor:
        labels = self.tensors["train"][1]
        return labels[index.to(labels.device)]

    def batches(self, split: str, order: Tensor | Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        images, labels = self.tensors[split]
        # A tensor of all rows is moved to the device at once, not row by row.
        for row in order.to(images.device) if isinstance(order, Tensor) else order:
            index = row.to(images.device)
            yield images[index], labels[index]


def hold(
    name: str, splits: Mapping[str, Arrays], classes: int, *, size: int | None = None, synthetic: bool = False
) -> InMemory:
    """Makes a data set from arrays.

    Args:
        name: Name of the set.
        splits: x uint8 (n, h, w, 3) and y integers (n,) of "train" and of any other split.
        classes: Number of classes.
        size: Height and width in pixels to which images are resized; None leaves them as they are.
        synthetic: Whether images and labels are random, for timing only.

    Returns:
        The data set, on the CPU.
    """
    tensors = {}
    for split, (x, y) in splits.items():
        images = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
        tensors[split] = (resize(images, size) if size else images, torch.from_numpy(y.astype(np.int64)))
    mean, std = channel_statistics(tensors["train"][0])
    height, width = tensors["train"][0].shape[2:]
    return InMemory(
        name=name,
        classes=classes,
        image=(height, width),
        sizes={split: len(splits[split][0]) if split in splits else 0 for split in SPLITS},
        # Of the pixels before resizing: enlarging may round differently on another processor.
        fingerprint=fingerprint(splits, (height, width)),
        mean=mean,
        std=std,
        synthetic=synthetic,
        tensors=tensors,
    )


def channel_statistics(images: Tensor) -> tuple[Triple, Triple]:
    """Mean and standard deviation of each channel.

    Exact, from counts of the 256 values, so independent of processor, threads and the order of summation.

    Args:
        images: uint8 (n, 3, h, w).

    Returns:
        Means and standard deviations, with pixels in [0, 1]. The deviation of a constant channel is given as 1, so that
        it normalises to 0.
    """
    means, deviations = [], []
    for channel in range(3):
        counts = torch.bincount(images[:, channel].flatten(), minlength=256).tolist()
        n = sum(counts)
        total = sum(count * value for value, count in enumerate(counts))
        squares = sum(count * value**2 for value, count in enumerate(counts))
        means.append(total / (255 * n))
        deviations.append(math.sqrt(n * squares - total**2) / (255 * n) or 1.0)
    return (means[0], means[1], means[2]), (deviations[0], deviations[1], deviations[2])


def fingerprint(splits: Mapping[str, Arrays], image: tuple[int, int]) -> str:
    """A hash of the data: equal for equal pixels and labels, whatever their memory layout.

    Args:
        splits: x uint8 (n, h, w, 3) and y integers (n,) of each split, before resizing.
        image: Height and width in pixels after resizing.

    Returns:
        SHA-256, in hex, of the pixels, labels and shapes of every split and of `image`, and of the method of shrinking
        if images are shrunk.
    """
    digest = hashlib.sha256(f"{image}".encode())
    for split in SPLITS:
        if split in splits:
            x, y = splits[split]
            digest.update(f"{split} {x.shape}".encode())
            if x.shape[1] > image[0] or x.shape[2] > image[1]:
                digest.update(b"area")  # earlier versions shrank images by another method
            digest.update(np.ascontiguousarray(x))
            digest.update(np.ascontiguousarray(y, dtype="<i8"))
    return digest.hexdigest()


def eval_order(n: int, batch: int) -> list[Tensor]:
    """The order in which an evaluation sees a split: every image once.

    Args:
        n: Number of images.
        batch: Images per batch.

    Returns:
        Indices int64 in order, `batch` in each tensor; fewer in the last if n is not a multiple.
    """
    return list(torch.arange(n).split(batch))
