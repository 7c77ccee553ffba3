"""The step counters of BatchNorm, all raised by one operation.

Each BatchNorm in training adds 1 to `num_batches_tracked` by an operation of its own: 75 of the 770 kernels of a
DenseNet-BC-76-12's step, for numbers that nothing reads unless `momentum` is None.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

COUNTER = "num_batches_tracked"


class BatchCounters:
    """Counts the batches of a network's stages in place of its BatchNorms, to the same numbers.

    It counts for those that run exactly once in a forward pass, as torch.fx finds; all others go on counting by
    themselves: those with `momentum=None`, which read their counter, those of stages that torch.fx cannot trace, and
    those that run twice.

    Args:
        stages: In running order.
    """

    def __init__(self, stages: Sequence[nn.Module]) -> None:
        self._norms = [run_once(stage) for stage in stages]

    @contextmanager
    def counting(self, first: int) -> Iterator[None]:
        """Within, a forward pass of the stages from `first` on runs, once."""
        norms = [m for stage in self._norms[first:] for m in stage if m.training]
        counters = [m._buffers[COUNTER] for m in norms]
        for m in norms:
            m._buffers[COUNTER] = None  # torch's own way of saying: there is nothing to count
        try:
            yield
        finally:
            for m, counter in zip(norms, counters, strict=True):
                m._buffers[COUNTER] = counter
        if counters:
            torch._foreach_add_([c for c in counters if isinstance(c, Tensor)], 1)


def run_once(stage: nn.Module) -> list[nn.Module]:
    """The BatchNorms of a stage that count, read no counter and run exactly once in its forward pass."""
    norms = {
        name: m
        for name, m in stage.named_modules(prefix="0", remove_duplicate=False)
        if isinstance(m, _BatchNorm) and m.momentum is not None and m._buffers.get(COUNTER) is not None
    }
    if not norms:
        return []
    try:
        graph = fx.Tracer().trace(nn.Sequential(stage))
    except Exception:  # whatever it was: the stage counts by itself
        return []
    calls = Counter(id(norms[str(n.target)]) for n in graph.nodes if n.op == "call_module" and str(n.target) in norms)
    return [m for m in {id(m): m for m in norms.values()}.values() if calls[id(m)] == 1]
