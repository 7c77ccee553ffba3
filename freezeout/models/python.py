"""A network of the user's own: a function in a file or a package, named in the configuration."""

from __future__ import annotations

import inspect

import torch
from torch import nn

from freezeout.chain import Chain, find_stages
from freezeout.models import import_target
from freezeout.models.schema import Python


def build(config: Python, classes: int, image: tuple[int, int]) -> Chain:
    """What `function(classes=classes, **options)` returns: a Chain as it is, a module cut into stages by tracing.

    Raises ValueError when module or function is missing, takes other arguments, or returns anything but a network.
    """
    target = f"model.target={config.target}"
    function = getattr(import_target("model.target", config.target), config.target.partition(":")[2])
    try:
        inspect.signature(function).bind(classes=classes, **config.options)
    except TypeError as error:
        arguments = ", ".join(["classes", *config.options])
        raise ValueError(f"{target}: cannot be called with {arguments}: {error}") from error
    network = function(classes=classes, **config.options)
    if isinstance(network, Chain):
        return network
    if not isinstance(network, nn.Module):
        raise ValueError(f"{target}: returned {type(network).__name__}, must be a torch.nn.Module or a freezeout.Chain")
    return find_stages(network, torch.zeros(1, 3, *image))
