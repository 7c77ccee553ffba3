"""Data sets by name. Importing this package does not import torch; calling `load` does."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from freezeout.checks import lookup
from freezeout.data.schema import DATASETS

if TYPE_CHECKING:
    from freezeout.data.source import Source

__all__ = ["DATASETS", "load"]


def load(name: str, config: Any) -> Source:
    """Loads a data set; a published one that is missing is downloaded.

    Args:
        name: A key of DATASETS. Without trailing digits it is the name of the module in this package that loads the set
            (`cifar` loads cifar10 and cifar100).
        config: An instance of `DATASETS[name]`.

    Returns:
        The data set, on the CPU.

    Raises:
        ValueError: The name is unknown, or the data are missing, damaged or inconsistent. One line.
    """
    lookup("dataset", DATASETS, name)
    return import_module(f"{__name__}.{name.rstrip('0123456789')}").load(config)
