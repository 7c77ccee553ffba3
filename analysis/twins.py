"""Controls and their twins: two arms of one schedule that differ in one thing, and the effect of it on the error.

A control is compared with its twin by a separate paired t interval: a different question from whether freezing beats
shortening. `lr_only`, which saves no time, and `bn=train`, which repeats its twin, serve only as controls and are in no
family of arms. `freeze_only`, and views as opposed to fresh crops, are also ways of freezing and are in the family.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from freezeout.schedule import POWERS

from .pooled import CONFIDENCE, LEAST

FREEZING = "freezeout"
TWINS = (FREEZING, "freeze_only")  # possible twins; the latter only of arms that differ in views
CONTROLS = ("lr_only", "freeze_only")  # FreezeOut with one of its two mechanisms switched off
ONLY_CONTROLS = ("rates only", "bn=train")  # in no family


@dataclass(frozen=True)
class Pair:
    """A control against its twin: log error, control minus twin.

    Attributes:
        control, twin: Positions of the arms.
        what: The one thing that differs, in words.
        word: `better` or `worse` for the control, `cannot tell`, or why there is no verdict.
        n: Seeds that both have.
        difference, low, high: NaN if there are too few.
    """

    control: int
    twin: int
    what: str
    word: str
    n: int
    difference: float = math.nan
    low: float = math.nan
    high: float = math.nan


def pairs(labels: list[str], z: np.ndarray) -> list[Pair]:
    """Every control with each of its twins.

    Args:
        labels: The arms' labels from the table of runs.
        z: (seeds, arms) log errors; NaN for a run that is not there.
    """
    read = [json.JSONDecoder().raw_decode(label)[0] for label in labels]  # two compared sweeps append their names
    twins = [t for t, label in enumerate(read) if label["strategy"]["name"] in TWINS]
    return [
        _pair(c, t, what, z[:, c] - z[:, t])
        for c in range(len(read))
        for t in twins
        if (what := difference(read[c], read[t])) and _met(z[:, c], z[:, t])
    ]


def _met(control: np.ndarray, twin: np.ndarray) -> bool:
    """Whether two arms have, or may still get, a seed in common; arms of two sweeps may have none."""
    ran = ~np.isnan(control), ~np.isnan(twin)
    return bool((ran[0] & ran[1]).any() or not ran[0].any() or not ran[1].any())


def norm(label: dict[str, Any]) -> str:
    """The `bn` setting of an arm: how its frozen stages normalise."""
    return str(label["strategy"].get("bn", "eval"))


def difference(control: dict[str, Any], twin: dict[str, Any]) -> str | None:
    """The one thing in which a control differs from its twin; None if the two are not such a pair."""
    own, other = control["strategy"], twin["strategy"]
    if own["name"] == "lr_only" and "views" in twin and "views_from" not in twin:
        # Views begin with the first frozen stage; a control that freezes nothing needs the time as `views_from`.
        if not _is_when_stage_0_freezes(control.get("views_from"), other):
            return None
        control = {key: value for key, value in control.items() if key != "views_from"}
    if control.keys() - twin.keys() == {"views"} and control == {**twin, "views": control["views"]}:
        return f"views={control['views']}"
    if {**control, "strategy": None} != {**twin, "strategy": None} or other["name"] != FREEZING:
        return None
    shared = (own.keys() & other.keys()) - {"name", "bn"}
    if any(own[key] != other[key] for key in shared) or own.get("depth") != other.get("depth"):
        return None
    own_bn, other_bn = norm(control), norm(twin)
    if own["name"] in CONTROLS and own_bn == other_bn:
        return "rates only" if own["name"] == "lr_only" else "freezing only"
    if own["name"] == FREEZING and own.keys() == other.keys() and (own_bn, other_bn) == ("train", "eval"):
        return "bn=train"
    return None


def _is_when_stage_0_freezes(t: float | None, strategy: dict[str, Any]) -> bool:
    if t is None or strategy["name"] != FREEZING:
        return False
    return math.isclose(t, strategy["t_0"] ** POWERS[strategy["how_scale"]])


def _pair(control: int, twin: int, what: str, each: np.ndarray) -> Pair:
    each = each[~np.isnan(each)]
    n = len(each)
    if n < LEAST:
        return Pair(control, twin, what, f"under {LEAST} seeds", n, float(each.mean()) if n else math.nan)
    mean = float(each.mean())
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, n - 1) * each.std(ddof=1) / math.sqrt(n))
    word = "worse" if mean - half > 0 else "better" if mean + half < 0 else "cannot tell"
    return Pair(control, twin, what, word, n, mean, mean - half, mean + half)
