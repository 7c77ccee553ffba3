"""One eager training step: the usual PyTorch step, applied to the output of the frozen prefix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from freezeout.stages.prefix import Prefix
from freezeout.train.counters import BatchCounters
from freezeout.train.optimizers import FewestCalls


@dataclass(kw_only=True)
class Step:
    """Forward pass, loss, backward pass and optimizer step for one batch.

    Attributes:
        stages: All stages of the network, in running order; `prefix` runs the first `len(prefix)` of them.
        prefix: The frozen stages.
        optimizer: Over the parameters of all stages.
        loss_sum: The loss of each step is added to it; float64, on the device.
        label_smoothing: Label smoothing of the loss, in [0, 1).
        bf16: Whether the forward pass runs under autocast to bfloat16.
        ahead: Whether the caller runs the prefix and passes its output instead of images.
        lap: Called with the name of each part of the step when that part is over.
        update: The optimizer's step, in as few calls as possible.
    """

    stages: Sequence[nn.Module]
    prefix: Prefix
    optimizer: Optimizer
    loss_sum: Tensor
    label_smoothing: float
    bf16: bool
    ahead: bool
    lap: Callable[[str], None]
    update: FewestCalls = field(init=False)
    _counters: BatchCounters = field(init=False)

    def __post_init__(self) -> None:
        self._counters = BatchCounters(self.stages)
        self.update = FewestCalls(self.optimizer)

    def autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self.loss_sum.device.type, dtype=torch.bfloat16) if self.bf16 else nullcontext()

    def run_prefix(self, x: Tensor, first: int = 0, last: int | None = None) -> Tensor:
        """Runs the frozen stages, or some of them, on the images of one or several batches.

        Args:
            x, first, last: See `Prefix`.

        Returns:
            The input of the first active stage, or of stage `last`.
        """
        if len(self.prefix):
            with self.autocast():
                x = self.prefix(x, first, last)
            self.lap("prefix_forward")
        return x

    def counting(self, first: int) -> AbstractContextManager[object]:
        """A context for one training forward pass of the stages from `first` on; counts their batches at its end."""
        return self._counters.counting(first)

    def __call__(self, x: Tensor, labels: Tensor) -> None:
        """Trains one step.

        Args:
            x: Images (batch, 3, height, width), or with `ahead` the output of run_prefix.
            labels: Classes (batch,).
        """
        if not self.ahead:
            x = self.run_prefix(x)
        first = len(self.prefix)
        with self.autocast(), self.counting(first):
            for stage in self.stages[first:]:
                x = stage(x)
        loss = cross_entropy(loss_input(x, self.bf16), labels, label_smoothing=self.label_smoothing)
        self.lap("forward")
        loss.backward()
        self.lap("backward")
        self.update.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.loss_sum += loss.detach()
        self.lap("optimizer")


def loss_input(logits: Tensor, bf16: bool) -> Tensor:
    """The logits in the dtype in which the loss is computed: bfloat16 is not precise enough for its sums."""
    return logits.float() if bf16 else logits
