"""Any classification network of torchvision, untrained, its stages found by tracing."""

from __future__ import annotations

import difflib
from typing import Any

import torch
from torchvision import models

from freezeout.models.schema import Torchvision
from freezeout.stages.chain import Chain, find_stages

# These return several tensors in training, unless they are built without their auxiliary heads.
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
    name, known = config.network, models.list_models(module=models)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "see torchvision.models.list_models(module=torchvision.models)"
        raise ValueError(f"model.network={name}: torchvision has no such classification network; {hint}")
    options = {**_defaults(name, image), **config.options}
    if options.get("aux_logits"):
        raise ValueError("model.options.aux_logits=true: training needs one tensor of logits, leave it out")
    try:
        network = models.get_model(name, weights=None, num_classes=classes, **options)
        return find_stages(network, torch.zeros(1, 3, *image))
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        size = f"{image[0]} x {image[1]}"
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:200]
        given = "".join(f" {key}={value}" for key, value in config.options.items())
        what = f"{name}{given and f' with options{given}'} cannot be built for images of {size} ({reason})"
        raise ValueError(f"{what}: set model.options or dataset.size") from error


def _defaults(name: str, image: tuple[int, int]) -> dict[str, Any]:
    if name.startswith("vit_"):
        if image[0] != image[1]:
            raise ValueError(f"{name} needs square images and got {image[0]} x {image[1]}: set dataset.size")
        return {"image_size": image[0]}
    if name.startswith("maxvit"):
        return {"input_size": image}
    # init_weights is set because torchvision warns of a coming change of its default where it is not.
    return {"aux_logits": False, "init_weights": True} if name in WITH_AUXILIARY_HEADS else {}
