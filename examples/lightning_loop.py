"""FreezeOut in Lightning: python examples/lightning_loop.py

A small convolutional network under Lightning's Trainer. It is stopped after half of its epochs, resumed from the
checkpoint, and ends with bitwise the weights of a run that was never stopped.
"""

import tempfile
from itertools import pairwise

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from freezeout import find_stages
from freezeout.plugins.lightning import FreezeOutCallback
from freezeout.strategies import FreezeOut as Schedule

EPOCHS = 6
images = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))
labels = images.mean((2, 3)).argmax(1)


class Classifier(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        widths = (3, 8, 8, 8)
        layers = [
            nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU()) for a, b in pairwise(widths)
        ]
        network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
        self.network = find_stages(network, images[:1])  # line 1: the network as a chain of stages

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self.network(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.01)


def train(folder: str, checkpoint: str | None = None) -> nn.Module:
    module = Classifier()
    freezing = FreezeOutCallback(Schedule(t_0=0.4, how_scale="linear"))  # line 2
    keep = ModelCheckpoint(folder, filename="{epoch}", save_top_k=-1, enable_version_counter=False)
    batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, labels), batch_size=16)
    options = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = Trainer(max_epochs=EPOCHS, callbacks=[freezing, keep], **options)  # line 3
    trainer.fit(module, batches, ckpt_path=checkpoint)
    print(f"{freezing.freezer.prefix} of {len(module.network)} stages are frozen after {trainer.global_step} steps")
    return module


with tempfile.TemporaryDirectory() as folder:
    through = train(folder)
    again = train(folder, f"{folder}/epoch={EPOCHS // 2}.ckpt")
same = all(torch.equal(a, b) for a, b in zip(again.parameters(), through.parameters(), strict=True))
print(f"resumed: {'bitwise the run that was never stopped' if same else 'another run'}")
