"""Data sets by name. Importing this imports no torch: `load` does."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from freezeout.checks import lookup
from freezeout.data.schema import DATASETS

if TYPE_CHECKING:
    from freezeout.data.source import Source

__all__ = ["DATASETS", "load"]


def load(name: str, config: Any) -> Source:
    """Loads a data set, downloading it where it is missing and published.

    Args:
        name: A key of DATASETS; the module of this package that has this name, or this name without the number at its
            end (`cifar` reads cifar10 and cifar100), loads it.
        config: An instance of `DATASETS[name]`.

    Returns:
        The data set, on the CPU.

    Raises:
        ValueError: The name is unknown, or something is missing, damaged or contradicts itself. One line.
    """
    lookup("dataset", DATASETS, name)
    return import_module(f"{__name__}.{name.rstrip('0123456789')}").load(config)
