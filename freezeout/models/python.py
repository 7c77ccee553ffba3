"""A network of the user's own: a function in a file or a package, named in the configuration."""

from __future__ import annotations

import inspect

import torch
from torch import nn

from freezeout.checks import raised
from freezeout.models import import_target
from freezeout.models.schema import Python
from freezeout.stages.chain import Chain, find_stages


def build(config: Python, classes: int, image: tuple[int, int]) -> Chain:
    """What `function(classes=classes, **options)` returns: a Chain as it is, a module cut into stages by tracing.

    Raises ValueError when module or function is missing, takes other arguments, raises anything, or returns anything
    but a network that runs on such images.
    """
    target = f"model.target={config.target}"
    module, _, name = config.target.partition(":")
    function = getattr(import_target("model.target", config.target), name)
    try:
        inspect.signature(function).bind(classes=classes, **config.options)
    except (TypeError, ValueError) as error:  # ValueError: a function in C that does not tell its arguments
        arguments = ", ".join(["classes", *config.options])
        raise ValueError(f"{target}: cannot be called with {arguments}: {error}") from error
    try:
        network = function(classes=classes, **config.options)
    except (Exception, SystemExit) as error:
        raise ValueError(f"{target}: raised {raised(error, module)}") from error
    if isinstance(network, Chain):
        return network
    if not isinstance(network, nn.Module):
        raise ValueError(f"{target}: returned {type(network).__name__}, must be a torch.nn.Module or a freezeout.Chain")
    try:
        return find_stages(network, torch.zeros(1, 3, *image))
    except (Exception, SystemExit) as error:
        size = f"{image[0]} x {image[1]}"
        raise ValueError(f"{target}: its network raised {raised(error, module)} for images of {size}") from error
