"""Checks of the user's own arrays: that they are images and labels, and that those of a data set are consistent."""

from __future__ import annotations

import numpy as np

from freezeout.data.source import Arrays


def check_arrays(where: str, x: np.ndarray, y: np.ndarray) -> Arrays:
    """Refuse arrays that are not RGB images with their labels.

    Args:
        where: Their origin, a file or a function, for error messages.
        x: Expected to be images, uint8 (n, height, width, 3).
        y: Expected to be their labels, integers (n,), classes counted from 0.

    Returns:
        x unchanged, and y as int64.

    Raises:
        ValueError: They have another type or shape, or a label is negative. One line, which begins with `where`.
    """
    if x.dtype != np.uint8 or x.ndim != 4 or x.shape[3] != 3 or not x.size:
        raise ValueError(f"{where}: x is {x.dtype} {x.shape}: must be uint8 (n, height, width, 3)")
    if not np.issubdtype(y.dtype, np.integer) or y.ndim != 1:
        raise ValueError(f"{where}: y is {y.dtype} {y.shape}: must be integers (n,)")
    if len(x) != len(y):
        raise ValueError(f"{where}: {len(x)} images and {len(y)} labels: must match")
    if y.min() < 0:
        raise ValueError(f"{where}: a label is {y.min()}: classes are counted from 0")
    return x, y.astype(np.int64)


def check_agreement(train: dict[str, Arrays], test: dict[str, Arrays]) -> int:
    """Refuse arrays whose images differ in size, or whose labels do not have the same classes.

    In a small set a class may be absent by chance. Absence counts as a mistake if ten images are expected: ten training
    images per class on average, or, for the test set, its size times the absent classes' share of the training set.

    Args:
        train: Training images and labels by their origin: a file or a function.
        test: Likewise for the test or validation set; may be empty.

    Returns:
        The number of classes: the highest training label plus one.

    Raises:
        ValueError: They disagree, or labels skip a class. One line, which begins with the origin of the odd one.
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
            raise ValueError(f"{path}: label {strange[0]} occurs in no training image: is it another data set?")
    if test:
        tested = np.concatenate([y for _, y in test.values()])
        if (labels > tested.max()).mean() * len(tested) >= 10:
            raise ValueError(
                f"{next(iter(test))}: labels reach {tested.max()}, but {present[-1]} in {first}: another data set?"
            )
    return classes


def size_of(x: np.ndarray) -> str:
    """Height and width of images (n, height, width, 3), as error messages give it: "32 x 32"."""
    return f"{x.shape[1]} x {x.shape[2]}"
