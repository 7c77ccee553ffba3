"""The layout seeds x cells by least squares, whichever runs are missing: log error = seed + cell + noise.

With all runs there, a contrast of cells is the mean of its value under each seed. A missing run takes from a contrast
only what that run would have told, and not its whole seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

SMALL = 1e-9


@dataclass(frozen=True)
class TwoWay:
    """A least-squares fit of seeds and cells.

    Attributes:
        z: (seeds, cells) log errors; NaN for a missing run.
    """

    z: np.ndarray

    @cached_property
    def centring(self) -> np.ndarray:
        """(seeds, cells, cells): takes from each seed's runs their mean; 0 in rows and columns of missing runs."""
        there = (~np.isnan(self.z)).astype(float)
        each = np.maximum(there.sum(axis=1), 1)[:, None, None]
        return there[:, :, None] * np.eye(there.shape[1]) - there[:, :, None] * there[:, None, :] / each

    @cached_property
    def root(self) -> tuple[np.ndarray, np.ndarray]:
        """A root of `inverse`, (cells, r), and the sums of cells that the runs do not tell, (cells, cells - r)."""
        values, vectors = np.linalg.eigh(self.centring.sum(axis=0))
        told = values > SMALL * max(values.max(initial=0.0), 1.0)
        return vectors[:, told] / np.sqrt(values[told]), vectors[:, ~told]

    @cached_property
    def inverse(self) -> np.ndarray:
        """(cells, cells): the covariance of the cells' effects, up to seeds, in units of a run's variance."""
        return self.root[0] @ self.root[0].T

    @cached_property
    def effects(self) -> np.ndarray:
        """(cells,): the cells' effects, up to a constant that cancels in a contrast."""
        return self.inverse @ np.einsum("sij,sj->i", self.centring, np.nan_to_num(self.z))

    @cached_property
    def residuals(self) -> np.ndarray:
        """(seeds, cells): 0 for missing runs."""
        return np.einsum("sij,sj->si", self.centring, np.nan_to_num(self.z) - self.effects)

    @cached_property
    def means(self) -> np.ndarray:
        """(cells,): each cell's mean over all seeds, missing runs as fitted; over its own seeds if cells share none."""
        if self.root[1].shape[1] > 1:
            return np.nanmean(self.z, axis=0)
        some = self.z[~np.isnan(self.z).all(axis=1)]
        return self.effects + np.nanmean(some - self.effects, axis=1).mean()

    def has(self, forms: np.ndarray) -> np.ndarray:
        """(m,): whether the runs tell a contrast: its cells share seeds, directly or by way of other cells.

        Args:
            forms: (m, cells) weights, each row's sum 0.
        """
        return np.abs(forms @ self.root[1]).max(axis=1, initial=0.0) < 1e-6
