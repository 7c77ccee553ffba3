"""VGG-16 with BatchNorm for 32 x 32 images (Simonyan and Zisserman 2015), with the head of FreezeOut's own code."""

from __future__ import annotations

from torch import nn

from freezeout.models.initial import conv, draw_weights
from freezeout.models.schema import VGG
from freezeout.stages.chain import Chain

# Channels of the convolutions in each group. Each group ends with 2 x 2 max pooling: five reduce 32 x 32 to one pixel.
GROUPS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
SMALLEST = 32


def build(config: VGG, classes: int, image: tuple[int, int]) -> Chain:
    """Thirteen stages of convolution, BatchNorm, ReLU and, ending each group, pooling; a head of three linear layers.

    Args:
        config: Width and dropout.
        classes: Number of classes.
        image: Not used: for images larger than 32 x 32, the head averages over the remaining pixels.

    Returns:
        14 stages, with newly drawn weights.
    """
    stages: dict[str, nn.Module] = {}
    inputs = 3
    for group, widths in enumerate(GROUPS, start=1):
        for i, width in enumerate(widths):
            outputs = max(1, round(width * config.width))
            layers = [conv(inputs, outputs, 3), nn.BatchNorm2d(outputs), nn.ReLU()]
            pool = [nn.MaxPool2d(2)] if i == len(widths) - 1 else []
            stages[f"conv{group}_{i}"] = nn.Sequential(*layers, *pool)
            inputs = outputs
    hidden = inputs
    head = nn.Sequential(
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        *(nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(config.dropout)),
        # Normalised before and after the ReLU, as in the original.
        *(nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.BatchNorm1d(hidden)),
        *(nn.Dropout(config.dropout), nn.Linear(hidden, classes)),
    )
    chain = Chain({**stages, "head": head}, smallest=SMALLEST)
    draw_weights(chain)
    for layer in head:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01)
    return chain
