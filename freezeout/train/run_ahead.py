"""Which coming steps share one run of the frozen prefix: pure arithmetic.

A frozen prefix is a pure function of the images, so its forward pass over several coming batches can be one large
batch: on a GPU the launches of small batches are what is wasted. A window is a range of steps; it starts at an
absolute multiple of `size` or at a freeze event or at the start of an epoch, and ends before the next of these. So a
resumed run meets the same windows, and computes the one it stopped in from its start again. Only those of full size
run as one batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from freezeout.train.schema import WINDOWS

SHARE = 8  # a window may hold one part in so many of the device's memory


def windows(first: int, end: int, size: int, events: Iterable[int]) -> list[range]:
    """The windows that cover steps first..end-1 of one epoch that begins at `first`. events: steps of freeze events."""
    starts = {first, *(s for s in events if first < s < end), *range(-(-first // size) * size, end, size)}
    cuts = [*sorted(s for s in starts if s < end), end]
    return [range(a, b) for a, b in pairwise(cuts)]


def size_for(batch_bytes: int, memory: int) -> int:
    """Steps of a window that fit into one part in SHARE of `memory` bytes, at `batch_bytes` a step.

    A function of the network and the device model alone: a resumed run has the windows of the one that was stopped.
    """
    return max((k for k in WINDOWS if k * batch_bytes * SHARE <= memory), default=1)
