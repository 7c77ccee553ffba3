"""The user's own images in numpy archives."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from freezeout.data.arrays import check_agreement, check_arrays
from freezeout.data.schema import Npz
from freezeout.data.source import Arrays, InMemory, hold
from freezeout.data.split import training_splits


def load(config: Npz) -> InMemory:
    """Reads the files of each split and holds the last training images out for validation, as `config` says.

    Args:
        config: The files, and how they are split and resized.

    Returns:
        The data set, on the CPU.

    Raises:
        ValueError: A file is missing or damaged, its arrays have a wrong shape or wrong labels, two files disagree, or
            there are fewer training images than are to be held out or kept. One line, which names the file or the key.
    """
    train, test = ({path: read(path) for path in files} for files in (config.train, config.test))
    classes = check_agreement(train, test)
    splits = training_splits(config, *join(train), classes)
    if test:
        splits["test"] = join(test)
    return hold("npz", splits, classes, size=config.size)


def read(path: str) -> Arrays:
    """The images and labels of one file.

    Args:
        path: An archive written by numpy.savez, with x and y.

    Returns:
        x uint8 (n, height, width, 3) and y int64 (n,).

    Raises:
        ValueError: The file is missing or damaged, or its content is not as described. One line, which begins with
            `path`.
    """
    try:
        # Opened here, because np.load leaves a file open if it is not an archive.
        with Path(path).expanduser().open("rb") as file:
            is_archive = file.read(2) == b"PK"
            file.seek(0)
            archive = np.load(file, allow_pickle=False) if is_archive else {}
            found = list(archive)
            arrays = {key: np.asarray(archive[key]) for key in ("x", "y") if key in found}
    except FileNotFoundError as error:
        raise ValueError(f"{path}: not found from {Path.cwd()}; give a path, absolute or relative to it") from error
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())
        if "allow_pickle" in reason:  # numpy advises allow_pickle=True, which does not apply here
            reason = "it holds Python objects, not numbers"
        raise ValueError(f"{path}: not a valid npz archive ({reason}): write it again with numpy.savez") from error
    if not is_archive:
        raise ValueError(f"{path}: not an npz archive: write it with numpy.savez, x= and y=")
    if missing := [key for key in ("x", "y") if key not in arrays]:
        raise ValueError(f"{path}: holds {', '.join(found) or 'nothing'}, no {missing[0]}: save it with x= and y=")
    return check_arrays(path, arrays["x"], arrays["y"])


def join(files: dict[str, Arrays]) -> Arrays:
    """The images and labels of several files, concatenated in the order in which the files are named.

    Args:
        files: x (n, height, width, 3) and y (n,) of each file by its name.

    Returns:
        x (sum of n, height, width, 3) and y (sum of n,).
    """
    x, y = zip(*files.values(), strict=True)
    return np.concatenate(x), np.concatenate(y)
