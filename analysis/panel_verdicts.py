"""The verdicts of a panel as a document: the commands print it, and `--json` gives it whole."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .cells import Cells
from .comparisons import Panel
from .placebos import placebos
from .twins import Pair
from .verdicts import Judgement, Verdict
from .whole import shown


@dataclass(frozen=True)
class PanelVerdicts:
    """A panel and the verdicts on its arms.

    Attributes:
        margin: A relative difference that does not matter; None if none was fixed.
        margin_of: Where it was fixed: `the sweep` or `the command line`.
        clocks: As `Cells.calibration`, for savings by the runs' clocks.
    """

    panel: Panel
    cells: Cells
    judgement: Judgement
    margin: float | None
    margin_of: str
    clocks: float

    def name(self, arm: int) -> str:
        """The name of an arm, with its epochs if the panel has several lengths."""
        point = self.panel.points.set_index("label").loc[self.cells.arms[arm]]
        return " ".join(filter(None, [point["series"], point["swept"]]))

    @property
    def pairs(self) -> list[Pair]:
        """The controls with their twins."""
        return [shown(pair, self.panel.waits) for pair in self.cells.pairs]

    def bound(self, arm: int) -> float:
        """The bound on the error of an arm's saving, a fraction of the full time."""
        family = self.cells.family
        return self.judgement.time_bounds[family.index(arm)] if arm in family else self.judgement.time_bound

    @property
    def wider_bounds(self) -> list[float]:
        """The bounds on time of arms whose own step times show a larger error than the panel's bound."""
        return [bound for bound in self.judgement.time_bounds if bound > self.judgement.time_bound]

    def error(self, arm: int) -> float:
        """The mean error of an arm, per cent."""
        return float(self.panel.points.set_index("label").loc[self.cells.arms[arm], "error"])


def document(one: PanelVerdicts) -> dict[str, Any]:
    """A panel's verdicts as plain data; null means not known.

    Savings, margin and time are fractions; errors are per cent. Differences are given both in per cent of the curve's
    error and in points of error.
    """
    panel, judgement, found = one.panel, one.judgement, one.cells
    curve, pooled = judgement.curve, judgement.pooled
    arms = [
        {
            "arm": one.name(c),
            "label": found.arms[c],
            "saving": found.savings[c],
            "saving_bound": one.bound(c),
            "error": one.error(c),
            "diverged_seeds": found.diverged[c],
            **_said(verdict),
        }
        for c, verdict in zip(found.family, judgement.verdicts, strict=True)
    ]
    controls = [
        {
            "control": one.name(pair.control),
            "twin": one.name(pair.twin),
            "what_differs": pair.what,
            "verdict": pair.word,
            "n": pair.n,
            **_per_cent({"difference": pair.difference, "low": pair.low, "high": pair.high}),
        }
        for pair in one.pairs
    ]
    whole = {
        "sweep": panel.sweep,
        "panel": panel.name,
        **{key: panel.first(key) for key in ("model", "dataset", "setting", "evaluation_split", "evaluation_images")},
        "device": panel.devices,
        "to_do": panel.to_do,
        "margin": one.margin,
        "margin_of": one.margin_of or None,
        "curve": {
            "budgets": list(found.budgets),
            "seeds": int((~np.isnan(found.curve_z).any(axis=1)).sum()) if found.budgets else 0,
            "dropped_budgets": list(found.dropped),
            "diverged_budgets": {f"{b:g}": n for b, n in found.diverged_budgets.items()},
            "kind": None if curve is None else "quadratic" if curve.is_quadratic else "straight lines",
            "lack_of_fit": curve.lack_of_fit if curve else None,
            "placebos": [
                {
                    "budget": placebo.budget,
                    "n": placebo.n,
                    "is_told": placebo.is_told,
                    **_per_cent({"difference": placebo.difference, "low": placebo.low, "high": placebo.high}),
                }
                for placebo in placebos(found.budgets, found.curve_z)
            ],
        },
        "time": {
            "saving": panel.saving,
            "bound": judgement.time_bound,
            "calibration": found.calibration,
            "clocks": one.clocks,
        },
        "family": {
            "arms": len(judgement.family),
            "critical": pooled.critical if pooled else None,
            "degrees_of_freedom": pooled.nu if pooled else None,
        },
        "arms": arms,
        "controls": controls,
    }
    return _plain(whole)


def _said(verdict: Verdict) -> dict[str, Any]:
    ends = {name: getattr(verdict, name) for name in ("difference", "low", "high", "low_images", "high_images")}
    points = {f"{name}_points": verdict.curve_error * math.expm1(value) for name, value in ends.items()}
    return {
        "verdict": verdict.word,
        "n": verdict.n,
        "curve_error": verdict.curve_error,
        **_per_cent(ends),
        **points,
        "time_part": 100 * math.expm1(verdict.time_part),
        "free_fraction": verdict.free_fraction,
        "seeds_that_tell": verdict.seeds_that_tell,
    }


def _per_cent(ends: Mapping[str, float]) -> dict[str, float]:
    """Differences of log error, converted to per cent of the error."""
    return {name: 100 * math.expm1(value) for name, value in ends.items()}


def _plain(value: Any) -> Any:
    """The value as JSON data: NaN becomes null, numpy's numbers become Python's."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and math.isnan(value) else value
