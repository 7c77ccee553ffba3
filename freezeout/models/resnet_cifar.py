"""ResNet for small images (He et al. 2016, arXiv 1512.03385, section 4.2), with projection shortcuts as in Composer."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional

from freezeout.models.initial import conv, draw_weights
from freezeout.models.schema import ResNetCifar
from freezeout.stages.chain import Chain


class Block(nn.Module):
    """A residual block: (batch, inputs, h, w) -> (batch, outputs, h / stride, w / stride).

    Two 3 x 3 convolutions with BatchNorm. The shortcut is a 1 x 1 convolution with BatchNorm if the number of channels
    changes, else the input itself.

    Args:
        inputs: Number of input channels.
        outputs: Number of output channels.
        stride: Stride of the first convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv(inputs, outputs, 3, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = conv(outputs, outputs, 3)
        self.bn2 = nn.BatchNorm2d(outputs)
        same = inputs == outputs
        self.shortcut = None if same else nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return functional.relu(out + (x if self.shortcut is None else self.shortcut(x)))


def build(config: ResNetCifar, classes: int, image: tuple[int, int]) -> Chain:
    """A stem, three groups of (depth - 2) / 6 blocks, and the head.

    Args:
        config: Depth and width.
        classes: Number of classes.
        image: Not used: the network accepts images of any height and width of at least 8 pixels.

    Returns:
        29 stages at depth 56, with newly drawn weights.
    """
    inputs = config.width
    stem = OrderedDict(conv=conv(3, inputs, 3), bn=nn.BatchNorm2d(inputs), relu=nn.ReLU())
    stages: dict[str, nn.Module] = {"stem": nn.Sequential(stem)}
    for group in range(3):
        outputs = config.width * 2**group
        for block in range((config.depth - 2) // 6):
            stages[f"group{group + 1}_{block}"] = Block(inputs, outputs, 2 if group and block == 0 else 1)
            inputs = outputs
    head = OrderedDict(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), classifier=nn.Linear(inputs, classes))
    chain = Chain({**stages, "head": nn.Sequential(head)}, smallest=8)
    draw_weights(chain)
    return chain
