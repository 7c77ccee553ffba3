"""A cache of the frozen prefix: its output for an image in a view, once computed, is read back at the next visit.

This changes the run's seconds only. All entries written in one epoch have the same depth; at the view's next visit they
are read, and only the stages after that depth are run. Images without an entry are computed in full batches, because
the last bits of a kernel's result may depend on the batch size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from freezeout.savings.caching import NOTHING, Frozen, Kept, Tier, Visits, choose
from freezeout.train.clock import synchronise
from freezeout.train.room import Room
from freezeout.train.rows import sent
from freezeout.train.shelf import Layout, Shelf

TIMES = 3  # how often a stage is timed; the fastest counts


@dataclass
class Entries:
    """The entries of one view.

    Attributes:
        kept: Their depth and number, as planned.
        shelf: Their memory.
        there: bool (images,), on the CPU: which images have an entry.
    """

    kept: Kept
    shelf: Shelf
    there: Tensor


@dataclass
class Counts:
    """Counts of hits and of all visits of images, in epochs with a frozen prefix to cache."""

    hits: int = 0
    visits: int = 0


@dataclass(kw_only=True)
class PrefixCache:
    """Stores the frozen prefix's output for each image in each view, if that saves time.

    Attributes:
        run_stages: Called with (x, first, last): runs the frozen stages in [first, last) (None: all from first) on x.
        sample: Returns a batch of preprocessed images, with which the stages are timed.
        visits: Which view is visited when.
        first_epoch: The first epoch that takes a view.
        images: Number of training images.
        room: Memory for the entries.
        measured: Whether to keep only outputs that are faster to read than to compute here; if not, all that fit.
        device: The device that trains.
        lap: Called with the name of each part of the work when it is done.
        counts: Hits and visits so far.
        base: Number of stages whose outputs this epoch's entries are; 0 if it has no entries.
    """

    run_stages: Callable[[Tensor, int, int | None], Tensor]
    sample: Callable[[], Tensor]
    visits: Visits
    first_epoch: int
    images: int
    room: Room
    device: torch.device
    measured: bool = True
    lap: Callable[[str], None] = lambda part: None
    counts: Counts = field(default_factory=Counts)
    base: int = field(default=0, init=False)
    _epoch: int | None = field(default=None, init=False)  # the current epoch, if it has a frozen prefix to cache

    def __post_init__(self) -> None:
        self._old: Entries | None = None
        self._new: Entries | None = None
        self._entries: dict[int, Entries] = {}
        self._seconds: list[float] = []
        self._layouts: list[Layout] = []
        self._tiers: dict[str, Tier] | None = None

    @property
    def summary(self) -> dict[str, Any]:
        """Visits and hits so far, and the peak bytes used of each kind of memory."""
        return {**asdict(self.counts), "bytes": dict(self.room.most)}

    def begin(self, epoch: int, prefix: int, order: Tensor) -> None:
        """Begin an epoch, or continue it after an interruption of the program.

        Args:
            epoch: Its number.
            prefix: Number of frozen stages in its first step.
            order: Indices of the images of each of its steps, int64 (steps, batch), on the CPU.
        """
        self._abandon()
        self._epoch = epoch if epoch >= self.first_epoch and prefix else None
        self._prefix, self._order = prefix, order
        self._old = self._entries.get(epoch % self.visits.views) if self._epoch is not None else None
        self.base = self._old.kept.depth if self._old else 0
        self._new = None
        self._decided = False

    def missing(self, rows: range) -> Tensor:
        """Positions, within the flattened rows of the order, of images without an entry; ascending."""
        assert self._old is not None
        return (~self._old.there[self._order[rows.start : rows.stop].flatten()]).nonzero().flatten()

    def inputs(self, rows: Sequence[range], computed: Iterator[Tensor]) -> Iterator[Tensor]:
        """Yields the outputs of the first `base` stages, one portion of rows at a time, reading one portion ahead.

        Args:
            rows: Portions, each a range of consecutive rows of the order.
            computed: Yields batches of outputs for the `missing` images, in their order.
        """
        assert self._old is not None
        old, layout = self._old, self._layouts[self.base - 1]
        waiting: list[Tensor] = []  # computed but not used yet

        def next_missing(count: int) -> Tensor:
            while sum(map(len, waiting)) < count:
                waiting.append(layout.flat(next(computed)))
            found = torch.cat(waiting)
            waiting[:] = [found[count:]]
            return found[:count]

        def ask(portion: range) -> Callable[[], Tensor]:
            index = self._order[portion.start : portion.stop].flatten()
            hit = old.there[index]
            self.counts.hits += int(hit.sum())
            if hit.all():
                return old.shelf.ask(index)
            if not hit.any():
                return lambda: next_missing(len(index))
            places, others = hit.nonzero().flatten(), (~hit).nonzero().flatten()
            asked = old.shelf.ask(index[places])

            def take() -> Tensor:
                new = next_missing(len(others))
                found = new.new_empty(len(index), layout.numbers)
                found.index_copy_(0, sent(others, found.device), new)
                return found.index_copy_(0, sent(places, found.device), asked())

            return take

        portions = list(rows)
        asked = ask(portions[0]) if portions else None
        for i in range(len(portions)):
            now = asked
            asked = ask(portions[i + 1]) if i + 1 < len(portions) else None
            assert now is not None
            x = layout.shaped(now())
            self.lap("cache")
            yield x

    def through(self, x: Tensor, rows: range) -> Tensor:
        """The output of the whole prefix for the images of `rows`; stores the entries that are to be kept.

        Args:
            x: The output of the first `base` stages, or the images if `base` is 0.
            rows: Rows of the order.
        """
        depth = self.base
        if self._epoch is not None:
            self.counts.visits += len(rows) * self._order.shape[1]
            self._decide()
            if self._new is not None:
                depth = self._new.kept.depth
                x = self._timed(x, self.base, depth)
                self._keep(x, self._order[rows.start : rows.stop].flatten())
            self.lap("cache")
        return self._timed(x, depth, None)

    def computed(self, images: Tensor) -> Tensor:
        """The output of the first `base` stages for preprocessed images without an entry."""
        self.lap("input")
        return self._timed(images, 0, self.base)

    def _timed(self, x: Tensor, first: int, last: int | None) -> Tensor:
        if first != last:
            x = self.run_stages(x, first, last)
            self.lap("prefix_forward")
        return x

    def end(self) -> None:
        """End the epoch: the entries written in it replace those of its view."""
        if self._epoch is None:
            return
        old, new = self._old, self._new
        if new is not None:
            new.shelf.settle()
        if old is not None and (new is None or old.shelf is not new.shelf):
            old.shelf.free()
        self._entries.pop(self._epoch % self.visits.views, None)
        if new is not None:
            self._entries[self._epoch % self.visits.views] = new
        self._epoch = self._old = self._new = None

    def frozen(self, prefix: int) -> Frozen:
        """The cost of the first `prefix` stages; those not timed before are timed now."""
        x = self.sample()
        known = len(self._seconds)
        x = self.run_stages(x, 0, known) if prefix > known else x
        for i in range(known, prefix):
            best = min(self._time(x, i) for _ in range(TIMES))
            self._seconds.append(best / len(x))
            x = self.run_stages(x, i, i + 1)
            self._layouts.append(Layout.of(x))
        sizes = [layout.numbers * layout.dtype.itemsize for layout in self._layouts]
        return Frozen(self._seconds[:prefix], sizes[:prefix])

    def _abandon(self) -> None:
        """Discard the entries of an interrupted epoch's view: some of them may have been replaced."""
        if self._epoch is None:
            return
        self._entries.pop(self._epoch % self.visits.views, None)
        for entries in {id(e.shelf): e for e in (self._old, self._new) if e}.values():
            entries.shelf.free()
        self._epoch = None

    def _time(self, x: Tensor, stage: int) -> float:
        synchronise(self.device)
        began = time.perf_counter()
        self.run_stages(x, stage, stage + 1)
        synchronise(self.device)
        return time.perf_counter() - began

    def _decide(self) -> None:
        """Decide what to keep of this epoch; done at its first step, when all its frozen stages are prepared."""
        if self._decided:
            return
        self._decided = True
        assert self._epoch is not None
        if not self.visits.again(self._epoch):
            return
        frozen = self.frozen(self._prefix)
        if self._tiers is None:
            self._tiers = self.room.tiers(self.visits.at_once(self._epoch))
        self.lap("cache")  # time spent on this decision belongs to the cache, not to the step
        tiers = [tier if self.measured else Tier(tier.bytes) for tier in self._tiers.values()]
        held = self._old.kept if self._old else NOTHING
        kept = choose(held, self._prefix, self.images, frozen, tiers)
        if kept.depth == self.base and self._old is not None:
            self._new = self._old
        elif kept.depth:
            self._new = self._shelve(kept)

    def _shelve(self, kept: Kept) -> Entries | None:
        assert self._tiers is not None
        layout, nothing = self._layouts[kept.depth - 1], torch.zeros(self.images, dtype=torch.bool)
        if (old := self._old) is not None:
            size = (old.shelf.numbers, old.shelf.dtype, old.kept.images)
            if size == (layout.numbers, layout.dtype, kept.images):
                # In place: each image is visited once per epoch, and read before it is written.
                return Entries(kept, old.shelf, nothing)
        wanted = list(zip(self._tiers, kept.images, strict=True))
        shelf = Shelf(self.room, wanted, layout.numbers, layout.dtype)
        return Entries(kept, shelf, nothing) if shelf.images else None

    def _keep(self, x: Tensor, index: Tensor) -> None:
        new = self._new
        assert new is not None
        wanted = index < new.shelf.images
        if new is self._old:
            wanted &= ~new.there[index]  # the others are stored already
        if not wanted.any():
            return
        rows = self._layouts[new.kept.depth - 1].flat(x)
        if wanted.all():
            new.shelf.write(index, rows)
        else:
            places = wanted.nonzero().flatten()
            index = index[places]
            new.shelf.write(index, rows.index_select(0, sent(places, rows.device)))
        new.there[index] = True
