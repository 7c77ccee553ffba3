"""scikit-learn's handwritten digits: real images without a download. For trying things out: too few for
conclusions."""

from __future__ import annotations

import numpy as np

from freezeout.data.schema import Digits
from freezeout.data.source import InMemory, hold

TEST = 360


def load(config: Digits) -> InMemory:
    """Reads the digits from scikit-learn's own files; the grey channel is copied to all three.

    Args:
        config: The size that images are resized to.

    Returns:
        1,437 training and 360 test images of 8 x 8 pixels, no validation split; on the CPU.
    """
    from sklearn.datasets import load_digits  # half a second, for this set only

    grey, labels = load_digits(return_X_y=True)
    pixels = np.rint(grey * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)  # 16 shades of ink
    images = np.repeat(pixels, 3, axis=3)
    test = stratified(labels, TEST)
    train = np.setdiff1d(np.arange(len(labels)), test)
    splits = {"train": (images[train], labels[train]), "test": (images[test], labels[test])}
    return hold("digits", splits, 10, size=config.size)


def stratified(labels: np.ndarray, count: int) -> np.ndarray:
    """Draws images at random with every class in proportion, always the same ones.

    Args:
        labels: Integers (n,).
        count: Number of images to draw.

    Returns:
        Sorted indices (count,).
    """
    # numpy guarantees RandomState's stream for ever, unlike that of its generators; scikit-learn guarantees no split.
    shuffled = np.random.RandomState(0).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return np.sort(by_class[np.arange(count) * len(labels) // count])
