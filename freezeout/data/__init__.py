"""Images and labels for training. `load` makes any data set of the table; importing this imports no torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from freezeout.data.schema import DATASETS as DATASETS

if TYPE_CHECKING:
    from freezeout.data.source import Source

# The module of this package whose `load(config) -> Source` reads each set.
READERS = {
    "digits": "digits",
    "cifar10": "cifar",
    "cifar100": "cifar",
    "npz": "arrays",
    "image_folder": "image_folder",
    "synthetic": "synthetic",
    "python": "arrays",
}


def load(name: str, config: Any) -> Source:
    """The data set `name`, read as `config` (an instance of DATASETS[name]) says.

    Raises ValueError, in one line, for anything that is missing, damaged or contradicts itself.
    """
    if name not in DATASETS:
        raise ValueError(f"dataset={name}: must be one of {', '.join(DATASETS)}")
    return import_module(f"freezeout.data.{READERS[name]}").load(config)
