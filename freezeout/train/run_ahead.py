"""Which coming steps share one run of the frozen prefix: pure arithmetic.

A frozen prefix is a pure function of the images, so its forward pass over several coming batches can be one large
batch: on a GPU the launches of small batches are what is wasted. A window is a range of steps. It starts at an absolute
multiple of its size, at a freeze event, where an adaptive strategy decides, or at the start of an epoch, and ends
before the next of these. So a resumed run meets the same windows, and computes the one it stopped in from its start
again. Only those of full size run as one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from freezeout.train.schema import WINDOWS

SHARE = 8  # a window may hold one part in so many of the device's memory


def window_of(
    step: int, epoch: range, size: int, phase_at: Callable[[int], Hashable], steady_until: Callable[[int], int]
) -> range:
    """The window in which training step `step` lies.

    Args:
        step: A step of `epoch`.
        epoch: The steps of the epoch, counted over the whole run.
        size: Steps of a full window.
        phase_at: Of a step, equal for those that one window may hold; asked about `step` and those before it.
        steady_until: The first step after a step at which the prefix may change.
    """
    start = max(epoch.start, step - step % size)
    while phase_at(start) != phase_at(step):
        start += 1
    return range(start, min(epoch.stop, start - start % size + size, steady_until(step)))


def size_for(batch_bytes: int, memory: int) -> int:
    """Steps of the largest window that fits into one part in SHARE of a device's memory; 1 where none does.

    A function of the network and the device model alone: a resumed run has the windows of the one that was stopped.

    Args:
        batch_bytes: Bytes that one step of the window holds.
        memory: Bytes of the device.
    """
    return max((k for k in WINDOWS if k * batch_bytes * SHARE <= memory), default=1)
