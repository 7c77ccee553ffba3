"""DenseNet-BC for small images (Huang et al. 2017, arXiv 1608.06993), in the details of FreezeOut's original code."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from freezeout.models.initial import conv, draw_weights
from freezeout.models.schema import DenseNetBC
from freezeout.stages.chain import Chain


class Bottleneck(nn.Module):
    """One dense layer: x (batch, c, h, w) -> (batch, c + growth, h, w), x followed by the new channels.

    Args:
        channels: Number of input channels, c.
        growth: Number of new channels.
        dropout: Share of the new values that is set to 0 in training.
    """

    def __init__(self, channels: int, growth: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = conv(channels, 4 * growth, 1)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = conv(4 * growth, growth, 3)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(functional.relu(self.bn1(x)))
        out = self.conv2(functional.relu(self.bn2(out)))
        return torch.cat((x, self.dropout(out)), 1)


class Transition(nn.Module):
    """Halves the channels, the height and the width. ReLU comes before BatchNorm here, as in the original code.

    Args:
        channels: Number of input channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.conv = conv(channels, channels // 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.avg_pool2d(self.conv(self.bn(functional.relu(x))), 2)


def build(config: DenseNetBC, classes: int, image: tuple[int, int]) -> Chain:
    """A stem, three blocks of (depth - 4) / 6 bottlenecks, with a transition after the first two, and the head.

    Args:
        config: Depth, growth and dropout.
        classes: Number of classes.
        image: Not used: the network accepts images of any height and width of at least 8 pixels.

    Returns:
        40 stages at depth 76, with newly drawn weights.
    """
    channels = 2 * config.growth
    stages: dict[str, nn.Module] = {"stem": conv(3, channels, 3)}
    for block in (1, 2, 3):
        for layer in range((config.depth - 4) // 6):
            stages[f"dense{block}_{layer}"] = Bottleneck(channels, config.growth, config.dropout)
            channels += config.growth
        if block < 3:
            stages[f"transition{block}"] = Transition(channels)
            channels //= 2
    head = OrderedDict(
        bn=nn.BatchNorm2d(channels),
        relu=nn.ReLU(),
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        classifier=nn.Linear(channels, classes),
    )
    chain = Chain({**stages, "head": nn.Sequential(head)}, smallest=8)
    draw_weights(chain)
    return chain
