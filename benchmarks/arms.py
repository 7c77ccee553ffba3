"""The arms: three training loops as users write them, and FreezeOut's engine four ways. All are timed from outside."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks.plans import frozen_schedule
from freezeout.data.augment import crop_flip, epoch_table, rescale, scale_and_shift
from freezeout.run.assemble import assemble, configure_torch
from freezeout.run.plan import Plan, with_machine
from freezeout.schedule import lr_factor, progress
from freezeout.stages.chain import Chain
from freezeout.train.optimizers import make_optimizer
from freezeout.train.step import loss_input

# The name of each arm in results and tables, and its label in figures.
LOOPS = {"plain": "plain loop", "original": "original's way", "composer": "Composer's way"}
ENGINES = {
    "eager": "ours, eager",
    "compiled": "ours, compiled",
    "captured": "ours, captured",
    "compiled_captured": "ours, compiled and captured",
}
LABELS = LOOPS | ENGINES
MACHINE = {  # the fields of the machine configuration that make each of the engine's arms
    "eager": {"compile": False, "capture": False},
    "compiled": {"compile": True, "capture": False},
    "captured": {"compile": False, "capture": True},
    "compiled_captured": {"compile": True, "capture": True},
}


class Arm(Protocol):
    """One way of training a network."""

    chain: Chain

    def epoch(self, on_step: Callable[[], bool] = ...) -> float | None:
        """Train for one epoch of the plan's data.

        Args:
            on_step: Called after each step; training stops when it returns True.

        Returns:
            The mean training loss of the epoch; None if `on_step` stopped it before its end.
        """

    def freeze(self, prefix: int) -> None:
        """Freeze the first `prefix` stages from the next step on: as many as now, or more."""


def never_stop() -> bool:
    """For `Arm.epoch`: train to the end of the epoch."""
    return False


class Loop:
    """A training loop as users write it.

    All three loops have the data path, precision, learning rates and fused optimizer of the engine. The parameters
    that train are in one optimizer group, which is the fastest. How frozen stages are treated depends on `kind`:

    - "plain": `requires_grad_(False)` and evaluation mode, out of the optimizer: the straightforward way.
    - "original": as the original FreezeOut code does. Evaluation mode and out of the optimizer, but the weights still
      require gradients, so every frozen stage builds its graph and drops it where its output is detached; the first
      stage's output never is.
    - "composer": as MosaicML Composer's layer freezing does. `requires_grad_(False)` and out of the optimizer;
      BatchNorm stays in training mode.

    Args:
        kind: A key of LOOPS.
        plan: The run; its learning rates are the baseline's.
        prefix: Stages frozen from the start.
        channels_last: Whether weights and images are in that memory format.
    """

    def __init__(self, kind: str, plan: Plan, prefix: int, *, channels_last: bool) -> None:
        configure_torch(plan)
        self.plan, self.kind = plan, kind
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.source = plan.source.to(plan.device)
        self.chain = plan.build().to(plan.device).to(memory_format=self.format).train()
        self.stages = list(self.chain)
        self.optimizer = make_optimizer(plan.config.optimizer, self.chain)
        self.step = 0
        self.freeze(prefix)

    def freeze(self, prefix: int) -> None:
        """See `Arm`."""
        self.prefix = prefix
        for stage in self.stages[:prefix]:
            if self.kind != "original":
                stage.requires_grad_(False)
            if self.kind != "composer":
                stage.eval()
            for p in stage.parameters():
                self.optimizer.state.pop(p, None)
        active = [p for stage in self.stages[prefix:] for p in stage.parameters()]
        self.optimizer.param_groups[0]["params"] = active

    def epoch(self, on_step: Callable[[], bool] = never_stop) -> float | None:
        """See `Arm`."""
        config, source, device = self.plan.config, self.source, self.plan.device
        n, kind = source.sizes["train"], config.augment.kind
        steps = n // config.batch_size
        table = epoch_table(config.seed, self.step // steps, n, config.batch_size, source.pad, kind)
        top, left, flip = (column.to(device) for column in (table.top, table.left, table.flip))
        constants = scale_and_shift(source.mean, source.std, device)
        total = torch.zeros((), dtype=torch.float64, device=device)
        for row, (images, labels) in enumerate(source.batches("train", table.order)):
            if kind != "none":
                images = crop_flip(images, top[row], left[row], flip[row], source.pad)
            total += self._train_step(rescale(images, *constants), labels)
            self.step += 1
            if on_step():
                return None
        return total.item() / steps

    def _train_step(self, images: Tensor, labels: Tensor) -> Tensor:
        factor = lr_factor(progress(self.step, self.plan.steps), 1.0, scaled=False)
        self.optimizer.param_groups[0]["lr"] = self.plan.config.optimizer.lr * factor
        bf16 = self.plan.precision == "bf16"
        with torch.autocast(self.plan.device.type, dtype=torch.bfloat16, enabled=bf16):
            logits = self._forward(images.contiguous(memory_format=self.format))
        loss = cross_entropy(loss_input(logits, bf16), labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def _forward(self, x: Tensor) -> Tensor:
        if self.kind != "original":
            return self.chain(x)
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if 0 < i < self.prefix:
                x = x.detach()
        return x


class Engine:
    """FreezeOut's own engine.

    Args:
        kind: A key of ENGINES.
        plan: The run, a baseline.
        prefix: Stages frozen from the start.
    """

    def __init__(self, kind: str, plan: Plan, prefix: int) -> None:
        self.training = assemble(with_machine(plan, **MACHINE[kind]))
        self.chain = self.training.chain
        self.freeze(prefix)

    def freeze(self, prefix: int) -> None:
        """See `Arm`."""
        # A run keeps the schedule that it was assembled with. Here it is replaced under way, which is safe because the
        # prefix only grows and the rates stay those of the baseline: one engine then serves every prefix of the
        # benchmark, and its stages are compiled once and not five times.
        self.training.freezeout.schedule = frozen_schedule(prefix, len(self.chain))
        if self.training.captured is not None:
            self.training.captured.reset()

    def epoch(self, on_step: Callable[[], bool] = never_stop) -> float | None:
        """See `Arm`."""
        return self.training.train_epoch(on_step)


def make(name: str, plan: Plan, prefix: int, *, channels_last: bool) -> Arm:
    """Build an arm.

    Args:
        name: A key of LABELS.
        plan: The run.
        prefix: Stages frozen from the start.
        channels_last: Memory format of the loops; the engine has its own.
    """
    if name in LOOPS:
        return Loop(name, plan, prefix, channels_last=channels_last)
    return Engine(name, plan, prefix)


def free_memory(device: torch.device) -> None:
    """Free what dropped arms held, so that the next ones find the memory as these did."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
