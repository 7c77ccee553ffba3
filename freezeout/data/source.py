"""What training needs of a data set: its sizes, its fingerprint and batches of uint8 images on a device."""

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
from torchvision.transforms.v2 import functional

SPLITS = ("train", "validation", "test")
Arrays = tuple[np.ndarray, np.ndarray]
Triple = tuple[float, float, float]


@dataclass(kw_only=True)
class Source(ABC):
    """A data set of `classes` kinds of RGB images, all of `image` (height, width) pixels.

    sizes: images in each of "train", "validation" and "test"; 0 for a split that there is not.
    fingerprint: hex digest of what is learned from; the same on every machine and in every process.
    synthetic: random data, for timing only.
    mean, std: of each channel, with pixels in [0, 1]. pad: pixels of zero padding around an image to be cropped.
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
    def evaluation_split(self) -> str:
        """The split of each epoch's error: validation where there is one, else the test set."""
        return "validation" if self.sizes["validation"] else "test"

    @abstractmethod
    def to(self, device: torch.device | str) -> Self:
        """Deliver batches on `device` from now on."""

    @abstractmethod
    def batches(self, split: str, order: Tensor | Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Images uint8 (b, 3, h, w) and labels int64 (b,) for each row of `order`: int64 indices into the split."""


@dataclass(kw_only=True)
class InMemory(Source):
    """A data set that lives on the device as uint8: `tensors` holds images (n, 3, h, w) and labels of each split."""

    tensors: dict[str, tuple[Tensor, Tensor]] = field(repr=False)

    def to(self, device: torch.device | str) -> Self:
        self.tensors = {split: (x.to(device), y.to(device)) for split, (x, y) in self.tensors.items()}
        return self

    def batches(self, split: str, order: Tensor | Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        images, labels = self.tensors[split]
        # A table moves to the device once, not a row at a time.
        for row in order.to(images.device) if isinstance(order, Tensor) else order:
            index = row.to(images.device)
            yield images[index], labels[index]


def hold(
    name: str, splits: Mapping[str, Arrays], classes: int, *, size: int | None = None, synthetic: bool = False
) -> InMemory:
    """Arrays x uint8 (n, h, w, 3) and y (n,) of each split as a Source, resized to size x size pixels if given."""
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
        # Of the pixels before resizing: its rounding may differ between processors.
        fingerprint=fingerprint(splits, (height, width)),
        mean=mean,
        std=std,
        synthetic=synthetic,
        tensors=tensors,
    )


def hold_out(x: np.ndarray, y: np.ndarray, validation: int) -> dict[str, Arrays]:
    """The last `validation` images apart from the training ones. Raises ValueError when none would be left."""
    if validation >= len(x):
        raise ValueError(
            f"dataset.validation={validation} leaves nothing of {len(x)} training images: lower it, or give test"
            " images and dataset.split=test"
        )
    cut = len(x) - validation
    return {"train": (x[:cut], y[:cut]), "validation": (x[cut:], y[cut:])}


def resize(images: Tensor, size: int) -> Tensor:
    """Images uint8 (n, 3, h, w) at size x size pixels: bilinear, antialiased, rounded to uint8."""
    resized = torch.empty(len(images), 3, size, size, dtype=torch.uint8)
    # In pieces, because the interpolation works on larger numbers than the images.
    for piece, out in zip(images.split(1000), resized.split(1000), strict=True):
        out.copy_(functional.resize(piece, [size, size], antialias=True))
    return resized


def channel_statistics(images: Tensor) -> tuple[Triple, Triple]:
    """Mean and standard deviation of each channel of uint8 (n, 3, h, w), pixels in [0, 1].

    Exact, from counts of the 256 values: independent of processor, threads and the order of sums.
    A constant channel gets the deviation 1, so that it normalises to 0.
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
    """SHA-256, in hex, of the pixels, labels and shapes of every split and of the size that they are resized to."""
    digest = hashlib.sha256(f"{image}".encode())
    for split in SPLITS:
        if split in splits:
            x, y = splits[split]
            digest.update(f"{split} {x.shape}".encode())
            digest.update(np.ascontiguousarray(x))
            digest.update(np.ascontiguousarray(y, dtype="<i8"))
    return digest.hexdigest()


def eval_order(n: int, batch: int) -> list[Tensor]:
    """All n indices in order, in batches of `batch`; the last may be short."""
    return list(torch.arange(n).split(batch))
