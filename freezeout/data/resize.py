"""Images of another size: areas averaged where they shrink, bilinear where they grow."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional


def resize(images: Tensor, size: int) -> Tensor:
    """Resizes images, whatever their proportions, to a square.

    A side that is too long is shrunk first, by averages over areas (exact, see `shrink`); then one that is too short is
    enlarged: bilinear, rounded to uint8.

    Args:
        images: uint8 (n, 3, h, w).
        size: Pixels a side.

    Returns:
        uint8 (n, 3, size, size).
    """
    resized = torch.empty(len(images), 3, size, size, dtype=torch.uint8)
    # In pieces, because both need several times the memory of their images.
    for piece, out in zip(images.split(200), resized.split(200), strict=True):
        out.copy_(functional.resize(shrink(piece, size), [size, size], antialias=True))
    return resized


def shrink(images: Tensor, size: int) -> Tensor:
    """Shrinks the sides that are longer than `size` to it: each pixel is the mean of the area that it covers.

    The same on every processor: sums of whole numbers, of which a double holds each exactly, and a division that rounds
    halves up. Where a factor is no whole number, a pixel that lies on an edge counts by the share on either side.

    Args:
        images: uint8 (n, 3, h, w).
        size: Pixels a side, at most.

    Returns:
        uint8 (n, 3, min(h, size), min(w, size)).
    """
    height, width = images.shape[2:]
    if max(height, width) <= size:
        return images
    down, across = overlaps(height, min(height, size)), overlaps(width, min(width, size))
    sums = down @ (images.double() @ across.T)
    area = height * width  # what the weights of a pixel add up to
    return ((2 * sums.long() + area) // (2 * area)).to(torch.uint8)


def overlaps(pixels: int, fewer: int) -> Tensor:
    """How much of each of `pixels` in a row lies in each of `fewer` that cover the same length.

    Args:
        pixels: Number of pixels.
        fewer: Number of pixels that they become.

    Returns:
        float64 (fewer, pixels), whole numbers: in units of 1 / `fewer` of a pixel. A row adds up to `pixels`.
    """
    start = torch.arange(fewer)[:, None] * pixels
    own = torch.arange(pixels) * fewer
    return (torch.minimum(start + pixels, own + fewer) - torch.maximum(start, own)).clamp(min=0).double()
