"""A panel's runs as cells: log errors by seed and configuration, the curve's apart from the arms'."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from .images import Wrong
from .pooled import LEAST
from .savings import CURVE
from .twins import ONLY_CONTROLS, Pair, pairs
from .two_way import TwoWay
from .verdicts import Judgement, judge, log_error


@dataclass(frozen=True)
class Cells:
    """The log errors and savings of a panel, from which its verdicts are computed.

    Attributes:
        seeds: One per row of the arrays.
        budgets: k fractions of the full training that baseline and shortened runs trained, the largest first.
        curve_z: (seeds, k) log errors; NaN for a run that is not there.
        arms: m labels, as the table of runs has them, in its order.
        savings: (m,) means over seeds; NaN where none is known.
        own_savings: (seeds, m) of the single runs, NaN if not known: the saving of an adaptive strategy depends on the
            seed. None if savings come from the runs' clocks: their noise is averaged out in the means.
        arm_z: (seeds, m) log errors.
        off: (m,) an arm's saving by its runs' own step times minus that by the profile, mean over seeds; NaN if fewer
            than LEAST of its runs give it. None if savings are not profiled.
        diverged: (m,) how many seeds diverged.
        calibration: The largest difference between the savings of shortened runs, mean over seeds, and 1 - budget, as a
            fraction of the full time: the error of the clocks or the profile. NaN if no such run has a saving.
        trust: The error of profiled savings by the scatter of their profiles' rounds, a fraction of the full time; 0
            for other savings, and if the profiles are not available.
        wrong: Which images each run misclassified, by (seed's row, cell), the curve's cells first.
        dropped: Budgets left out, with less than half as many seeds as the fullest: the curve weighs all alike.
        diverged_budgets: Number of diverged seeds of baseline and shortened runs, by budget, if any.
    """

    seeds: list[int]
    budgets: tuple[float, ...]
    curve_z: np.ndarray
    arms: list[str]
    savings: list[float]
    arm_z: np.ndarray
    diverged: list[int]
    own_savings: np.ndarray | None = None
    off: list[float] | None = None
    calibration: float = math.nan
    trust: float = 0.0
    wrong: Wrong = field(default_factory=dict)
    dropped: tuple[float, ...] = ()
    diverged_budgets: Mapping[float, int] = field(default_factory=dict)

    @cached_property
    def pairs(self) -> list[Pair]:
        """The controls with their twins."""
        return pairs(self.arms, self.arm_z)

    @cached_property
    def family(self) -> list[int]:
        """Positions of the arms that are judged together: all except those that serve only as a twin's control."""
        controls = {pair.control for pair in self.pairs if pair.what in ONLY_CONTROLS}
        return [c for c in range(len(self.arms)) if c not in controls]

    @cached_property
    def curve_means(self) -> np.ndarray:
        """(k,) mean log errors of the curve's cells, over all seeds that have any."""
        return TwoWay(self.curve_z).means

    def judged(self, margin: float | None = None) -> Judgement:
        """The verdicts of the family against the curve, in the family's order; margin: as `judge` takes it."""
        k = len(self.budgets)
        cell = {j: j for j in range(k)} | {k + c: k + i for i, c in enumerate(self.family)}
        return judge(
            self.budgets,
            self.curve_z,
            [1 - self.savings[c] for c in self.family],
            self.arm_z[:, self.family],
            own_budgets=None if self.own_savings is None else 1 - self.own_savings[:, self.family],
            time_bound=float(np.fmax(self.trust, self.calibration)),
            off=None if self.off is None else [self.off[c] for c in self.family],
            margin=margin,
            diverged=[self.diverged[c] for c in self.family],
            wrong={(s, cell[c]): bits for (s, c), bits in self.wrong.items() if c in cell},
        )


def cells(runs: pd.DataFrame, saving: str, wrong: Mapping[str, np.ndarray] | None = None) -> Cells:
    """The cells of one panel.

    Args:
        runs: Its runs that may enter error plots, and those that diverged.
        saving: The column of savings that places an arm over the curve.
        wrong: Which images a run misclassified, by run id.
    """
    own = runs[runs["left_out"].isna()].drop_duplicates(["seed", "label"])
    # An error of 0 has a logarithm only if the number of evaluation images is known.
    own = own[(own["error"] > 0) | own["evaluation_images"].notna()]
    own = own.assign(z=log_error(own["error"].to_numpy(), own["evaluation_images"].to_numpy()))
    is_curve = own["strategy"].isin(CURVE)
    rivals, others = own[is_curve], own[~is_curve]
    rivals = _by_budget(rivals)
    gone = _by_budget(runs[runs["strategy"].isin(CURVE) & runs["left_out"].eq("diverged")])
    counts = rivals["budget"].value_counts()
    kept = [float(b) for b in sorted(counts.index, reverse=True) if 2 * counts[b] >= counts.max()]
    labels = list(dict.fromkeys(runs.loc[~runs["strategy"].isin(CURVE), "label"]))
    seeds = sorted(int(seed) for seed in own["seed"].unique())
    curve = rivals.pivot(index="seed", columns="budget", values="z").reindex(index=seeds, columns=kept)
    arms = others.pivot(index="seed", columns="label", values="z").reindex(index=seeds, columns=labels)
    own_savings = others.pivot(index="seed", columns="label", values=saving).reindex(index=seeds, columns=labels)
    shortened = rivals[rivals["budget"] != 1]  # the full baseline saves nothing by definition
    gaps = (shortened[saving] - (1 - shortened["budget"])).groupby(shortened["budget"]).mean().abs()
    lost = runs.drop_duplicates("label").set_index("label")["diverged_seeds"]
    means = others.groupby("label")[saving].mean()
    off = _off(others) if saving == "profiled_saving" else None
    place = {**{b: j for j, b in enumerate(kept)}, **{label: len(kept) + c for c, label in enumerate(labels)}}
    ids = [(s, place.get(b), i) for s, b, i in rivals[["seed", "budget", "run_id"]].itertuples(index=False)]
    ids += [(s, place.get(label), i) for s, label, i in others[["seed", "label", "run_id"]].itertuples(index=False)]
    bits = {(seeds.index(s), c): wrong[i] for s, c, i in ids if wrong and c is not None and i in wrong}
    return Cells(
        seeds=seeds,
        budgets=tuple(kept),
        curve_z=curve.to_numpy(dtype=float),
        arms=labels,
        savings=[float(means.get(label, math.nan)) for label in labels],
        arm_z=arms.to_numpy(dtype=float),
        off=None if off is None else [off.get(label, math.nan) for label in labels],
        own_savings=None if saving == "measured_saving" else own_savings.to_numpy(dtype=float),
        diverged=[int(lost[label]) for label in labels],
        calibration=float(gaps.max()),
        trust=float(np.nan_to_num(own["timed_to"].max())) if saving == "profiled_saving" else 0.0,
        wrong=bits,
        dropped=tuple(float(b) for b in sorted(counts.index, reverse=True) if float(b) not in kept),
        diverged_budgets={float(b): int(n) for b, n in gone["budget"].value_counts().sort_index().items()},
    )


def _off(arms: pd.DataFrame) -> dict[str, float]:
    """As `Cells.off`, by label. A single run's step times scatter by a point or two whatever the profile."""
    found = arms["timed_off"].astype(float).groupby(arms["label"]).agg(["mean", "count"])
    return {str(label): float(mean) for label, mean, n in found.itertuples() if n >= LEAST}


def _by_budget(rivals: pd.DataFrame) -> pd.DataFrame:
    """Baseline and shortened runs with their `budget`, each seed once; without runs of unknown budget."""
    # With nothing frozen, a run's share of the full baseline's FLOPs equals its share of the steps.
    known = rivals.assign(budget=(1 - rivals["predicted_saving"]).round(6)).dropna(subset=["budget"])
    return known.drop_duplicates(["seed", "budget"])
