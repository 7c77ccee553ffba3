"""One epoch of training. Nothing here writes, logs or reads configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice

import torch
from torch import Tensor
from torch.optim import Optimizer

from freezeout.data.augment import Table, Views, epoch_table
from freezeout.data.source import Source
from freezeout.freeze import FreezeOut
from freezeout.stages.chain import Chain
from freezeout.stages.prefix import Prefix
from freezeout.strategy import REESTIMATE, reestimation_batches
from freezeout.train.cache import PrefixCache
from freezeout.train.captured import CapturedStep, Graphs
from freezeout.train.clock import Clock
from freezeout.train.inputs import Inputs
from freezeout.train.run_ahead import window_of
from freezeout.train.step import Step


def stream_seed(seed: int, step: int) -> int:
    """The seed of everything random inside training step `step` (dropout); depends on (seed, step) only."""
    return int.from_bytes(hashlib.blake2b(f"step {seed} {step}".encode(), digest_size=7).digest(), "little")


@dataclass(kw_only=True)
class Training:
    """A network in training: everything that `train_epoch` needs.

    Attributes:
        chain: The network, on `device`.
        optimizer: Over its parameters; its groups are those that `freezeout` made.
        freezeout: Holds the step number and determines which stages are frozen.
        source: The images and labels, on `device`.
        clock: Runs while an epoch trains.
        seed: Seed of the order of images, their augmentation and dropout.
        batch_size: Images per step.
        augment: "crop_flip" or "none".
        views: Fixed crops and flips that later epochs take in turn; None draws new ones in every epoch.
        label_smoothing: Label smoothing of the training loss, in [0, 1).
        bf16: Whether forward passes run under autocast to bfloat16.
        channels_last: Whether images are in that memory format.
        fold: Whether frozen stages run from prepared weights (see `freezeout.stages.fold`).
        run_ahead: Number of steps whose frozen prefix may run as one batch; 1 if the prefix is not a pure function.
        graphs: Captures the step, one graph per prefix; None trains eagerly.
        compile_seconds: Seconds spent compiling before the first step.
        loss_sum: Sum of the losses of the current epoch's steps so far; float64, on the device.
        cache: Stores the outputs of the frozen prefix; None if they are not stored.
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
    views: Views | None = None
    channels_last: bool = False
    fold: bool = True
    run_ahead: int = 1
    graphs: Graphs | None = None
    compile_seconds: float = 0.0
    loss_sum: Tensor = field(init=False)
    cache: PrefixCache | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        # Only the device's own generator: torch.manual_seed sets all, which takes 0.1 ms per step even without CUDA.
        cuda = self.device.type == "cuda"
        self.generator = torch.cuda.default_generators[self.device.index or 0] if cuda else torch.default_generator
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        self.steps_per_epoch = self.source.sizes["train"] // self.batch_size
        # A network that was not cut runs as a whole: requires_grad flags alone keep its frozen part out of the graph.
        stages = list(self.chain) if self.chain.executable else [self.chain]
        self.prefix = Prefix(
            stages,
            lambda: self.freezeout.prefix if self.chain.executable else 0,
            pure=self.freezeout.pure,
            fold=self.fold,
            dtype=torch.bfloat16 if self.bf16 else None,
        )
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
        self.inputs = Inputs(
            source=self.source,
            device=self.device,
            batch_size=self.batch_size,
            augment=self.augment,
            channels_last=self.channels_last,
            at_once=self.run_ahead,
        )
        self.captured = CapturedStep(self.body, self.freezeout, self.optimizer, self.graphs) if self.graphs else None

    @property
    def step(self) -> int:
        """Training steps begun so far, including the one in progress."""
        return self.freezeout.steps_begun

    def images(self, images: Tensor) -> Tensor:
        """See `Inputs.images`."""
        return self.inputs.images(images)

    def use(self, cache: PrefixCache) -> None:
        """Store the frozen prefix's outputs in `cache` from now on. Call it before the first step."""
        self.cache = cache
        self.body.ahead = True  # the cache is used outside the step that may be captured

    def train_epoch(self, on_step: Callable[[], bool]) -> float | None:
        """Train to the end of the current epoch or of the run.

        The clock includes drawing the epoch's table, every step, and freeze switches.

        Args:
            on_step: Called after each step; when it returns True, training stops there.

        Returns:
            The mean training loss of the epoch's steps; None when `on_step` stopped it before the end.
        """
        per_epoch = self.steps_per_epoch
        number = self.step // per_epoch
        epoch = range(number * per_epoch, min(self.freezeout.total_steps, (number + 1) * per_epoch))
        self.chain.train()
        self.freezeout.set_modes()
        self.clock.start()
        table = self._table(number)
        # Resume from the start of the interrupted window: its prefix ran as one batch and must do so again.
        window = self.next_window(epoch)
        rows = range(window.start - epoch.start, len(epoch))
        batches = self._batches(table, rows, number, self.freezeout.prefix_at(epoch.start))
        while self.train_window(window, batches, on_step):
            if self.step == epoch.stop:
                if self.cache:
                    self.cache.end()
                self.clock.stop()
                loss = self.loss_sum.item() / len(epoch)
                self.loss_sum.zero_()
                return loss
            window = self.next_window(epoch)
        self.clock.stop()
        return None

    def first_batches(self) -> Iterator[Tensor]:
        """Images of the first batches of the next step's epoch, preprocessed for the network."""
        rows = range(reestimation_batches(self.steps_per_epoch))
        return (x for x, _ in self._aside.batches(self._table(self.step // self.steps_per_epoch).rows(rows)))

    @cached_property
    def _aside(self) -> Inputs:
        """The same inputs with a source of their own: a source may serve only one iteration at a time."""
        return replace(self.inputs, source=replace(self.source))

    def next_window(self, epoch: range) -> range:
        """The window that contains the next training step; `epoch` is the range of steps of its epoch."""
        freezeout = self.freezeout
        freezeout.settle()
        return window_of(self.step, epoch, self.run_ahead, freezeout.phase_at, freezeout.steady_until)

    def _table(self, epoch: int) -> Table:
        view = self.views.of(epoch) if self.views else None
        images, pad = self.source.sizes["train"], self.source.pad
        return epoch_table(self.seed, epoch, images, self.batch_size, pad, self.augment, view)

    def _batches(self, table: Table, rows: range, epoch: int, prefix: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The inputs of the steps of these rows of the epoch's table: images, or cached outputs for them."""
        if self.cache is None:
            return self.inputs.batches(table.rows(rows))
        self.cache.begin(epoch, prefix, table.order)
        if not self.cache.base:
            return self.inputs.batches(table.rows(rows))
        return self.inputs.remembered(table, rows, self.cache)

    def train_window(
        self, window: range, batches: Iterator[tuple[Tensor, Tensor]], on_step: Callable[[], bool]
    ) -> bool:
        """Train the remaining steps of `window`.

        Args:
            window: Steps of one epoch with the same prefix.
            batches: Yields the preprocessed images and the labels of each step of the window, in order.
            on_step: Called after each step.

        Returns:
            False if `on_step` asked to stop in the middle of an epoch.
        """
        loaded: list[tuple[Tensor, Tensor]] = []
        ahead: Sequence[Tensor] = ()
        for row, step in enumerate(window):
            if step < self.step:
                continue
            self.clock.mark(step, self.freezeout.prefix_at(step))
            if not loaded:
                loaded = list(islice(batches, len(window)))
                self.clock.lap("input")
            self._begin_step()
            x, labels = loaded[row]
            if self.body.ahead and len(self.prefix):
                if len(window) == self.run_ahead > 1:
                    ahead = ahead or self._through(torch.cat([x for x, _ in loaded]), window).split(len(x))
                    x = ahead[row]
                else:
                    # One batch at a time: every other size would be another shape to tune and compile for.
                    x = self._through(x, range(step, step + 1))
            if self.captured:
                self.captured(x, labels, step)
            else:
                self.body(x, labels)
            if on_step() and self.step % self.steps_per_epoch and self.step < self.freezeout.total_steps:
                return False
        return True

    def _through(self, x: Tensor, steps: range) -> Tensor:
        """The frozen prefix's output for the images of these steps, or for cached outputs of its first stages."""
        if self.cache is None:
            return self.body.run_prefix(x)
        first = steps.start % self.steps_per_epoch
        return self.cache.through(x, range(first, first + len(steps)))

    def _begin_step(self) -> None:
        self.generator.manual_seed(stream_seed(self.seed, self.step))
        with self.body.autocast() if self.freezeout.bn == REESTIMATE else nullcontext():
            self.freezeout.step(set_rates=self.captured is None)
        if self.prefix.grow():
            self.clock.lap("switch")
