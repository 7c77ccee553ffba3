"""Images of the user's own as numpy arrays, from npz files or from a function, checked before they are believed."""

from __future__ import annotations

import inspect
import os
import sys
import zipfile
import zlib
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from freezeout.checks import raised
from freezeout.data.schema import Npz, Python
from freezeout.data.source import SPLITS, Arrays, InMemory, hold, hold_out


def load(config: Npz | Python) -> InMemory:
    """Raises ValueError naming the file or function whose arrays are missing, misshapen or mislabelled."""
    return load_npz(config) if isinstance(config, Npz) else load_python(config)


def load_npz(config: Npz) -> InMemory:
    named = {"train": {path: read(path) for path in config.train}, "test": {path: read(path) for path in config.test}}
    classes = check_agreement(named["train"], named["test"])
    train = join(named["train"])
    splits = {"train": train} if config.split == "test" else hold_out(*train, config.validation)
    if named["test"]:
        splits["test"] = join(named["test"])
    return hold("npz", splits, classes, size=config.size)


def load_python(config: Python) -> InMemory:
    returned = call(config.target, config.options)
    where = f"dataset.target={config.target}"
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


def read(path: str) -> Arrays:
    """x and y of one npz file. Raises ValueError naming the file."""
    try:
        # Opened here, because np.load leaves a file that is no archive open.
        with Path(path).expanduser().open("rb") as file:
            is_archive = file.read(2) == b"PK"
            file.seek(0)
            archive = np.load(file, allow_pickle=False) if is_archive else {}
            held = list(archive)
            arrays = {key: np.asarray(archive[key]) for key in ("x", "y") if key in held}
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file from {Path.cwd()}; give its path, absolute or from there") from error
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())
        if "allow_pickle" in reason:  # numpy's advice, which is not for here
            reason = "it holds Python objects, not numbers"
        raise ValueError(f"{path}: not a whole npz archive ({reason}): write it again, numpy.savez's way") from error
    if not is_archive:
        raise ValueError(f"{path}: not an npz archive: write it with numpy.savez, x= and y=")
    if missing := [key for key in ("x", "y") if key not in arrays]:
        raise ValueError(f"{path}: holds {', '.join(held) or 'nothing'}, no {missing[0]}: save it with x= and y=")
    return check_arrays(path, arrays["x"], arrays["y"])


def check_arrays(where: str, x: np.ndarray, y: np.ndarray) -> Arrays:
    """The two arrays if they are images and their labels. Raises ValueError that begins with `where`."""
    if x.dtype != np.uint8 or x.ndim != 4 or x.shape[3] != 3 or not x.size:
        raise ValueError(f"{where}: x is {x.dtype} {x.shape}: must be uint8 (n, height, width, 3)")
    if not np.issubdtype(y.dtype, np.integer) or y.ndim != 1:
        raise ValueError(f"{where}: y is {y.dtype} {y.shape}: must be integers (n,)")
    if len(x) != len(y):
        raise ValueError(f"{where}: {len(x)} images and {len(y)} labels: must be as many")
    if y.min() < 0:
        raise ValueError(f"{where}: a label is {y.min()}: classes are counted from 0")
    return x, y.astype(np.int64)


def check_agreement(train: dict[str, Arrays], test: dict[str, Arrays]) -> int:
    """The number of classes, when all files tell of the same images and classes. Raises ValueError naming the file.

    A class may be absent from a few images by chance; ten of it expected and none there is taken for a mistake.
    """
    first, (x_first, _) = next(iter(train.items()))
    for path, (x, _) in {**train, **test}.items():
        if x.shape[1:] != x_first.shape[1:]:
            raise ValueError(f"{path}: images of {size_of(x)} pixels, but {first} has {size_of(x_first)}: must agree")
    labels = np.concatenate([y for _, y in train.values()])
    present = np.unique(labels)
    classes = int(present[-1]) + 1
    if len(present) < classes and (len(labels) >= 10 * classes or classes > 10 * len(labels)):
        highest = next(path for path, (_, y) in train.items() if y.max() == present[-1])
        absent = next(c for c in range(classes) if c == len(present) or present[c] != c)
        raise ValueError(
            f"{highest}: labels reach {present[-1]}, but no training image is of class {absent}: count classes from 0"
        )
    for path, (_, y) in test.items():
        if strange := np.setdiff1d(y, present).tolist():
            raise ValueError(f"{path}: a label is {strange[0]}, a class that no training image has: is it another set?")
    if test:
        tested = np.concatenate([y for _, y in test.values()])
        if (labels > tested.max()).mean() * len(tested) >= 10:
            raise ValueError(
                f"{next(iter(test))}: labels end at {tested.max()}, but those of {first} at {present[-1]}: is it"
                " another set?"
            )
    return classes


def size_of(x: np.ndarray) -> str:
    return f"{x.shape[1]} x {x.shape[2]}"


def join(files: dict[str, Arrays]) -> Arrays:
    x, y = zip(*files.values(), strict=True)
    return np.concatenate(x), np.concatenate(y)


def call(target: str, options: dict[str, Any]) -> Any:
    """What package.module:function returns for the options.

    Raises ValueError when it cannot be found, imported or called, or raises anything itself.
    """
    module, _, function = target.partition(":")
    where = f"dataset.target={target}"
    if os.getcwd() not in sys.path:  # `python -m` has it there, a console script has not
        sys.path.append(os.getcwd())
    try:
        found = getattr(import_module(module), function, None)
    except ImportError as error:
        raise ValueError(f"{where}: {error}; run where it can be imported, or install it") from error
    except (Exception, SystemExit) as error:  # the user's code may raise anything; a script may end the program
        raise ValueError(f"{where}: importing {module} raised {raised(error, module)}") from error
    if not callable(found):
        raise ValueError(f"{where}: {module} has no function {function}")
    try:
        inspect.signature(found).bind(**options)
    except (TypeError, ValueError) as error:  # ValueError: a function in C that does not tell its arguments
        raise ValueError(f"{where}: {error}; dataset.options must fit the function") from error
    try:
        return found(**options)
    except (Exception, SystemExit) as error:
        raise ValueError(f"{where}: raised {raised(error, module)}") from error
