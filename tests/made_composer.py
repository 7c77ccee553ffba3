"""A small network under Composer's Trainer, and the same training in a plain loop."""

from __future__ import annotations

import pytest
import torch
from made_chains import small_chain
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from freezeout import Chain, FreezeOut
from freezeout.strategies import FreezeOut as Schedule

pytest.importorskip("composer", reason="make composer-env")
from composer import Callback, Trainer
from composer.models import ComposerModel
from composer.optim import DecoupledAdamW, DecoupledSGDW

STEPS = 12
EARLY = Schedule(t_0=0.25, how_scale="linear", scale_lr=True)


class Model(ComposerModel):
    """Trains on batches by their number, dropout included."""

    def __init__(self, network: nn.Module, double: bool = False) -> None:
        super().__init__()
        self.network = network.double() if double else network

    def forward(self, batch):
        return outputs(self.network, batch[0])

    def loss(self, outputs, batch):
        return outputs.square().mean()

    def eval_forward(self, batch, outputs=None):
        assert not self.network.training
        return self.forward(batch) if outputs is None else outputs

    def get_metrics(self, is_train):
        return {}

    def update_metric(self, batch, outputs, metric):
        raise AssertionError("there are no metrics")


def outputs(network: nn.Module, numbers: torch.Tensor) -> torch.Tensor:
    """Of a batch that the numbers of its images give."""
    torch.manual_seed(int(numbers[0]))
    x = torch.randn(8, 3, 4, 4, dtype=next(network.parameters()).dtype)[: len(numbers)]
    return network(x)


def batches(number: int = 4) -> DataLoader:
    return DataLoader(TensorDataset(torch.arange(8 * number)), batch_size=8)


class Watch(Callback):
    """Keeps all weights and statistics after each batch."""

    def __init__(self) -> None:
        self.seen: list[list[torch.Tensor]] = []

    def batch_end(self, state, logger):
        self.seen.append([t.clone() for t in state.model.state_dict().values()])


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=0.01)


def made(algorithm=None, *, model=None, optimizer=adamw, **options) -> Trainer:
    """A Trainer of three epochs of four batches."""
    model = model or Model(small_chain())
    usual = {"progress_bar": False, "device": "cpu", "seed": 3, "max_duration": "3ep", "callbacks": [Watch()]}
    usual |= {"optimizers": optimizer(model), "train_dataloader": batches()}
    trainer = Trainer(model=model, algorithms=[algorithm] if algorithm else [], **{**usual, **options})
    trainer.watch = next(c for c in trainer.state.callbacks if isinstance(c, Watch))
    return trainer


def fitted(*args, **options) -> Trainer:
    trainer = made(*args, **options)
    trainer.fit()
    trainer.close()
    return trainer


def by_hand(*, parts=1, double=False, cosine=False) -> Chain:
    """The same training in a plain loop, at a constant rate that FreezeOut scales or under the cosine that it sets."""
    chain = Model(small_chain(), double).network
    optimizer = adamw(chain)
    freezer = FreezeOut(chain, optimizer, EARLY, STEPS, rates="set" if cosine else "scale")
    for step in range(STEPS):
        chain.train()
        freezer.step()
        for numbers in (torch.arange(8) + 8 * (step % 4)).chunk(parts):
            (outputs(chain, numbers).square().mean() / parts).backward()
        optimizer.step()
        optimizer.zero_grad()
    return chain


OPTIMIZERS = {
    "adamw": adamw,
    "sgd": lambda model: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01),
    "plain sgd": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
    "decoupled sgd": lambda model: DecoupledSGDW(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01),
    "decoupled adam": lambda model: DecoupledAdamW(model.parameters(), lr=0.01, weight_decay=0.01),
}
