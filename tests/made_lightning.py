"""A small network under Lightning's Trainer: what to train, and for how long."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from freezeout.strategies import FreezeOut as Schedule

pytest.importorskip("lightning", reason="pip install 'freezeout[lightning]'")
from lightning.pytorch import LightningModule, Trainer

STEPS = 12
EARLY = Schedule(t_0=0.25, how_scale="linear", scale_lr=True)


def loss_of(network: nn.Module, batch: int) -> torch.Tensor:
    """Of a batch that its number gives, dropout included."""
    torch.manual_seed(batch)
    return network(torch.randn(8, 3, 4, 4)).square().mean()


class Classifier(LightningModule):
    """Trains on batches by their number, with a scheduler or without."""

    def __init__(self, network: nn.Module, scheduler: bool = False) -> None:
        super().__init__()
        self.network = network
        self.scheduler = scheduler
        self.seen: list[list[torch.Tensor]] = []

    def training_step(self, batch, batch_idx):
        return loss_of(self.network, self.trainer.fit_loop.total_batch_idx)

    def on_train_batch_end(self, *_):
        self.seen.append([t.clone() for t in self.network.state_dict().values()])

    def validation_step(self, batch, batch_idx):
        assert not self.network.training
        loss_of(self.network, 0)

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=0.01)
        if not self.scheduler:
            return optimizer
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS)
        return [optimizer], [{"scheduler": cosine, "interval": "step"}]


def batches(number: int = 4) -> torch.utils.data.DataLoader:
    return torch.utils.data.DataLoader(torch.arange(number), batch_size=1)


def trainer(tmp_path, *callbacks, epochs=3, **options) -> Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "accelerator": "cpu"}
    callbacks = [c for c in callbacks if c is not None]
    return Trainer(max_epochs=epochs, callbacks=callbacks, default_root_dir=tmp_path, **{**quiet, **options})
