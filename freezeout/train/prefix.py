"""The frozen prefix as training runs it: without autograd, from weights prepared once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from freezeout.train.fold import prepare


class Prefix:
    """The first stages of a network, for inference alone. It grows and never shrinks, as frozen stages never thaw.

    pure: whether frozen stages are functions of their input alone (the strategy's bn is "eval"). If not, they run as
    they are, in training mode, and only build no graph.
    fold: prepare weights once (see `prepare`). dtype: what autocast computes in, or None.
    templates: modules made by `prepare` beforehand, one a stage; they get the weights of the step that freezes it.
    """

    def __init__(self, stages: Sequence[nn.Module], *, pure: bool, fold: bool, dtype: torch.dtype | None) -> None:
        self.pure = pure
        self.templates: list[nn.Module] = []
        self._stages = list(stages)
        self._fold = fold and pure
        self._dtype = dtype
        self._ready: list[nn.Module] = []

    def __len__(self) -> int:
        return len(self._ready)

    def grow(self, k: int) -> None:
        """Take in the stages before `k`, which have just been frozen, with the weights that they have now."""
        for i in range(len(self._ready), k):
            made = self.prepared(i)
            if self.templates:
                self.templates[i].load_state_dict(made.state_dict())
                made = self.templates[i]
            self._ready.append(made)

    def prepared(self, i: int) -> nn.Module:
        """Stage `i` as it runs once it is frozen, with its weights of now."""
        return prepare(self._stages[i], self._dtype) if self._fold else self._stages[i]

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Images (batch, 3, height, width) to the input of the first active stage. Call it under autocast, if any."""
        for stage in self._ready:
            x = stage(x)
        return x
