"""A stand-in for CUDA graphs on a CPU: what was recorded is what is replayed, tensor by tensor.

As a graph does, it knows tensors and no Python: a learning rate that the host holds, a tensor made anew or a branch
taken is frozen into the tape.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

REFUSAL = RuntimeError("operation not permitted when stream is capturing\nmany details")


class Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple, dict, Any]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, out))
        return out


class Tape:
    def __init__(self, calls) -> None:
        self.calls = calls

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, recorded in self.calls:
            made = func(*args, **kwargs)
            for old, new in zip(tree_leaves(recorded), tree_leaves(made), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class Tapes:
    """Graphs (freezeout.train.captured) for tests. state: the tensors that a step changes, put back after recording."""

    def __init__(
        self, state: Callable[[], Iterable[Tensor]], refuse: int | None = None, reason: RuntimeError = REFUSAL
    ) -> None:
        self.made: list[weakref.ref[Tape]] = []
        self.alive: list[int] = []
        self.warmed = 0
        self._state = state
        self._refuse, self._reason = refuse, reason

    def warm(self, body: Callable[[], None]) -> None:
        self.warmed += 1
        body()

    def side_by_side(self, calls: Sequence[Callable[[], None]]) -> None:
        for call in calls:
            call()

    def capture(self, body: Callable[[], None]) -> Callable[[], None]:
        if len(self.made) == self._refuse:
            self._refuse = None
            raise self._reason
        kept = [(t, t.detach().clone()) for t in self._state()]
        with Recorder() as recorder:
            body()
        with torch.no_grad():
            for t, before in kept:
                t.copy_(before)
        tape = Tape(recorder.calls)
        self.made.append(weakref.ref(tape))
        self.alive.append(sum(ref() is not None for ref in self.made))
        return tape.replay
