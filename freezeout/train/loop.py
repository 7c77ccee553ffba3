"""One epoch of training and one pass of evaluation. Nothing here writes, logs or reads configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import SGD, AdamW, Optimizer

from freezeout.chain import Chain
from freezeout.data.augment import crop_flip, epoch_table, normalise
from freezeout.data.source import Source, eval_order
from freezeout.freeze import FreezeOut
from freezeout.train.clock import Clock
from freezeout.train.schema import AdamW as AdamWFields
from freezeout.train.schema import Sgd as SgdFields

EVALUATION_BATCH = 500


def make_optimizer(fields: SgdFields | AdamWFields, chain: Chain) -> Optimizer:
    if isinstance(fields, SgdFields):
        return SGD(
            chain.parameters(),
            lr=fields.lr,
            momentum=fields.momentum,
            nesterov=fields.nesterov,
            weight_decay=fields.weight_decay,
        )
    betas = (fields.beta1, fields.beta2)
    return AdamW(chain.parameters(), lr=fields.lr, betas=betas, weight_decay=fields.weight_decay)


def stream_seed(seed: int, step: int) -> int:
    """The seed of everything random inside training step `step` (dropout): a function of (seed, step) alone."""
    return int.from_bytes(hashlib.blake2b(f"step {seed} {step}".encode(), digest_size=7).digest(), "little")


@dataclass
class Training:
    """A run in progress. `step` counts finished training steps; the rest of its state is in the parts."""

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
    step: int = 0
    loss_sum: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        self.steps_per_epoch = self.source.sizes["train"] // self.batch_size

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)

    def widened(self, logits: Tensor) -> Tensor:
        """Losses are sums that bfloat16 is too short for; float64 stays what it is."""
        return logits.float() if self.bf16 else logits

    def train_epoch(self, on_step: Callable[[], bool]) -> float | None:
        """Train to the end of the current epoch or of the run; the mean training loss of the epoch's steps.

        on_step: called after each step; when it returns True training stops there, and the result is None.
        The clock runs inside: drawing the table, every step, freeze switches.
        """
        total, per_epoch = self.freezeout.total_steps, self.steps_per_epoch
        epoch, first = divmod(self.step, per_epoch)
        end = min(total, (epoch + 1) * per_epoch)
        self.chain.train()
        self.clock.start()
        table = epoch_table(
            self.seed, epoch, self.source.sizes["train"], self.batch_size, self.source.pad, self.augment
        )
        rows = slice(first, end - epoch * per_epoch)
        top, left, flip = (a[rows].to(self.device) for a in (table.top, table.left, table.flip))
        batches = self.source.batches("train", table.order[rows])
        stopped = False
        for row, (images, labels) in enumerate(batches):
            self.clock.mark(self.step, self.freezeout.schedule.prefix(self.step, total))
            if self.augment != "none":
                images = crop_flip(images, top[row], left[row], flip[row], self.source.pad)
            self.loss_sum += self.train_step(normalise(images, self.source.mean, self.source.std), labels)
            self.step += 1
            if on_step() and self.step < end:
                stopped = True
                break
        self.clock.stop()
        if stopped:
            return None
        loss = self.loss_sum.item() / (end - epoch * per_epoch)
        self.loss_sum.zero_()
        return loss

    def train_step(self, images: Tensor, labels: Tensor) -> Tensor:
        """One step on images (batch, 3, height, width) of the network's dtype, labels (batch,); the loss, detached."""
        torch.manual_seed(stream_seed(self.seed, self.step))
        self.freezeout.step()
        with self.autocast():
            logits = self.chain(images)
        loss = cross_entropy(self.widened(logits), labels, label_smoothing=self.label_smoothing)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()


@dataclass(frozen=True)
class Evaluation:
    """loss: mean cross entropy. error: per cent misclassified. classes, probabilities: of each image, in order."""

    loss: float
    error: float
    classes: Tensor
    probabilities: Tensor


@torch.no_grad()
def evaluate(training: Training, split: str) -> Evaluation:
    """The network in evaluation mode on all of `split`, without augmentation. Training mode is left to the caller."""
    training.chain.eval()
    loss = torch.zeros((), dtype=torch.float64, device=training.device)
    wrong = torch.zeros((), dtype=torch.int64, device=training.device)
    classes, probabilities = [], []
    order = eval_order(training.source.sizes[split], EVALUATION_BATCH)
    for images, labels in training.source.batches(split, order):
        with training.autocast():
            logits = training.chain(normalise(images, training.source.mean, training.source.std))
        logits = training.widened(logits)
        predicted = logits.argmax(1)
        loss += cross_entropy(logits, labels, reduction="sum")
        wrong += (predicted != labels).sum()
        classes.append(predicted)
        probabilities.append(logits.softmax(1).gather(1, labels[:, None]).squeeze(1))
    n = training.source.sizes[split]
    return Evaluation(loss.item() / n, 100 * wrong.item() / n, torch.cat(classes), torch.cat(probabilities))
