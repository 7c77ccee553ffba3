"""The inputs of training steps: images cropped, mirrored and normalised, or cached outputs of frozen stages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from freezeout.data.augment import Table, crop_flip, rescale, scale_and_shift
from freezeout.data.source import InMemory, Source
from freezeout.train.cache import PrefixCache


@dataclass(kw_only=True)
class Inputs:
    """Makes the batches of a training.

    Attributes:
        source: The images and labels.
        device: The device of the batches.
        batch_size: Images per step.
        augment: "crop_flip" or "none".
        channels_last: Whether images are in that memory format.
        at_once: Number of steps whose images are prepared together if the data are on the device: on a GPU, launching
            many small operations is slow.
    """

    source: Source
    device: torch.device
    batch_size: int
    augment: str
    channels_last: bool
    at_once: int

    @cached_property
    def _scale_and_shift(self) -> tuple[Tensor, Tensor]:
        return scale_and_shift(self.source.mean, self.source.std, self.device)

    def images(self, images: Tensor) -> Tensor:
        """Images uint8 (batch, 3, height, width) preprocessed for the network: float32, normalised."""
        x = rescale(images, *self._scale_and_shift)
        return x.contiguous(memory_format=torch.channels_last) if self.channels_last else x

    def batches(self, table: Table) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields the preprocessed images and the labels of each row of a table."""
        there = isinstance(self.source, InMemory)
        rows = self.at_once if there else 1
        order = table.order.to(self.device) if there else table.order
        drawn = [column.to(self.device).split(rows) for column in (table.top, table.left, table.flip)]
        batches = self.source.batches("train", (part.flatten() for part in order.split(rows)))
        for part, (images, labels) in enumerate(batches):
            if self.augment != "none":
                top, left, flip = (column[part].flatten() for column in drawn)
                images = crop_flip(images, top, left, flip, self.source.pad)
            yield from zip(self.images(images).split(self.batch_size), labels.split(self.batch_size), strict=True)

    def remembered(self, table: Table, rows: range, cache: PrefixCache) -> Iterator[tuple[Tensor, Tensor]]:
        """Like `batches`, for some rows of an epoch's table, but with cached outputs instead of images.

        Images without a cached output go through the same stages now, in separate batches.
        """
        size, own = self.batch_size, table.rows(rows)
        places = cache.missing(rows)
        # The last batch is padded with its last image, so that every batch has the shape of a step's.
        places = torch.cat([places, places[-1:].expand(-len(places) % size)]).view(-1, size)
        computed = (cache.computed(images) for images, _ in self.batches(own.at(places)))
        labels = self.source.labels(own.order)
        portions = [range(a, min(a + self.at_once, rows.stop)) for a in range(rows.start, rows.stop, self.at_once)]
        for portion, x in zip(portions, cache.inputs(portions, computed), strict=True):
            mine = labels[portion.start - rows.start : portion.stop - rows.start]
            yield from zip(x.split(size), mine, strict=True)
