"""Pad-and-crop and flip as pure functions of a batch and of a table that is drawn in advance.

No random number is drawn on the device or in a worker process, so a step sees the same images on every device, in a
CUDA graph and after a resume.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from freezeout.checks import check_choice
from freezeout.data.schema import AUGMENTS, Triple


class Table(NamedTuple):
    """The images of an epoch. Row s says which images step s sees and how each is cropped and flipped.

    All tensors are of shape (steps, batch).

    Attributes:
        order: int64, indices of training images.
        top: int64, first row of the crop in the padded image; a value of `pad` does not shift the image.
        left: int64, first column, likewise.
        flip: bool, whether the crop is mirrored left to right.
    """

    order: Tensor
    top: Tensor
    left: Tensor
    flip: Tensor

    def rows(self, rows: range) -> Table:
        """The table of these steps only."""
        return Table(*(column[rows.start : rows.stop] for column in self))

    def at(self, places: Tensor) -> Table:
        """The same images in other batches.

        Args:
            places: int64 (steps, batch), positions in the flattened table.
        """
        return Table(*(column.flatten()[places] for column in self))


@dataclass(frozen=True)
class Views:
    """Fixed versions of each image that epochs take in turn.

    Attributes:
        count: Number of views.
        first_epoch: The first epoch, from 0, that takes a view. Epoch e takes view e modulo count.
    """

    count: int
    first_epoch: int

    def of(self, epoch: int) -> int | None:
        """The view of an epoch; None for an epoch in which all crops are newly drawn."""
        return epoch % self.count if epoch >= self.first_epoch else None


def epoch_table(seed: int, epoch: int, n: int, batch: int, pad: int, kind: str, view: int | None = None) -> Table:
    """Draws the order and the augmentation of one epoch, which depend on the arguments only.

    The remainder of the epoch, n modulo batch images, is dropped.

    Args:
        seed: The run's seed.
        epoch: Number of the epoch, from 0.
        n: Number of training images.
        batch: Images per step.
        pad: Pixels of padding on each side of an image.
        kind: "crop_flip", or "none" for the same order of images without crops and flips.
        view: Number of the view, whose crops and flips are the same in every epoch; None draws new ones.

    Returns:
        The table, on the CPU, of n // batch rows.

    Raises:
        ValueError: `kind` is unknown, or a batch is larger than the training set.
    """
    check_choice("augment.kind", kind, AUGMENTS)
    if batch > n:
        raise ValueError(f"batch_size={batch} is larger than the training set of {n} images: give at most {n}")
    steps = n // batch
    generator = _generator(f"{seed} {epoch}")
    order = torch.randperm(n, generator=generator)[: steps * batch].view(steps, batch)
    if kind == "none":
        centre = torch.full((steps, batch), pad)
        return Table(order, centre, centre.clone(), torch.zeros(steps, batch, dtype=torch.bool))
    if view is None:
        return Table(order, *_crops(generator, pad, (steps, batch)))
    # Drawn for all images, including those that this epoch drops, so that a view does not depend on the epoch.
    crops = _crops(_generator(f"{seed} view {view}"), pad, (n,))
    return Table(order, *(column[order] for column in crops))


def _generator(words: str) -> torch.Generator:
    # Hashed together, so that (seed, epoch + 1) is not (seed + 1, epoch).
    digest = hashlib.sha256(words.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))


def _crops(generator: torch.Generator, pad: int, shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    top, left = torch.randint(2 * pad + 1, (2, *shape), generator=generator)
    return top, left, torch.randint(2, shape, generator=generator).bool()


def crop_flip(images: Tensor, top: Tensor, left: Tensor, flip: Tensor, pad: int) -> Tensor:
    """Pads each image, crops a window of the image's own size and mirrors some of the windows.

    The padding is 0 in raw pixels (black), as in torchvision's RandomCrop; after normalisation it is not 0.

    Args:
        images: uint8 (b, 3, h, w).
        top: int64 (b,), first row of each window in the padded image.
        left: int64 (b,), first column, likewise.
        flip: bool (b,), whether a window is mirrored left to right.
        pad: Pixels of padding on each side.

    Returns:
        uint8 (b, 3, h, w); `images` is not changed.
    """
    b, channels, height, width = images.shape
    padded = functional.pad(images, (pad, pad, pad, pad))
    columns = torch.arange(width, device=images.device)
    row = top[:, None] + torch.arange(height, device=images.device)
    column = left[:, None] + torch.where(flip[:, None], columns.flip(0), columns)
    # One gather over flattened pixels is four times as fast on a CPU as cutting image by image.
    pixel = row[:, :, None] * (width + 2 * pad) + column[:, None, :]
    index = pixel.view(b, 1, -1).expand(b, channels, height * width)
    return padded.view(b, channels, -1).gather(2, index).view(b, channels, height, width)


def normalise(images: Tensor, mean: Triple, std: Triple) -> Tensor:
    """Subtracts each channel's mean and divides by its standard deviation.

    Args:
        images: uint8 (b, 3, h, w), in any memory format.
        mean: Mean of each channel, with pixels in [0, 1].
        std: Standard deviation of each channel, likewise.

    Returns:
        float32 (b, 3, h, w), in the memory format of the images.
    """
    return rescale(images, *scale_and_shift(mean, std, images.device))


def rescale(images: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """`normalise` with constants that are already on the device: copying them in each step would synchronise the GPU.

    Args:
        images: See `normalise`.
        scale, shift: From `scale_and_shift`.

    Returns:
        See `normalise`.
    """
    return torch.mul(images, scale).sub_(shift)


def scale_and_shift(mean: Triple, std: Triple, device: torch.device) -> tuple[Tensor, Tensor]:
    """Factors for pixels in [0, 255] and the numbers subtracted afterwards: float32 (3, 1, 1) each, on the device."""
    scale = [1 / (255 * s) for s in std]
    shift = [m / s for m, s in zip(mean, std, strict=True)]
    both = torch.tensor([scale, shift], dtype=torch.float32).view(2, 3, 1, 1).to(device)
    return both[0], both[1]
