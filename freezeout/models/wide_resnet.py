"""Wide ResNet (Zagoruyko and Komodakis 2016, arXiv 1605.07146): pre-activation blocks, wide instead of deep."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional

from freezeout.models.initial import conv, draw_weights
from freezeout.models.schema import WideResNet
from freezeout.stages.chain import Chain


class Block(nn.Module):
    """Two pre-activated 3 x 3 convolutions. Where channels change, the shortcut too starts from the activated input."""

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = conv(inputs, outputs, 3, stride)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = conv(outputs, outputs, 3)
        self.shortcut = None if inputs == outputs else conv(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        active = functional.relu(self.bn1(x))
        out = functional.relu(self.bn2(self.conv1(active)))
        out = self.conv2(self.dropout(out))
        return out + (x if self.shortcut is None else self.shortcut(active))


def build(config: WideResNet, classes: int, image: tuple[int, int]) -> Chain:
    """Stem, 3 groups of (depth - 4) / 6 blocks, head: 20 stages at depth 40."""
    stages: dict[str, nn.Module] = {"stem": conv(3, 16, 3)}
    inputs = 16
    for group, (outputs, first_stride) in enumerate(((16, 1), (32, 2), (64, 2)), start=1):
        for block in range((config.depth - 4) // 6):
            stride = first_stride if block == 0 else 1
            stages[f"group{group}_{block}"] = Block(inputs, outputs * config.widen, stride, config.dropout)
            inputs = outputs * config.widen
    head = OrderedDict(
        bn=nn.BatchNorm2d(inputs),
        relu=nn.ReLU(),
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        classifier=nn.Linear(inputs, classes),
    )
    chain = Chain({**stages, "head": nn.Sequential(head)}, smallest=8)
    draw_weights(chain)
    return chain
