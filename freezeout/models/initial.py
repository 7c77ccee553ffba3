"""Initial weights as FreezeOut's original code draws them, and the only kind of convolution that it uses."""

from __future__ import annotations

import math

from torch import nn


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias whose output has the height and width of its input divided by `stride`.

    Args:
        inputs: Number of input channels.
        outputs: Number of output channels.
        kernel: Height and width of the kernel in pixels, an odd number.
        stride: Distance between neighbouring outputs, in input pixels.

    Returns:
        The layer, with torch's default initial weights.
    """
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)


def draw_weights(model: nn.Module) -> None:
    """Redraws the weights of all convolutions and sets the biases of all linear layers to 0, as in the original code.

    A weight of a convolution with k x k pixels is drawn from a normal distribution of mean 0 and variance
    2 / (k * k * outputs) (He et al. 2015, equation 14). Everything else keeps the values that torch gave it.

    Args:
        model: The network, changed in place.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=math.sqrt(2 / (math.prod(module.kernel_size) * module.out_channels)))
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
