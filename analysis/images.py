"""The variance that the finite number of evaluation images adds to a contrast: images are a random sample, like seeds.

All runs of a panel are evaluated on the same images, so the effect of an image on all seeds does not average out over
seeds. It is estimated from the images that each run got wrong (the record's key `correct`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from freezeout.packed import correct_images

Wrong = Mapping[tuple[int, int], np.ndarray]  # (row of the seed, cell) -> (images,) bool


def wrong_images(record: Mapping[str, Any]) -> np.ndarray | None:
    """Which images of the run's evaluation split were misclassified, in their order; None if not recorded."""
    split, images = record.get("split"), record.get("data") or {}
    if not (record.get("correct") or {}).get(split) or not images.get(split):
        return None
    try:
        correct = correct_images(dict(record), str(split))
    except ValueError:  # no base64
        return None
    return ~np.array(correct, dtype=bool) if correct and len(correct) == images[split] else None


def image_variance(form: np.ndarray, z: np.ndarray, wrong: Wrong) -> float:
    """The variance of a contrast of log errors that comes from images and is shared by all seeds.

    To first order image i changes log error j by (wrong_ij / e_j - 1) / images. The two-way layout seeds x images gives
    the images' variance component: the variance of their means over seeds, less the part of it that is due to the
    scatter of seeds within images.

    Args:
        form: (cells,) weights of the contrast.
        z: (seeds, cells) log errors, NaN for a run that is not there.
        wrong: By (seed's row, cell).

    Returns:
        NaN if fewer than two seeds have the images of all cells.
    """
    cells = [int(c) for c in np.flatnonzero(form)]
    rows = [int(s) for s in np.flatnonzero(~np.isnan(z[:, cells]).any(axis=1))]
    rows = [s for s in rows if all((s, c) in wrong for c in cells)]
    if len(rows) < 2 or len({len(wrong[s, c]) for s in rows for c in cells}) > 1:
        return math.nan
    moved = np.array([sum(form[c] * _influence(wrong[s, c]) for c in cells) for s in rows])  # (seeds, images)
    n, images = moved.shape
    of_means = float(moved.mean(axis=0).var(ddof=1)) / images
    within = float(moved.var(axis=0, ddof=1).mean()) / (n * images)
    return max(0.0, of_means - within)


def _influence(wrong: np.ndarray) -> np.ndarray:
    """The influence of each image on log error, times the number of images; an error of 0 counts as half an image."""
    share = max(float(wrong.mean()), 0.5 / len(wrong))
    return (wrong - wrong.mean()) / share
