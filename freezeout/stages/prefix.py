"""The forward pass of the frozen prefix in training: without autograd, from weights prepared once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from freezeout.stages.fold import prepare


class Prefix:
    """The frozen stages at the front of a network, for inference only. It grows and never shrinks.

    Args:
        stages: All stages of the network, in running order.
        frozen: Returns the number of stages that are frozen now; it must never decrease.
        pure: Whether the output of frozen stages depends on their input alone (the strategy's bn is not "train"). If
            not, they run unchanged, in training mode, but build no autograd graph.
        fold: Prepare weights once (see `freezeout.stages.fold`).
        dtype: The dtype of autocast, or None if it is off.

    Attributes:
        templates: Modules made in advance by `prepared`, one per stage. When a stage freezes, its weights are copied
            into its template. Empty unless stages are compiled.
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
        """Add the stages that have frozen since the last call, with their current weights.

        Called at the freeze event, so that its time is attributed to the event and not to the forward pass.

        Returns:
            Whether any stages were added.
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
        """Stage `i` in the form in which it runs when frozen, with its current weights."""
        return prepare(self._stages[i], self._dtype) if self._fold else self._stages[i]

    @torch.no_grad()
    def __call__(self, x: Tensor, first: int = 0, last: int | None = None) -> Tensor:
        """Runs frozen stages. Call it under the same autocast context as training.

        Args:
            x: Images (batch, channels, height, width), or the output of the stages before `first`.
            first: The first stage to run.
            last: The stage before which to stop; None runs all frozen stages.

        Returns:
            The input of stage `last`, or of the first active stage.
        """
        self.grow()
        for stage in self._ready[first:last]:
            x = stage(x)
        return x
