"""Trains on two processes that Lightning starts, in several ways, and leaves what each saw in files.

python lightning_ranks.py FOLDER; test_plugin_lightning.py runs it.
"""

import os
import sys
import warnings
from itertools import pairwise
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BaseFinetuning, ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy
from ranks import counting
from torch import distributed, nn

from freezeout import Chain
from freezeout.plugins.lightning import FreezeOutCallback
from freezeout.strategies import FreezeOut as Schedule

STEPS = 12
EARLY = Schedule(t_0=0.25, how_scale="linear", scale_lr=True)


def network() -> Chain:
    torch.manual_seed(0)
    widths = [3, 4, 4, 4, 4]
    blocks = {
        f"block{i}": nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.GroupNorm(2, b), nn.ReLU())
        for i, (a, b) in enumerate(pairwise(widths))
    }
    return Chain({**blocks, "head": nn.Sequential(nn.Flatten(), nn.Linear(4 * 16, 5))}).double()


class Classifier(LightningModule):
    """Each rank trains on its part of a batch that the number of the step gives."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network()

    def training_step(self, batch, batch_idx):
        parts = self.trainer.world_size * self.trainer.accumulate_grad_batches
        step, turn = divmod(self.trainer.fit_loop.total_batch_idx, self.trainer.accumulate_grad_batches)
        x = torch.randn(8, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
        return self.network(x.chunk(parts)[turn * self.trainer.world_size + self.global_rank]).square().mean()

    def configure_optimizers(self):
        return torch.optim.AdamW(self.network.parameters(), lr=0.01)


class Counts(FreezeOutCallback):
    """Notes the bytes of gradients that each step sends."""

    def on_fit_start(self, trainer, pl_module):
        super().on_fit_start(trainer, pl_module)
        self.sent = []
        trainer.strategy.model.register_comm_hook(self.sent, counting)

    def on_train_batch_start(self, *args):
        super().on_train_batch_start(*args)
        self.sent.append(0)


class FlagsOnly(BaseFinetuning):
    """Lightning's own way, the other way round."""

    def freeze_before_training(self, pl_module):
        pass

    def finetune_function(self, pl_module, epoch, optimizer):
        if epoch == 1:
            self.freeze(pl_module.network[0])


def fit(folder: Path, *callbacks, devices=2, accumulate=1, **options) -> list[torch.Tensor]:
    module = Classifier()
    strategy = DDPStrategy(process_group_backend="gloo") if devices == 2 else "auto"
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "accelerator": "cpu"}
    batches = torch.utils.data.DataLoader(torch.arange(4 * devices * accumulate), batch_size=1)
    Trainer(
        max_epochs=STEPS // 4,
        devices=devices,
        strategy=strategy,
        accumulate_grad_batches=accumulate,
        callbacks=list(callbacks),
        default_root_dir=folder,
        enable_checkpointing=any(isinstance(c, ModelCheckpoint) for c in callbacks),
        **quiet,
    ).fit(module, batches, **options)
    return [t.clone() for t in module.network.state_dict().values()]


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    seen: dict = {}
    counts = Counts(EARLY)
    keep = ModelCheckpoint(folder, filename="{step}", every_n_train_steps=8, save_top_k=-1)
    seen["through"] = fit(folder, counts, keep)
    seen["bytes"] = counts.sent
    seen["resumed"] = fit(folder, FreezeOutCallback(EARLY), ckpt_path=folder / "step=8.ckpt")
    seen["accumulated"] = fit(folder, FreezeOutCallback(EARLY), accumulate=2)
    try:
        fit(folder, FlagsOnly())
    except RuntimeError as error:
        seen["flags only"] = str(error)
    rank = distributed.get_rank()
    torch.save(seen, folder / f"{rank}.pt")
    distributed.barrier()
    distributed.destroy_process_group()
    if rank == 0:
        for name in ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE"):
            os.environ.pop(name, None)
        torch.save(fit(folder, FreezeOutCallback(EARLY), devices=1), folder / "alone.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
