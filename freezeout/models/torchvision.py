"""Any classification network of torchvision, untrained, with stages found by tracing."""

from __future__ import annotations

from typing import Any

from torchvision import models

from freezeout.models.named import check_known, cut
from freezeout.models.schema import Torchvision
from freezeout.stages.chain import Chain

# In training these return several tensors, unless they are built without their auxiliary heads.
WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")


def build(config: Torchvision, classes: int, image: tuple[int, int]) -> Chain:
    """Builds one of torchvision's networks and finds its stages by tracing.

    Args:
        config: Its name in torchvision and its options.
        classes: Number of classes.
        image: Height and width in pixels of the images that the network is traced with.

    Returns:
        The network cut into stages, with newly drawn weights.

    Raises:
        ValueError: torchvision has no network of this name, or the network does not take these options or images of
            this size. One line.
    """
    listed = "torchvision.models.list_models(module=torchvision.models)"
    check_known(config, models.list_models(module=models), "torchvision", listed)
    options = {**_defaults(config.network, image), **config.options}
    if options.get("aux_logits"):
        raise ValueError("model.options.aux_logits=true: training needs one tensor of logits, leave it out")
    return cut(config, lambda: models.get_model(config.network, weights=None, num_classes=classes, **options), image)


def _defaults(name: str, image: tuple[int, int]) -> dict[str, Any]:
    if name.startswith("vit_"):
        if image[0] != image[1]:
            raise ValueError(f"{name} needs square images and got {image[0]} x {image[1]}: set dataset.size")
        return {"image_size": image[0]}
    if name.startswith("maxvit"):
        return {"input_size": image}
    # init_weights is set because torchvision otherwise warns that its default will change.
    return {"aux_logits": False, "init_weights": True} if name in WITH_AUXILIARY_HEADS else {}
