"""The fields of each network, standard library only: every job is checked before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from freezeout.checks import check_at_least, check_share


@dataclass(kw_only=True)
class DenseNetBC:
    """DenseNet-BC for small images (Huang et al. 2017); 76/12 in the paper. depth = 3 blocks x 2 convs x layers + 4."""

    depth: int = 76
    growth: int = 12
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_at_least("model.growth", self.growth, 1)
        check_share("model.dropout", self.dropout, zero=True, one=False)
        if self.depth < 10 or (self.depth - 4) % 6:
            raise ValueError(f"model.depth={self.depth}: a DenseNet-BC has 6 n + 4 layers (10, 16, 22, ... 76, 100)")


@dataclass(kw_only=True)
class WideResNet:
    """Wide ResNet (Zagoruyko and Komodakis 2016); 40-4 in the paper. depth = 3 groups x 2 convs x blocks + 4."""

    depth: int = 40
    widen: int = 4
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_at_least("model.widen", self.widen, 1)
        check_share("model.dropout", self.dropout, zero=True, one=False)
        if self.depth < 10 or (self.depth - 4) % 6:
            raise ValueError(f"model.depth={self.depth}: a Wide ResNet has 6 n + 4 layers (10, 16, 22, 28, 40)")


@dataclass(kw_only=True)
class VGG:
    """VGG-16 with BatchNorm for 32 x 32 images, as in the paper; `width` multiplies every channel count."""

    width: float = 1.0
    dropout: float = 0.5

    def __post_init__(self) -> None:
        check_share("model.width", self.width)
        check_share("model.dropout", self.dropout, zero=True, one=False)


@dataclass(kw_only=True)
class ResNetCifar:
    """ResNet for small images (He et al. 2016, section 4.2), projection shortcuts; depth = 6 x blocks + 2."""

    depth: int = 56
    width: int = 16

    def __post_init__(self) -> None:
        check_at_least("model.width", self.width, 1)
        if self.depth < 8 or (self.depth - 2) % 6:
            raise ValueError(
                f"model.depth={self.depth}: a CIFAR ResNet has 6 n + 2 layers (8, 14, 20, 32, 44, 56, 110)"
            )


@dataclass(kw_only=True)
class Torchvision:
    """Any classification network of torchvision by its name there, untrained; stages are found by tracing."""

    network: str = "resnet50"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class Python:
    """A network of the user's own: target = package.module:function, called with classes and the options."""

    target: str
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        module, _, function = self.target.partition(":")
        if not module or not function:
            raise ValueError(f"model.target={self.target}: must be package.module:function")


MODELS = {
    "densenet_bc": DenseNetBC,
    "wide_resnet": WideResNet,
    "vgg": VGG,
    "resnet_cifar": ResNetCifar,
    "torchvision": Torchvision,
    "python": Python,
}
