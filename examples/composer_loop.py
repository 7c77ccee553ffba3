"""FreezeOut in Composer: make composer-env; .venv-composer/bin/python examples/composer_loop.py

A small convolutional network under Composer's Trainer. It is stopped after half of its epochs, resumed from the
checkpoint, and ends with bitwise the weights of a run that was never stopped.
"""

import tempfile
from itertools import pairwise

import torch
from composer import Trainer
from composer.models import ComposerClassifier
from composer.optim import CosineAnnealingScheduler
from torch import nn

from freezeout import find_stages
from freezeout.plugins.composer import FreezeOutAlgorithm
from freezeout.strategies import FreezeOut as Schedule

EPOCHS = 6
images = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))
labels = images.mean((2, 3)).argmax(1)


def network() -> nn.Module:
    torch.manual_seed(0)
    widths = (3, 8, 8, 8)
    layers = [nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU()) for a, b in pairwise(widths)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))


def train(folder: str, checkpoint: str | None = None) -> nn.Module:
    model = ComposerClassifier(find_stages(network(), images[:1]), num_classes=3)  # line 1: a chain of stages
    freezing = FreezeOutAlgorithm(Schedule(t_0=0.4, how_scale="linear"))  # line 2
    trainer = Trainer(
        model=model,
        algorithms=[freezing],  # line 3
        optimizers=torch.optim.AdamW(model.parameters(), lr=0.01),
        schedulers=CosineAnnealingScheduler(),
        train_dataloader=torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, labels), batch_size=16),
        max_duration=f"{EPOCHS}ep",
        save_folder=folder,
        save_filename="{epoch}.pt",
        save_overwrite=True,
        load_path=checkpoint,
        device="cpu",
        progress_bar=False,
    )
    trainer.fit()
    trainer.close()
    steps = int(trainer.state.timestamp.batch)
    print(f"{freezing.freezer.prefix} of {len(model.module)} stages are frozen after {steps} steps")
    return model


with tempfile.TemporaryDirectory() as folder:
    through = train(folder)
    again = train(folder, f"{folder}/{EPOCHS // 2}.pt")
same = all(torch.equal(a, b) for a, b in zip(again.parameters(), through.parameters(), strict=True))
print(f"resumed: {'bitwise the run that was never stopped' if same else 'another run'}")
