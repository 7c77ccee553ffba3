"""What remembering the outputs of the frozen prefix saves, and which of them to keep: arithmetic on numbers given.

A frozen prefix is a pure function of an image and its view, so that its output, once computed, serves every later visit
of the two. All images of an epoch are in one view, and an epoch's entries all have the depth that was chosen for it.
Costs may be in any unit, seconds or FLOPs, as long as it is one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from freezeout.schedule import Schedule


@dataclass(frozen=True)
class Tier:
    """A kind of memory, of which one view's entries may take a part.

    Attributes:
        bytes: That part.
        read: Cost of a byte read; infinite where there is no such memory.
        write: Cost of a byte written, likewise.
    """

    bytes: float = math.inf
    read: float = 0.0
    write: float = 0.0


UNLIMITED = Tier()


@dataclass(frozen=True)
class Frozen:
    """The stages of a network as a frozen prefix runs them.

    Attributes:
        forward: Cost of each stage's forward pass for one image.
        bytes: Of each stage's output for one image; 0 for an output that cannot be kept.
    """

    forward: Sequence[float]
    bytes: Sequence[int]


@dataclass(frozen=True)
class Kept:
    """The entries of one view: the outputs of the first `depth` stages, of a fixed part of the images.

    Attributes:
        depth: 0 for none.
        images: How many images have theirs in each tier.
    """

    depth: int = 0
    images: tuple[int, ...] = ()

    @property
    def total(self) -> int:
        return sum(self.images)


NOTHING = Kept()


@dataclass(frozen=True)
class Epoch:
    """One epoch of a run that remembers.

    Attributes:
        start: Its first training step.
        stop: The step after its last.
        read: What was kept of its view before, and is read.
        kept: What is kept of it for the next visit.
    """

    start: int
    stop: int
    read: Kept
    kept: Kept


def per_visit(kept: Kept, frozen: Frozen, tiers: Sequence[Tier]) -> float:
    """What a visit of all images costs less with these entries."""
    if not kept.depth:
        return 0.0
    forward, size = sum(frozen.forward[: kept.depth]), frozen.bytes[kept.depth - 1]
    # 0 images at an infinite cost cost nothing.
    return sum(n * (forward - tier.read * size) for n, tier in zip(kept.images, tiers, strict=True) if n)


def to_write(kept: Kept, frozen: Frozen, tiers: Sequence[Tier]) -> float:
    """What writing these entries costs."""
    if not kept.depth:
        return 0.0
    size = frozen.bytes[kept.depth - 1]
    return sum(n * tier.write * size for n, tier in zip(kept.images, tiers, strict=True) if n)


def choose(held: Kept, deepest: int, images: int, frozen: Frozen, tiers: Sequence[Tier]) -> Kept:
    """What to keep of a view for its next visit: what saves most there, less what writing it costs now.

    Deeper is not always better: where images have to share the memory, a later stage with smaller outputs may hold
    more of them, and an earlier one with small outputs may cost less to read.

    Args:
        held: What is kept now. Keeping it as it is costs nothing.
        deepest: Frozen stages when the epoch began.
        images: In the training set.
        frozen: What the stages cost.
        tiers: The nearest first. One that takes longer to read than to compute anew is not used.
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
    """When which view is visited: known beforehand.

    Attributes:
        epochs: Of the whole run; the last one may be cut short.
        views: How many there are.
    """

    epochs: int
    views: int

    def again(self, epoch: int) -> bool:
        """Whether the view of an epoch is visited once more."""
        return epoch + self.views < self.epochs

    def at_once(self, epoch: int) -> int:
        """How many views have entries at the same time from `epoch` on, at most; that of the epoch twice, once anew."""
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
    """The epochs of a run from the first one that may remember on.

    Args:
        schedule: Of the run.
        steps: Of the run.
        steps_per_epoch: Of the run.
        first: Number of the first epoch that takes a view.
        views: How many there are.
        images: In the training set.
        frozen: What the stages cost.
        tiers: Where entries lie.
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
    """What a run costs less because it remembers, all reads and writes subtracted.

    An image that an epoch dropped (the remainder of the division by the batch) has no entry at the next visit.

    Args:
        batch: Images of a step.
        schedule, steps, steps_per_epoch, first, views, images, frozen, tiers: As of `epochs_of`.
    """
    saved = 0.0
    run = {"first": first, "views": views, "images": images}
    for epoch in epochs_of(schedule, steps, steps_per_epoch, **run, frozen=frozen, tiers=tiers):
        visited = (epoch.stop - epoch.start) * batch / images
        saved += visited**2 * per_visit(epoch.read, frozen, tiers)
        if epoch.kept != epoch.read:
            saved -= visited * to_write(epoch.kept, frozen, tiers)
    return saved
