"""The batch counters of all BatchNorm layers, incremented by one operation.

Each BatchNorm in training adds 1 to `num_batches_tracked` in a kernel of its own: 75 of the 770 kernels of a step of
DenseNet-BC-76-12, for numbers that are read only if `momentum` is None.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from freezeout.stages.tracing import is_library_module

COUNTER = "num_batches_tracked"


class BatchCounters:
    """Counts batches on behalf of a network's BatchNorm layers, with the same result.

    This covers layers that run exactly once in a forward pass, as determined by torch.fx. All others continue to count
    by themselves: those with `momentum=None`, which read their counter, those in stages that torch.fx cannot trace,
    those that run twice, and those of other packages, whose forward may need a counter.

    Args:
        stages: In running order.
    """

    def __init__(self, stages: Sequence[nn.Module]) -> None:
        self._norms = [run_once(stage) for stage in stages]

    @contextmanager
    def counting(self, first: int) -> Iterator[None]:
        """A context for exactly one forward pass of the stages from `first` on."""
        norms = [m for stage in self._norms[first:] for m in stage if m.training]
        counters = [m._buffers[COUNTER] for m in norms]
        for m in norms:
            m._buffers[COUNTER] = None  # with None, torch's BatchNorm does not count
        try:
            yield
        finally:
            for m, counter in zip(norms, counters, strict=True):
                m._buffers[COUNTER] = counter
        if counters:
            torch._foreach_add_([c for c in counters if isinstance(c, Tensor)], 1)


def run_once(stage: nn.Module) -> list[nn.Module]:
    """The BatchNorm layers of a stage that count, do not read their counter and run exactly once per forward pass."""
    norms = {
        name: m
        for name, m in stage.named_modules(remove_duplicate=False)
        if isinstance(m, _BatchNorm) and is_library_module(m) and m.momentum is not None
        if m._buffers.get(COUNTER) is not None
    }
    if not norms:
        return []
    try:
        called = calls_of(stage)
    except Exception:  # whatever the error: the stage counts by itself
        return []
    calls = Counter(id(norms[name]) for name in called if name in norms)
    return [m for m in {id(m): m for m in norms.values()}.values() if calls[id(m)] == 1]


def calls_of(stage: nn.Module) -> list[str]:
    """The paths of the modules that a stage calls, once for each call."""
    # A traced stage's graph is used as it is: tracing the modules that it calls would run them (norms of other packages
    # count their batches by an operation on a buffer).
    if isinstance(stage, fx.GraphModule):
        return [str(node.target) for node in stage.graph.nodes if node.op == "call_module"]
    graph = fx.Tracer().trace(nn.Sequential(stage))  # in a Sequential, so that a stage that is itself a norm is a call
    targets = [str(node.target) for node in graph.nodes if node.op == "call_module"]
    return [target.partition(".")[2] for target in targets]
