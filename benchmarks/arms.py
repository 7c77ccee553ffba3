"""The arms: three plain loops, as others freeze, and ours. Each trains an epoch at a time and is timed from outside."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks.settings import Frozen, with_machine
from freezeout.data.augment import crop_flip, epoch_table, normalise
from freezeout.run.assemble import assemble, configure_torch
from freezeout.run.plan import Plan
from freezeout.schedule import lr_factor, progress
from freezeout.stages.chain import Chain
from freezeout.train.optimizers import make_optimizer
from freezeout.train.step import loss_input

PLAIN = {"a": "plain loop", "b": "original's way", "c": "Composer's way"}
OURS = {"d": "ours eager", "e": "ours compiled", "f": "ours captured"}
NAMES = PLAIN | OURS
MACHINE = {
    "d": {"compile": False, "capture": False},
    "e": {"compile": True, "capture": False},
    "f": {"compile": False, "capture": True},
}


class Arm(Protocol):
    """Something that trains: an epoch of its plan's source at a time."""

    chain: Chain

    def epoch(self, on_step: Callable[[], bool] = ...) -> float | None:
        """The mean training loss; None when `on_step`, called after each step, ended the epoch by returning True."""

    def freeze(self, prefix: int) -> None:
        """From the next step on `prefix` stages are frozen: as many as now or more."""


def go_on() -> bool:
    return False


class Plain:
    """A loop as users write it, with the first `prefix` stages frozen from the start.

    kind "a": `requires_grad_(False)` and evaluation mode on the frozen stages: what a careful user writes.
    "b": as the original: frozen stages in evaluation mode and out of the optimizer, but their weights still ask for
        gradients, so every frozen stage builds its graph and drops it where its output is detached; the first
        stage's output never is.
    "c": as Composer: `requires_grad_(False)` and out of the optimizer; BatchNorm goes on training.
    All have the data path, precision, rates and fused optimizer of ours, in one group, which is the fastest.
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
        self.prefix = prefix
        for stage in self.stages[:prefix]:
            if self.kind != "b":
                stage.requires_grad_(False)
            if self.kind != "c":
                stage.eval()
            for p in stage.parameters():
                self.optimizer.state.pop(p, None)
        active = [p for stage in self.stages[prefix:] for p in stage.parameters()]
        self.optimizer.param_groups[0]["params"] = active

    def epoch(self, on_step: Callable[[], bool] = go_on) -> float | None:
        config, source, device = self.plan.config, self.source, self.plan.device
        n, kind = source.sizes["train"], config.augment.kind
        steps = n // config.batch_size
        table = epoch_table(config.seed, self.step // steps, n, config.batch_size, source.pad, kind)
        top, left, flip = (a.to(device) for a in (table.top, table.left, table.flip))
        total = torch.zeros((), dtype=torch.float64, device=device)
        for row, (images, labels) in enumerate(source.batches("train", table.order)):
            if kind != "none":
                images = crop_flip(images, top[row], left[row], flip[row], source.pad)
            total += self._train_step(normalise(images, source.mean, source.std), labels)
            self.step += 1
            if on_step():
                return None
        return total.item() / steps

    def _train_step(self, images: Tensor, labels: Tensor) -> Tensor:
        rate = lr_factor(progress(self.step, self.plan.steps), 1.0, scaled=False)
        self.optimizer.param_groups[0]["lr"] = self.plan.config.optimizer.lr * rate
        bf16 = self.plan.config.machine.precision == "bf16"
        with torch.autocast(self.plan.device.type, dtype=torch.bfloat16, enabled=bf16):
            logits = self._forward(images.contiguous(memory_format=self.format))
        loss = cross_entropy(loss_input(logits, bf16), labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def _forward(self, x: Tensor) -> Tensor:
        if self.kind != "b":
            return self.chain(x)
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if 0 < i < self.prefix:
                x = x.detach()
        return x


class Ours:
    """The engine itself. key: "d" eager, "e" compiled, "f" captured."""

    def __init__(self, key: str, plan: Plan, prefix: int) -> None:
        plan = with_machine(plan, **MACHINE[key])
        plan.strategy = Frozen(prefix=prefix)  # `with_machine` made a copy
        self.training = assemble(plan)
        self.chain = self.training.chain

    def freeze(self, prefix: int) -> None:
        # Another schedule under way, so that one object serves every prefix and compiles once. Rates stay as they were.
        self.training.freezeout.schedule = Frozen(prefix=prefix).schedule(len(self.chain))

    def epoch(self, on_step: Callable[[], bool] = go_on) -> float | None:
        return self.training.train_epoch(on_step)


def make(key: str, plan: Plan, prefix: int, *, channels_last: bool) -> Arm:
    """The arm `key` with `prefix` stages frozen. channels_last: the memory format of the plain loops."""
    return Plain(key, plan, prefix, channels_last=channels_last) if key in PLAIN else Ours(key, plan, prefix)


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def forget(device: torch.device) -> None:
    """Free what the arms just dropped, so that the next ones find the memory as these did."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
