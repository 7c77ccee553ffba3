"""Selecting the training images: some are held out for validation, and the others may be limited in number."""

from __future__ import annotations

import math

import numpy as np

from freezeout.data.schema import HeldOut
from freezeout.data.source import Arrays


def training_splits(config: HeldOut, x: np.ndarray, y: np.ndarray, classes: int) -> dict[str, Arrays]:
    """Splits the last images off for validation and keeps the configured number of the others.

    Args:
        config: How many are held out, and how many are kept.
        x: Images (n, ...).
        y: Their labels, integers (n,).
        classes: Number of classes.

    Returns:
        "train" and, if images are held out, "validation".

    Raises:
        ValueError: There are too few images, or too few of a class; or the images are sorted by class, so that the last
            ones lack most classes. One line.
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
    """Refuse held-out images that lack more classes than chance explains, as when images are sorted by class.

    Args:
        train: Labels of the training images (n,).
        held_out: Labels of the images held out (m,).

    Raises:
        ValueError: If the images were in random order, the probability of lacking as many classes would be below one in
            a million. One line.
    """
    labels, count = np.concatenate([train, held_out]), len(held_out)
    present, images = np.unique(labels, return_counts=True)
    lacked = ~np.isin(present, held_out)
    sets = math.comb(len(present), int(lacked.sum()))  # union bound over the sets of classes that could be lacking
    if math.log(sets) + count * math.log1p(-images[lacked].sum() / len(labels)) < math.log(1e-6):
        raise ValueError(
            f"dataset.validation={count}: the last {count} training images are held out, and they show"
            f" {len(present) - lacked.sum()} of {len(present)} classes: are the images sorted by class?"
            " shuffle them, or give test images and dataset.split=test"
        )


def balanced(labels: np.ndarray, count: int, classes: int) -> np.ndarray:
    """Draws images at random, equally many of each class to within one; always the same ones, whatever a run's seed.

    A smaller draw is a subset of a larger one.

    Args:
        labels: Integers (n,).
        count: Number of images to draw.
        classes: Number of classes; the first ones give one image more if `count` is not a multiple.

    Returns:
        Sorted indices (count,).

    Raises:
        ValueError: A class has too few images. One line.
    """
    # numpy guarantees RandomState's stream for ever, unlike that of its generators.
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
