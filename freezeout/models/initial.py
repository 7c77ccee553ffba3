"""How the original draws its first weights, and its one kind of convolution."""

from __future__ import annotations

import math

from torch import nn


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps height and width (at stride 1)."""
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)


def draw_weights(model: nn.Module) -> None:
    """Convolutions from N(0, 2 / (k * k * outputs)), classifier biases 0, as in the original; the rest as in torch."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=math.sqrt(2 / (math.prod(module.kernel_size) * module.out_channels)))
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
