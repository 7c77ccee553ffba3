"""What every framework trains, and what is recorded meanwhile."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from freezeout.layers import leaves
from freezeout.models.resnet_cifar import build
from freezeout.models.schema import ResNetCifar
from freezeout.schedule import Schedule
from freezeout.stages.chain import Chain
from freezeout.strategies import Strategy

EPOCHS, STEPS, BATCH, PIXELS = 9, 8, 50, 32
# Stages 0, 1 and 2 leave training when these epochs (counted from 0) begin: Composer's own freezing, which takes two of
# its 18 layers an epoch, has then frozen exactly these.
AT = (1, 3, 6)
STOPPED = 4  # epochs after which a run is resumed
OURS = "FreezeOut"


@dataclass(kw_only=True)
class AtEpochs(Strategy):
    """Freezes a stage at the beginning of each of the epochs AT, under the plain learning rate."""

    def schedule(self, n: int) -> Schedule:
        times = tuple(epoch / EPOCHS for epoch in AT) + (1.0,) * (n - len(AT))
        return Schedule(freeze=times, anneal=(1.0,) * n)


@dataclass
class Watch:
    """Observes a network while it trains; a framework's callback calls `begin` and `end` around each step.

    Attributes:
        network: What trains.
        seconds: CPU seconds of each step.
        layers: Frozen layers, as Composer counts them, after each step.
        first: Stage 0's tensors when it was frozen.
    """

    network: Chain
    seconds: list[float] = field(default_factory=list)
    layers: list[int] = field(default_factory=list)
    first: dict[str, Tensor] = field(default_factory=dict)

    def begin(self) -> None:
        """A training step begins."""
        self._started = time.process_time()

    def end(self) -> None:
        """It is over, the optimizer's part included."""
        self.seconds.append(time.process_time() - self._started)
        self.layers.append(sum(not any(p.requires_grad for p in m.parameters()) for m in leaves(self.network)))
        if self.layers[-1] and not self.first:
            self.first = {name: t.clone() for name, t in self.network[0].state_dict().items()}

    def shares(self) -> list[float]:
        """A step's time in each of the epochs AT, as a share of that of epoch 0: medians, without warm-up."""
        by_epoch = [median(self.seconds[STEPS * e + 2 : STEPS * (e + 1)]) for e in range(EPOCHS)]
        return [by_epoch[e] / by_epoch[0] for e in AT]

    def moved(self) -> list[str]:
        """The tensors of stage 0 that changed after it was frozen."""
        now = self.network[0].state_dict()
        return [name for name, then in self.first.items() if not torch.equal(then, now[name])]


class Host(Protocol):
    """A framework: a module of this package."""

    NAME: str
    THEIRS: str

    def train(self, way: str, watch: Watch, folder: Path, *, saves: bool = False, resumes: bool = False) -> None:
        """Train the watched network in one of two ways, OURS or THEIRS.

        Args:
            way: Which.
            watch: Of a new network.
            folder: For checkpoints.
            saves: Keep a checkpoint after each epoch.
            resumes: Go on from the one after STOPPED epochs.
        """


def network() -> Chain:
    """A ResNet-8 of 16 channels, ten classes: five stages, 19 layers with parameters."""
    torch.manual_seed(0)
    return build(ResNetCifar(depth=8, width=16), 10, (PIXELS, PIXELS))


def images() -> TensorDataset:
    """Random images, with the class encoded in a channel."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(STEPS * BATCH, 3, PIXELS, PIXELS, generator=generator)
    return TensorDataset(x, x[:, 0].mean((1, 2)).mul(1000).long() % 10)


def sgd(module: nn.Module) -> torch.optim.Optimizer:
    """SGD over all parameters of a module."""
    return torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
