"""Which of the training images train: not those held out for validation, and of the others as many as are asked for."""

from __future__ import annotations

import math

import numpy as np

from freezeout.data.schema import HeldOut
from freezeout.data.source import Arrays


def training_splits(config: HeldOut, x: np.ndarray, y: np.ndarray, classes: int) -> dict[str, Arrays]:
    """Splits the last images off for validation and keeps as many of the others as the configuration says.

    Args:
        config: How many are held out, and how many are kept.
        x: Images (n, ...).
        y: Their labels, integers (n,).
        classes: Number of classes.

    Returns:
        "train" and, where images are held out, "validation".

    Raises:
        ValueError: There are not as many images, or not as many of each class; or the images come class by class, so
            that the last ones tell nothing of most classes. One line.
    """
    left = len(x) - config.held_out(len(x))
    if left < len(x):
        check_mixed(y[:left], y[left:])
    train = x[:left], y[:left]
    if config.limit is not None:
        rows = balanced(y[:left], config.kept(left, classes), classes)
        train = x[rows], y[rows]
    return {"train": train} if left == len(x) else {"train": train, "validation": (x[left:], y[left:])}


def check_mixed(train: np.ndarray, held_out: np.ndarray) -> None:
    """Refuse held-out images that lack more classes than chance explains, as where images come class by class.

    Args:
        train: Labels of the training images (n,).
        held_out: Those of the images held out (m,).

    Raises:
        ValueError: Were the images in any random order, one in a million would lack as many classes. One line.
    """
    labels, count = np.concatenate([train, held_out]), len(held_out)
    present, images = np.unique(labels, return_counts=True)
    lacked = ~np.isin(present, held_out)
    sets = math.comb(len(present), int(lacked.sum()))  # of so many classes: each might be the one that is lacked
    if math.log(sets) + count * math.log1p(-images[lacked].sum() / len(labels)) < math.log(1e-6):
        raise ValueError(
            f"dataset.validation={count}: the last {count} training images are held out, and they show"
            f" {len(present) - lacked.sum()} of {len(present)} classes: are the images in the order of their classes?"
            " shuffle them, or give test images and dataset.split=test"
        )


def balanced(labels: np.ndarray, count: int, classes: int) -> np.ndarray:
    """Draws images at random, of each class as many to within one; always the same ones, whatever a run's seed.

    A smaller draw is part of a larger one.

    Args:
        labels: Integers (n,).
        count: How many to draw.
        classes: Number of classes; the first ones give an image more where `count` is no multiple.

    Returns:
        Sorted indices (count,).

    Raises:
        ValueError: A class has too few images. One line.
    """
    # numpy promises RandomState's stream for ever, unlike that of its generators.
    shuffled = np.random.RandomState(0).permutation(len(labels))
    drawn = []
    for c in range(classes):
        of_class, wanted = shuffled[labels[shuffled] == c], -((c - count) // classes)
        if len(of_class) < wanted:
            raise ValueError(
                f"dataset.limit={count}: takes {wanted} training images of each class, but class {c} has"
                f" {len(of_class)}: lower it, or give null for all images"
            )
        drawn.append(of_class[:wanted])
    return np.sort(np.concatenate(drawn))
