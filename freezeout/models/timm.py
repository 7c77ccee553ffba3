"""Any classification network of timm, untrained, with stages found by tracing."""

from __future__ import annotations

from typing import Any

from freezeout.models.named import check_known, cut
from freezeout.models.schema import Timm
from freezeout.stages.chain import Chain


def build(config: Timm, classes: int, image: tuple[int, int]) -> Chain:
    """Builds one of timm's networks and finds its stages by tracing.

    Args:
        config: Its name in timm and its options.
        classes: Number of classes.
        image: Height and width in pixels of the images that the network is traced with. A network with a fixed input
            size (a vision transformer) is built for this size.

    Returns:
        The network cut into stages, with newly drawn weights.

    Raises:
        ValueError: timm is not installed or has no network of this name, or the network does not take these options or
            images of this size. One line.
    """
    try:
        import timm
    except ImportError as error:
        raise ValueError(f"model=timm: cannot import timm ({error}): pip install 'freezeout[timm]'") from error
    check_known(config, timm.list_models(), "timm", "timm.list_models()")
    options: dict[str, Any] = {**config.options}
    pretrained = timm.get_pretrained_cfg(config.network)
    if pretrained is not None and pretrained.fixed_input_size:
        options.setdefault("img_size", image)
    return cut(
        config, lambda: timm.create_model(config.network, pretrained=False, num_classes=classes, **options), image
    )
