"""Wide ResNet (Zagoruyko and Komodakis 2016, arXiv 1605.07146): pre-activation blocks with many channels."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional

from freezeout.models.initial import conv, draw_weights
from freezeout.models.schema import WideResNet
from freezeout.stages.chain import Chain


class Block(nn.Module):
    """A pre-activation residual block: (batch, inputs, h, w) -> (batch, outputs, h / stride, w / stride).

    BatchNorm and ReLU come before each of the two 3 x 3 convolutions. If the number of channels changes, the shortcut
    is a 1 x 1 convolution of the activated input, else the input itself.

    Args:
        inputs: Number of input channels.
        outputs: Number of output channels.
        stride: Stride of the first convolution.
        dropout: Share of the values between the convolutions that is set to 0 in training.
    """

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
    """A stem, three groups of (depth - 4) / 6 blocks, and the head.

    Args:
        config: Depth, width and dropout.
        classes: Number of classes.
        image: Not used: the network accepts images of any height and width of at least 8 pixels.

    Returns:
        20 stages at depth 40, with newly drawn weights.
    """
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
