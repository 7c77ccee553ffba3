"""One epoch of training. Nothing here writes, logs or reads configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import Tensor
from torch.optim import Optimizer

from freezeout.data.augment import Table, crop_flip, epoch_table, normalise
from freezeout.data.source import Source
from freezeout.freeze import FreezeOut
from freezeout.stages.chain import Chain
from freezeout.train.captured import CapturedStep, Graphs
from freezeout.train.clock import Clock
from freezeout.train.prefix import Prefix
from freezeout.train.run_ahead import windows
from freezeout.train.step import Step


def stream_seed(seed: int, step: int) -> int:
    """The seed of everything random inside training step `step` (dropout): a function of (seed, step) alone."""
    return int.from_bytes(hashlib.blake2b(f"step {seed} {step}".encode(), digest_size=7).digest(), "little")


@dataclass(kw_only=True)
class Training:
    """A run in progress. `step` counts finished training steps; the rest of its state is in the parts.

    fold: frozen stages run from prepared weights. run_ahead: steps whose frozen prefix may run as one batch.
    graphs: captures the step, one graph a prefix; None trains eagerly.
    """

    chain: Chain
    optimizer: Optimizer
    freezeout: FreezeOut
    source: Source
    clock: Clock
    device: torch.device
    seed: int
    batch_size: int
    augment: str
    label_smoothing: float
    bf16: bool
    channels_last: bool = False
    fold: bool = True
    run_ahead: int = 1
    graphs: Graphs | None = None
    step: int = 0
    loss_sum: Tensor = field(init=False)

    def __post_init__(self) -> None:
        # The device's own alone: torch.manual_seed sets all there are, at 0.1 ms a step where CUDA is not even used.
        cuda = self.device.type == "cuda"
        self.generator = torch.cuda.default_generators[self.device.index or 0] if cuda else torch.default_generator
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        self.steps_per_epoch = self.source.sizes["train"] // self.batch_size
        # A network that was not cut runs as a whole: its frozen part leaves the graph by flags alone.
        stages = list(self.chain) if self.chain.executable else [self.chain]
        bn = self.freezeout.bn
        self.prefix = Prefix(stages, pure=bn == "eval", fold=self.fold, dtype=torch.bfloat16 if self.bf16 else None)
        self.run_ahead = self.run_ahead if self.prefix.pure and self.chain.executable else 1
        self.body = Step(
            stages=stages,
            prefix=self.prefix,
            optimizer=self.optimizer,
            loss_sum=self.loss_sum,
            label_smoothing=self.label_smoothing,
            bf16=self.bf16,
            ahead=self.run_ahead > 1,
            lap=self.clock.lap,
        )
        self.captured = CapturedStep(self.body, self.freezeout, self.optimizer, self.graphs) if self.graphs else None

    def images(self, images: Tensor) -> Tensor:
        """uint8 (batch, 3, height, width) as the network takes them."""
        x = normalise(images, self.source.mean, self.source.std)
        return x.contiguous(memory_format=torch.channels_last) if self.channels_last else x

    def train_epoch(self, on_step: Callable[[], bool]) -> float | None:
        """Train to the end of the current epoch or of the run; the mean training loss of the epoch's steps.

        on_step: called after each step; when it returns True training stops there, and the result is None.
        The clock runs inside: drawing the table, every step, freeze switches.
        """
        total, per_epoch = self.freezeout.total_steps, self.steps_per_epoch
        epoch, done = divmod(self.step, per_epoch)
        first, end = epoch * per_epoch, min(total, (epoch + 1) * per_epoch)
        self.chain.train()
        self.clock.start()
        table = epoch_table(
            self.seed, epoch, self.source.sizes["train"], self.batch_size, self.source.pad, self.augment
        )
        events = (s for s in self.freezeout.schedule.freeze_steps(total) if s is not None)
        # From the start of the window that the epoch was left in: its prefix ran as one batch, and must again.
        to_do = [w for w in windows(first, end, self.run_ahead, events) if w.stop > first + done]
        rows = slice(to_do[0].start - first, end - first)
        batches = self._batches(Table(*(column[rows] for column in table)))
        for window in to_do:
            if not self.train_window(window, batches, on_step):
                self.clock.stop()
                return None
        self.clock.stop()
        loss = self.loss_sum.item() / (end - first)
        self.loss_sum.zero_()
        return loss

    def _batches(self, table: Table) -> Iterator[tuple[Tensor, Tensor]]:
        """Images, as the network takes them, and labels of each row of `table`."""
        top, left, flip = (column.to(self.device) for column in (table.top, table.left, table.flip))
        for row, (images, labels) in enumerate(self.source.batches("train", table.order)):
            if self.augment != "none":
                images = crop_flip(images, top[row], left[row], flip[row], self.source.pad)
            yield self.images(images), labels

    def train_window(
        self, window: range, batches: Iterator[tuple[Tensor, Tensor]], on_step: Callable[[], bool]
    ) -> bool:
        """The steps of `window` that are still to do; False if `on_step` stopped it in the middle of an epoch.

        batches: gives the images, as the network takes them, and the labels of each step of the window, in order.
        """
        loaded: list[tuple[Tensor, Tensor]] = []
        ahead: Sequence[Tensor] = ()
        for row, step in enumerate(window):
            if step < self.step:
                continue
            self.clock.mark(step, self.freezeout.schedule.prefix(step, self.freezeout.total_steps))
            if not loaded:
                loaded = list(islice(batches, len(window)))
                self.clock.lap("input")
            self._begin_step()
            x, labels = loaded[row]
            if self.body.ahead and len(window) < self.run_ahead:
                # By itself: every other size would be one more shape to tune and to compile for.
                x = self.body.run_prefix(x)
            elif self.body.ahead and len(self.prefix):
                ahead = ahead or self.body.run_prefix(torch.cat([x for x, _ in loaded])).split(len(x))
                x = ahead[row]
            if self.captured:
                self.captured(x, labels, step)
            else:
                self.body(x, labels)
            self.step += 1
            if on_step() and self.step % self.steps_per_epoch and self.step < self.freezeout.total_steps:
                return False
        return True

    def _begin_step(self) -> None:
        self.generator.manual_seed(stream_seed(self.seed, self.step))
        self.freezeout.step(set_rates=self.captured is None)
        if self.chain.executable and self.freezeout.prefix > len(self.prefix):
            self.prefix.grow(self.freezeout.prefix)
            self.clock.lap("switch")
