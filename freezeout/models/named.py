"""Networks that a package provides by name, with stages found by tracing: what torchvision and timm share."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

import torch
from torch import nn

from freezeout.models.schema import Timm, Torchvision
from freezeout.stages.chain import Chain, find_stages


def check_known(config: Torchvision | Timm, known: Sequence[str], package: str, listed: str) -> None:
    """Refuses the name of a network that a package does not have.

    Args:
        config: Names the network.
        known: The names of the package's classification networks.
        package: The package's name.
        listed: The call that lists them, for the message if no known name is similar.

    Raises:
        ValueError: The name is unknown. One line.
    """
    if config.network not in known:
        near = difflib.get_close_matches(config.network, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"see {listed}"
        raise ValueError(f"model.network={config.network}: {package} has no such classification network; {hint}")


def cut(config: Torchvision | Timm, make: Callable[[], nn.Module], image: tuple[int, int]) -> Chain:
    """Makes a network and finds its stages.

    Args:
        config: The network's name and options, for error messages.
        make: Returns the network.
        image: Height and width in pixels of the images that the network is traced with.

    Raises:
        ValueError: The network does not take these options or images of this size. One line.
    """
    try:
        return find_stages(make(), torch.zeros(1, 3, *image))
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        size = f"{image[0]} x {image[1]}"
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:200]
        given = "".join(f" {key}={value}" for key, value in config.options.items())
        what = f"{config.network}{given and f' with options{given}'} cannot be built for images of {size} ({reason})"
        raise ValueError(f"{what}: set model.options or dataset.size") from error
