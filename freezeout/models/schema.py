"""The fields of each network; standard library only, so that every job is checked before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from freezeout.checks import check_at_least, check_share, check_target

MOST = 10_000  # layers or channels: a larger number is a typing error, and building the network would never end


@dataclass(kw_only=True)
class DenseNetBC:
    """DenseNet-BC for small images (Huang et al. 2017).

    Attributes:
        depth: Number of layers, 3 blocks x 2 convolutions x n + 4; 76 in the paper.
        growth: Channels that each dense layer adds; 12 in the paper.
        dropout: Share of a dense layer's new values that is set to 0 in training.
    """

    depth: int = 76
    growth: int = 12
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_at_least("model.growth", self.growth, 1, MOST)
        check_share("model.dropout", self.dropout, zero=True, one=False)
        if self.depth < 10 or (self.depth - 4) % 6:
            raise ValueError(f"model.depth={self.depth}: a DenseNet-BC has 6 n + 4 layers (10, 16, 22, ... 76, 100)")
        check_at_least("model.depth", self.depth, 10, MOST)


@dataclass(kw_only=True)
class WideResNet:
    """Wide ResNet (Zagoruyko and Komodakis 2016).

    Attributes:
        depth: Number of layers, 3 groups x 2 convolutions x n + 4; 40 in the paper.
        widen: Factor by which the 16, 32 and 64 channels of the groups are multiplied; 4 in the paper.
        dropout: Share of the values between a block's convolutions that is set to 0 in training.
    """

    depth: int = 40
    widen: int = 4
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_at_least("model.widen", self.widen, 1, MOST)
        check_share("model.dropout", self.dropout, zero=True, one=False)
        if self.depth < 10 or (self.depth - 4) % 6:
            raise ValueError(f"model.depth={self.depth}: a Wide ResNet has 6 n + 4 layers (10, 16, 22, 28, 40)")
        check_at_least("model.depth", self.depth, 10, MOST)


@dataclass(kw_only=True)
class VGG:
    """VGG-16 with BatchNorm for 32 x 32 images, as in the paper.

    Attributes:
        width: Multiplies every number of channels, in (0, 1].
        dropout: Share of the values before each of the last two linear layers that is set to 0 in training.
    """

    width: float = 1.0
    dropout: float = 0.5

    def __post_init__(self) -> None:
        check_share("model.width", self.width)
        check_share("model.dropout", self.dropout, zero=True, one=False)


@dataclass(kw_only=True)
class ResNetCifar:
    """ResNet for small images (He et al. 2016, section 4.2), with projection shortcuts.

    Attributes:
        depth: Number of layers, 3 groups x 2 convolutions x n + 2.
        width: The groups have this many channels, twice and four times as many.
    """

    depth: int = 56
    width: int = 16

    def __post_init__(self) -> None:
        check_at_least("model.width", self.width, 1, MOST)
        if self.depth < 8 or (self.depth - 2) % 6:
            raise ValueError(
                f"model.depth={self.depth}: a CIFAR ResNet has 6 n + 2 layers (8, 14, 20, 32, 44, 56, 110)"
            )
        check_at_least("model.depth", self.depth, 8, MOST)


@dataclass(kw_only=True)
class Torchvision:
    """Any classification network of torchvision, untrained; its stages are found by tracing.

    Attributes:
        network: Its name in torchvision.models.
        options: Keyword arguments of torchvision's function, other than the number of classes.
    """

    network: str = "resnet50"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class Timm:
    """Any classification network of timm, untrained; its stages are found by tracing.

    Attributes:
        network: Its name in timm.
        options: Keyword arguments of timm.create_model, other than the name and the number of classes.
    """

    network: str = "resnet18"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class Python:
    """A network of the user's own.

    Attributes:
        target: `package.module:function`. The function is called with `classes` and the options, and returns a
            torch.nn.Module or a freezeout.Chain.
        options: Its keyword arguments, other than `classes`.
    """

    target: str
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_target("model.target", self.target)
        if "classes" in self.options:
            given = self.options["classes"]
            raise ValueError(f"model.options.classes={given}: leave it out; the data set says how many classes it has")


MODELS: dict[str, type] = {
    "densenet_bc": DenseNetBC,
    "wide_resnet": WideResNet,
    "vgg": VGG,
    "resnet_cifar": ResNetCifar,
    "torchvision": Torchvision,
    "timm": Timm,
    "python": Python,
}
