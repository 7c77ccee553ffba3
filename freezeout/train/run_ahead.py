"""Which of the following steps share one forward pass of the frozen prefix: pure arithmetic.

A frozen prefix is a pure function of the images, so its forward passes for several batches can run as one large batch,
which avoids the launch overhead of small batches on a GPU. A window is a range of steps. It starts at an absolute
multiple of its size, at a freeze event, at a decision of an adaptive strategy, or at the start of an epoch, and ends
before the next of these. So a resumed run has the same windows, and recomputes the interrupted one from its start. Only
windows of full size run as one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from freezeout.train.schema import WINDOWS

SHARE = 8  # a window may use 1 / SHARE of the device's memory


def window_of(
    step: int, epoch: range, size: int, phase_at: Callable[[int], Hashable], steady_until: Callable[[int], int]
) -> range:
    """The window that contains training step `step`.

    Args:
        step: A step of `epoch`.
        epoch: The steps of the epoch, counted over the whole run.
        size: Steps of a full window.
        phase_at: Returns a key that is equal for steps that may share a window; called for `step` and earlier ones.
        steady_until: Returns the first step after a given one at which the prefix may change.
    """
    start = max(epoch.start, step - step % size)
    while phase_at(start) != phase_at(step):
        start += 1
    return range(start, min(epoch.stop, start - start % size + size, steady_until(step)))


def size_for(batch_bytes: int, memory: int) -> int:
    """Number of steps of the largest window that fits into 1 / SHARE of a device's memory; 1 if none does.

    It depends on the network and the device model only, so that a resumed run has the same windows.

    Args:
        batch_bytes: Bytes needed for one step of the window.
        memory: Bytes of device memory.
    """
    return max((k for k in WINDOWS if k * batch_bytes * SHARE <= memory), default=1)
