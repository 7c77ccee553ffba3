"""A network of the user's own: a function in a file or a package, named in the configuration."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from freezeout import imports
from freezeout.models.schema import Python
from freezeout.stages.chain import Chain, find_stages

KEY = "model.target"


def build(config: Python, classes: int, image: tuple[int, int]) -> Chain:
    """Calls the user's function with `classes` and the options, and finds the stages of the network it returns.

    Args:
        config: Names the function and its options.
        classes: Number of classes, passed to the function.
        image: Height and width in pixels of the images that the network is traced with.

    Returns:
        The function's result if it is a Chain, else its network cut into stages by `find_stages`.

    Raises:
        ValueError: Module or function is missing, takes other arguments, raises anything, or does not return a network
            with one output per class for such images.
    """
    network = imports.call(KEY, config.target, {"classes": classes, **config.options})
    if isinstance(network, Chain):
        return network
    where = f"{KEY}={config.target}"
    if not isinstance(network, nn.Module):
        raise ValueError(f"{where}: returned {type(network).__name__}, must be a torch.nn.Module or a freezeout.Chain")
    try:
        chain = find_stages(network, torch.zeros(1, 3, *image))
        given = output_shape(chain, torch.zeros(2, 3, *image))
    except (Exception, SystemExit) as error:  # its forward runs here, which may raise anything
        reason = imports.blame(error, config.target.partition(":")[0])
        raise ValueError(f"{where}: its network raised {reason} for images of {image[0]} x {image[1]}") from error
    if given != (2, classes):
        raise ValueError(f"{where}: its output for 2 images in {classes} classes is {given}, must be {(2, classes)}")
    return chain


def output_shape(network: nn.Module, images: Tensor) -> tuple[int, ...]:
    """The shape of a network's output for images in evaluation mode; the network's own mode is restored."""
    training = network.training
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        shape = tuple(network.eval()(images).shape)
    network.train(training)
    return shape
