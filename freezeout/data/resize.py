"""Resizing images: area averages to shrink, bilinear interpolation to enlarge."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional


def resize(images: Tensor, size: int) -> Tensor:
    """Resizes images, whatever their aspect ratio, to a square.

    Sides that are too long are shrunk first, by area averages (exact, see `shrink`); then sides that are too short are
    enlarged by bilinear interpolation, rounded to uint8.

    Args:
        images: uint8 (n, 3, h, w).
        size: Height and width of the result in pixels.

    Returns:
        uint8 (n, 3, size, size).
    """
    resized = torch.empty(len(images), 3, size, size, dtype=torch.uint8)
    # In pieces, because both steps need several times the memory of their images.
    for piece, out in zip(images.split(200), resized.split(200), strict=True):
        out.copy_(functional.resize(shrink(piece, size), [size, size], antialias=True))
    return resized


def shrink(images: Tensor, size: int) -> Tensor:
    """Shrinks sides longer than `size` to `size`: each new pixel is the mean of the area that it covers.

    The result is the same on every processor: integer sums, which float64 represents exactly, and a division that
    rounds halves up. If the factor is not an integer, a pixel on an edge contributes to both sides in proportion.

    Args:
        images: uint8 (n, 3, h, w).
        size: Largest height and width of the result in pixels.

    Returns:
        uint8 (n, 3, min(h, size), min(w, size)).
    """
    height, width = images.shape[2:]
    if max(height, width) <= size:
        return images
    down, across = overlaps(height, min(height, size)), overlaps(width, min(width, size))
    sums = down @ (images.double() @ across.T)
    area = height * width  # the sum of the weights of a new pixel
    return ((2 * sums.long() + area) // (2 * area)).to(torch.uint8)


def overlaps(pixels: int, fewer: int) -> Tensor:
    """The overlap of each of `pixels` old pixels with each of `fewer` new pixels that cover the same length.

    Args:
        pixels: Number of old pixels.
        fewer: Number of new pixels.

    Returns:
        float64 (fewer, pixels), integers in units of 1 / `fewer` of an old pixel. Each row adds up to `pixels`.
    """
    start = torch.arange(fewer)[:, None] * pixels
    own = torch.arange(pixels) * fewer
    return (torch.minimum(start + pixels, own + fewer) - torch.maximum(start, own)).clamp(min=0).double()
