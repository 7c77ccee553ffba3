"""Trains on two processes that Composer's launcher starts, in several ways, and leaves what each saw in files.

composer -n 2 composer_ranks.py FOLDER, and then alone: python composer_ranks.py FOLDER;
test_plugin_composer_resume.py runs both.
"""

import sys
import warnings
from itertools import pairwise
from pathlib import Path

import torch
from composer import Callback, Trainer
from composer.algorithms import LayerFreezing
from composer.models import ComposerModel
from composer.utils import dist
from ranks import counting
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

from freezeout import Chain
from freezeout.plugins.composer import FreezeOutAlgorithm
from freezeout.strategies import FreezeOut as Schedule

EPOCHS, STEPS = 3, 12
EARLY = Schedule(t_0=0.25, how_scale="linear", scale_lr=True)


class Model(ComposerModel):
    """Each rank trains on its part of the batch of a step."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        blocks = {
            f"block{i}": nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.GroupNorm(2, b), nn.ReLU())
            for i, (a, b) in enumerate(pairwise([3, 4, 4, 4, 4]))
        }
        self.network = Chain({**blocks, "head": nn.Sequential(nn.Flatten(), nn.Linear(4 * 16, 5))}).double()

    def forward(self, batch):
        return self.network(batch[0])

    def loss(self, outputs, batch):
        return outputs.square().mean()

    def eval_forward(self, batch, outputs=None):
        return self.forward(batch) if outputs is None else outputs

    def get_metrics(self, is_train):
        return {}

    def update_metric(self, batch, outputs, metric):
        raise AssertionError("there are no metrics")


class Counts(Callback):
    """Notes the bytes of gradients that each step sends, through whichever wrapper the model then has."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.hooked: list[nn.Module] = []

    def before_forward(self, state, logger):
        if isinstance(state.model, DistributedDataParallel) and not any(state.model is m for m in self.hooked):
            state.model.register_comm_hook(self.sent, counting)
            self.hooked = [state.model]

    def batch_start(self, state, logger):
        self.sent.append(0)


def fit(*algorithms, callbacks=(), parts=1, **options) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    data = TensorDataset(torch.randn(8 * STEPS // EPOCHS, 3, 4, 4, dtype=torch.float64, generator=generator))
    world = dist.get_world_size()
    model = Model()
    trainer = Trainer(
        model=model,
        optimizers=torch.optim.AdamW(model.parameters(), lr=0.01),
        train_dataloader=DataLoader(data, 8 // world, sampler=dist.get_sampler(data)),
        device_train_microbatch_size=8 // world // parts,
        max_duration=f"{EPOCHS}ep",
        algorithms=list(algorithms),
        callbacks=list(callbacks),
        device="cpu",
        seed=3,
        progress_bar=False,
        **options,
    )
    trainer.fit()
    trainer.close()
    return [t.clone() for t in model.state_dict().values()]


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    dist.initialize_dist("cpu")
    if dist.get_world_size() == 1:
        torch.save(fit(FreezeOutAlgorithm(EARLY)), folder / "alone.pt")
        return
    seen: dict = {}
    saving = {"save_folder": str(folder), "save_interval": "8ba", "save_filename": "{batch}.pt"}
    counts = Counts()
    seen["through"] = fit(FreezeOutAlgorithm(EARLY), callbacks=[counts], **saving)
    seen["bytes"] = counts.sent
    seen["resumed"] = fit(FreezeOutAlgorithm(EARLY), load_path=str(folder / "8.pt"))
    seen["in parts"] = fit(FreezeOutAlgorithm(EARLY), parts=2)
    counts = Counts()
    fit(LayerFreezing(freeze_start=0.0), callbacks=[counts])
    seen["bytes of theirs"] = counts.sent
    torch.save(seen, folder / f"{dist.get_global_rank()}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
