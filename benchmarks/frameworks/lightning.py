"""Lightning, and its BackboneFinetuning the other way round: its `freeze`, when an epoch begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import BaseFinetuning, ModelCheckpoint
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from benchmarks.frameworks.protocol import AT, BATCH, EPOCHS, OURS, STOPPED, AtEpochs, Watch, images, sgd
from freezeout.plugins.lightning import FreezeOutCallback
from freezeout.stages.chain import Chain

NAME, THEIRS = "lightning", "Lightning's BaseFinetuning.freeze"


class Reversed(BaseFinetuning):
    """Freezes the first stages, where BackboneFinetuning would thaw the last ones."""

    def freeze_before_training(self, pl_module: LightningModule) -> None:
        pass

    def finetune_function(self, pl_module: LightningModule, epoch: int, optimizer: torch.optim.Optimizer) -> None:
        if epoch in AT:
            self.freeze(pl_module.network[AT.index(epoch)])


class Watching(Callback):
    """Lets a Watch look."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def on_train_batch_start(self, *_: Any) -> None:
        self.watch.begin()

    def on_train_batch_end(self, *_: Any) -> None:
        self.watch.end()


class Classifier(LightningModule):
    """The network and its loss."""

    def __init__(self, network: Chain) -> None:
        super().__init__()
        self.network = network

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return cross_entropy(self.network(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return sgd(self)


def train(way: str, watch: Watch, folder: Path, *, saves: bool = False, resumes: bool = False) -> None:
    """See `Host`."""
    keep = [ModelCheckpoint(folder, filename="{epoch}", save_top_k=-1)] if saves else []
    trainer = Trainer(
        max_epochs=EPOCHS,
        callbacks=[Watching(watch), FreezeOutCallback(AtEpochs()) if way == OURS else Reversed(), *keep],
        enable_checkpointing=saves,
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    checkpoint = folder / f"epoch={STOPPED - 1}.ckpt" if resumes else None
    trainer.fit(Classifier(watch.network), DataLoader(images(), BATCH), ckpt_path=checkpoint)
