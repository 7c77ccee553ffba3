"""The user's own images from a function in a file or a package, named in the configuration."""

from __future__ import annotations

import numpy as np

from freezeout import imports
from freezeout.data.arrays import check_agreement, check_arrays
from freezeout.data.schema import Python
from freezeout.data.source import SPLITS, Arrays, InMemory, hold

KEY = "dataset.target"


def load(config: Python) -> InMemory:
    """Calls the user's function with the options and checks the arrays that it returns.

    Args:
        config: Names the function, its options and the size that images are resized to.

    Returns:
        The data set, on the CPU.

    Raises:
        ValueError: The function is missing, takes other arguments, raises anything, or returns anything but the
            arrays of a training set and of a test or validation set that agree. One line, which names the function.
    """
    returned = imports.call(KEY, config.target, config.options)
    where = f"{KEY}={config.target}"
    if not isinstance(returned, dict) or "train" not in returned or not {"test", "validation"} & returned.keys():
        raise ValueError(f'{where}: must return {{"train": (x, y), "test": (x, y)}}, numpy arrays')
    if unknown := sorted(map(str, returned.keys() - set(SPLITS))):
        raise ValueError(f"{where}: returned {', '.join(unknown)}; the splits are {', '.join(SPLITS)}")
    splits: dict[str, Arrays] = {}
    for split, pair in returned.items():
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ValueError(f"{where}: {split} must be a pair (x, y) of numpy arrays")
        splits[split] = check_arrays(f"{where}: {split}", np.asarray(pair[0]), np.asarray(pair[1]))
    train, *others = ({f"{where}: {split}": splits[split]} for split in SPLITS if split in splits)
    classes = max(check_agreement(train, other) for other in others)  # the training set's, each time
    return hold("python", splits, classes, size=config.size)
