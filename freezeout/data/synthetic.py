"""Random images and labels of a given shape, for timing only: there is nothing to learn."""

from __future__ import annotations

import numpy as np

from freezeout.data.schema import Synthetic
from freezeout.data.source import InMemory, hold


def load(config: Synthetic) -> InMemory:
    """Draws uniform pixels and labels, the same ones each time.

    Args:
        config: Number of images and classes, and the size of the images.

    Returns:
        A data set marked as synthetic, without a validation split; on the CPU.
    """
    random = np.random.RandomState(0)

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        pixels = np.frombuffer(random.bytes(n * config.size**2 * 3), np.uint8)
        return pixels.reshape(n, config.size, config.size, 3), random.randint(config.classes, size=n)

    return hold("synthetic", {"train": draw(config.train), "test": draw(config.test)}, config.classes, synthetic=True)
