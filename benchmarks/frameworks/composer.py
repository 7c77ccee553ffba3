"""Composer, and its own layer freezing."""

from __future__ import annotations

from pathlib import Path

from composer import Callback, Logger, State, Trainer
from composer.algorithms import LayerFreezing
from composer.models import ComposerClassifier
from torch.utils.data import DataLoader

from benchmarks.frameworks.protocol import BATCH, EPOCHS, OURS, STOPPED, AtEpochs, Watch, images, sgd
from freezeout.plugins.composer import FreezeOutAlgorithm

NAME, THEIRS = "mosaicml", "Composer's LayerFreezing(freeze_start=0)"


class Watching(Callback):
    """Lets a Watch look."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def after_dataloader(self, state: State, logger: Logger) -> None:
        self.watch.begin()

    def batch_end(self, state: State, logger: Logger) -> None:
        self.watch.end()


def train(way: str, watch: Watch, folder: Path, *, saves: bool = False, resumes: bool = False) -> None:
    """See `Host`."""
    algorithm = FreezeOutAlgorithm(AtEpochs()) if way == OURS else LayerFreezing(freeze_start=0.0)
    model = ComposerClassifier(watch.network, num_classes=10)
    saving = {"save_folder": str(folder), "save_interval": "1ep", "save_filename": "{epoch}.pt"}
    trainer = Trainer(
        model=model,
        optimizers=sgd(model),
        train_dataloader=DataLoader(images(), BATCH),
        max_duration=f"{EPOCHS}ep",
        algorithms=[algorithm],
        callbacks=[Watching(watch)],
        device="cpu",
        progress_bar=False,
        load_path=str(folder / f"{STOPPED}.pt") if resumes else None,
        **(saving if saves else {}),
    )
    trainer.fit()
    trainer.close()
