"""The frozen prefix as training runs it: without autograd, from weights prepared once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from freezeout.stages.fold import prepare


class Prefix:
    """The frozen stages at the front of a network, for inference alone. It grows and never shrinks.

    Args:
        stages: Of the whole network, in running order.
        frozen: How many of them are frozen now; never fewer than before.
        pure: Whether frozen stages are functions of their input alone (the strategy's bn is "eval"). If not, they run
            as they are, in training mode, and only build no graph.
        fold: Prepare weights once (see `freezeout.stages.fold`).
        dtype: What autocast computes in, or None.

    Attributes:
        templates: Modules made by `prepared` beforehand, one per stage; they get the weights of the step that freezes
            the stage. Empty unless stages are compiled.
    """

    def __init__(
        self,
        stages: Sequence[nn.Module],
        frozen: Callable[[], int],
        *,
        pure: bool,
        fold: bool,
        dtype: torch.dtype | None,
    ) -> None:
        self.pure = pure
        self.templates: list[nn.Module] = []
        self._stages = list(stages)
        self._frozen = frozen
        self._fold = fold and pure
        self._dtype = dtype
        self._ready: list[nn.Module] = []

    def __len__(self) -> int:
        return self._frozen()

    def grow(self) -> bool:
        """Take in the stages that have been frozen since, with the weights that they have now; whether there are any.

        Called at the freeze event, so that its seconds are those of the switch and not of the forward pass.
        """
        new = range(len(self._ready), len(self))
        for i in new:
            made = self.prepared(i)
            if self.templates:
                self.templates[i].load_state_dict(made.state_dict())
                made = self.templates[i]
            self._ready.append(made)
        return len(new) > 0

    def prepared(self, i: int) -> nn.Module:
        """Stage `i` as it runs once it is frozen, with its weights of now."""
        return prepare(self._stages[i], self._dtype) if self._fold else self._stages[i]

    @torch.no_grad()
    def __call__(self, x: Tensor, first: int = 0, last: int | None = None) -> Tensor:
        """Images (batch, 3, height, width) to the input of the first active stage. Call it under autocast, if any.

        Args:
            x: The images, or the output of the stages before `first`.
            first: The stage to begin with.
            last: The stage before which to end; None runs all that are frozen.
        """
        self.grow()
        for stage in self._ready[first:last]:
            x = stage(x)
        return x
