"""Networks as chains, by name. Importing this package does not import torch; calling `build` does."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from typing import TYPE_CHECKING, Any

from freezeout.checks import lookup
from freezeout.models.schema import MODELS

if TYPE_CHECKING:
    from freezeout.stages.chain import Chain

__all__ = ["MODELS", "build"]


def build(name: str, classes: int, *, image: tuple[int, int] = (32, 32), **fields: Any) -> Chain:
    """Builds a network with newly drawn weights.

    Args:
        name: A key of MODELS, and the name of the module in this package that builds the network.
        classes: Number of classes, the size of the logits.
        image: Height and width of the images in pixels; they have 3 channels.
        **fields: Fields of `MODELS[name]`; those left out keep their defaults.

    Returns:
        The network as a chain of stages, on torch's default device.

    Raises:
        ValueError: With a one-line message: the name, a field or its value is unknown or not allowed, or the images are
            too small for the network.
    """
    schema = lookup("model", MODELS, name)
    try:
        config = schema(**fields)
    except TypeError as error:
        known = ", ".join(f.name for f in dataclasses.fields(schema))
        raise ValueError(f"model={name} has the fields {known}, and was given {', '.join(fields)}") from error
    chain: Chain = import_module(f"{__name__}.{name}").build(config, classes, image)
    if min(image) < chain.smallest:
        least, got = chain.smallest, f"{image[0]} x {image[1]}"
        raise ValueError(f"{name} needs images of at least {least} x {least} and got {got}: set dataset.size={least}")
    return chain
