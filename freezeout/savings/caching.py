"""What caching the outputs of the frozen prefix saves, and which outputs to keep: pure arithmetic.

A frozen prefix is a pure function of an image and its view, so its output, once computed, can be reused at every later
visit of that image in that view. All images of an epoch are in the same view, and all entries written in an epoch have
the same depth. Costs may be in any unit, seconds or FLOPs, if it is the same for all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from freezeout.schedule import Schedule


@dataclass(frozen=True)
class Tier:
    """A kind of memory for entries.

    Attributes:
        bytes: Bytes that one view's entries may use.
        read: Cost per byte read; infinite if there is no such memory.
        write: Cost per byte written, likewise.
    """

    bytes: float = math.inf
    read: float = 0.0
    write: float = 0.0


UNLIMITED = Tier()


@dataclass(frozen=True)
class Frozen:
    """Costs of a network's stages when they are frozen.

    Attributes:
        forward: Cost of each stage's forward pass for one image.
        bytes: Bytes of each stage's output for one image; 0 for an output that cannot be kept.
    """

    forward: Sequence[float]
    bytes: Sequence[int]


@dataclass(frozen=True)
class Kept:
    """The entries of one view: the outputs of the first `depth` stages, for a fixed part of the images.

    Attributes:
        depth: Number of stages; 0 for no entries.
        images: Number of images whose entries are in each tier.
    """

    depth: int = 0
    images: tuple[int, ...] = ()

    @property
    def total(self) -> int:
        return sum(self.images)


NOTHING = Kept()


@dataclass(frozen=True)
class Epoch:
    """One epoch of a run with a cache.

    Attributes:
        start: Its first training step.
        stop: The step after its last.
        read: The entries of its view that were kept before and are read.
        kept: The entries that are kept for the next visit.
    """

    start: int
    stop: int
    read: Kept
    kept: Kept


def per_visit(kept: Kept, frozen: Frozen, tiers: Sequence[Tier]) -> float:
    """The cost that these entries save when all images are visited once."""
    if not kept.depth:
        return 0.0
    forward, size = sum(frozen.forward[: kept.depth]), frozen.bytes[kept.depth - 1]
    # 0 images at an infinite cost cost nothing.
    return sum(n * (forward - tier.read * size) for n, tier in zip(kept.images, tiers, strict=True) if n)


def to_write(kept: Kept, frozen: Frozen, tiers: Sequence[Tier]) -> float:
    """The cost of writing these entries."""
    if not kept.depth:
        return 0.0
    size = frozen.bytes[kept.depth - 1]
    return sum(n * tier.write * size for n, tier in zip(kept.images, tiers, strict=True) if n)


def choose(held: Kept, deepest: int, images: int, frozen: Frozen, tiers: Sequence[Tier]) -> Kept:
    """The entries of a view to keep for its next visit: those with the largest saving there, less the cost of writing.

    Deeper is not always better: if memory is short, a later stage with smaller outputs may allow more images, and an
    earlier stage with small outputs may cost less to read.

    Args:
        held: The entries kept now. Keeping them unchanged costs nothing.
        deepest: Number of frozen stages at the beginning of the epoch.
        images: Number of training images.
        frozen: Costs of the stages.
        tiers: Kinds of memory, nearest first. A tier is used only if writing and reading cost less than recomputing.
    """
    best, most = held, per_visit(held, frozen, tiers)
    for depth in range(1, deepest + 1):
        if depth == held.depth or not frozen.bytes[depth - 1]:
            continue
        kept = _fitting(depth, images, frozen, tiers)
        worth = per_visit(kept, frozen, tiers) - to_write(kept, frozen, tiers)
        if worth > most or (worth == most and depth > best.depth):
            best, most = kept, worth
    return best if most > 0 else NOTHING


def _fitting(depth: int, images: int, frozen: Frozen, tiers: Sequence[Tier]) -> Kept:
    forward, size = sum(frozen.forward[:depth]), frozen.bytes[depth - 1]
    counts = []
    for tier in tiers:
        pays = forward > (tier.read + tier.write) * size
        counts.append(int(min(images, tier.bytes // size)) if pays else 0)
        images -= counts[-1]
    return Kept(depth, tuple(counts)) if sum(counts) else NOTHING


@dataclass(frozen=True)
class Visits:
    """Which view is visited when, which is known in advance.

    Attributes:
        epochs: Number of epochs of the whole run; the last one may be cut short.
        views: Number of views.
    """

    epochs: int
    views: int

    def again(self, epoch: int) -> bool:
        """Whether the view of an epoch is visited again later."""
        return epoch + self.views < self.epochs

    def at_once(self, epoch: int) -> int:
        """Largest number of views with entries at the same time from `epoch` on; the epoch's own counts twice."""
        return max(1, min(self.views, self.epochs - epoch - self.views)) + 1


def epochs_of(
    schedule: Schedule,
    steps: int,
    steps_per_epoch: int,
    *,
    first: int,
    views: int,
    images: int,
    frozen: Frozen,
    tiers: Sequence[Tier] = (UNLIMITED,),
) -> Iterator[Epoch]:
    """The epochs of a run that may use the cache: those that take a view and begin with a frozen stage.

    Args:
        schedule: The run's schedule.
        steps: The run's number of steps.
        steps_per_epoch: Steps per epoch.
        first: Number of the first epoch that takes a view.
        views: Number of views.
        images: Number of training images.
        frozen: Costs of the stages.
        tiers: Kinds of memory for entries.
    """
    visits, held = Visits(-(-steps // steps_per_epoch), views), dict.fromkeys(range(views), NOTHING)
    for epoch in range(first, visits.epochs):
        start, view = epoch * steps_per_epoch, epoch % views
        if prefix := schedule.prefix(start, steps):
            kept = choose(held[view], prefix, images, frozen, tiers) if visits.again(epoch) else NOTHING
            yield Epoch(start, min(steps, start + steps_per_epoch), held[view], kept)
            held[view] = kept


def remembered(
    schedule: Schedule,
    steps: int,
    steps_per_epoch: int,
    *,
    batch: int,
    first: int,
    views: int,
    images: int,
    frozen: Frozen,
    tiers: Sequence[Tier] = (UNLIMITED,),
) -> float:
    """The cost that a run saves by caching, net of all reads and writes.

    Images that an epoch drops (the remainder of the division by the batch size) have no entry at the next visit.

    Args:
        batch: Images per step.
        schedule, steps, steps_per_epoch, first, views, images, frozen, tiers: See `epochs_of`.
    """
    saved = 0.0
    run = {"first": first, "views": views, "images": images}
    for epoch in epochs_of(schedule, steps, steps_per_epoch, **run, frozen=frozen, tiers=tiers):
        visited = (epoch.stop - epoch.start) * batch / images
        saved += visited**2 * per_visit(epoch.read, frozen, tiers)
        if epoch.kept != epoch.read:
            saved -= visited * to_write(epoch.kept, frozen, tiers)
    return saved
