"""The rows of a panel's two plots of error: points over time saved with the curve, and differences from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import takewhile
from typing import Any

import numpy as np
import pandas as pd

from freezeout.records import null_if_not_finite

from ..axes import ERRORS, axis_of
from ..drawing import SEED
from ..drawn_curve import drawn_curve
from ..front_chances import front_chances
from ..intervals import limits
from ..looks import styles
from ..panel_verdicts import PanelVerdicts, document
from ..summary import seeds, with_interval
from ..text import number
from ..verdict_text import seeds_needed
from .provenance import wandb

# matplotlib's markers as Vega's symbols; symbols that Vega lacks are paths in a square from -1 to 1.
SYMBOLS = {
    "o": "circle",
    "^": "triangle-up",
    "v": "triangle-down",
    "P": "cross",
    "X": "M-.8,-.4L-.4,-.8L0,-.4L.4,-.8L.8,-.4L.4,0L.8,.4L.4,.8L0,.4L-.4,.8L-.8,.4L-.4,0Z",
    "p": "M0,-.9L.86,-.28L.53,.73L-.53,.73L-.86,-.28Z",
    "*": "M0,-1L.25,-.34L.95,-.31L.4,.13L.59,.81L0,.42L-.59,.81L-.4,.13L-.95,-.31L-.25,-.34Z",
    "D": "diamond",
    "s": "square",
}


def looks(one: PanelVerdicts) -> list[dict[str, str]]:
    """The style of each series of a panel, in their order: `series`, `strategy`, `colour` and `symbol`."""
    strategies = one.panel.points.drop_duplicates("series").set_index("series")["strategy"]
    return [
        {"series": name, "strategy": str(strategies[name]), "colour": colour, "symbol": SYMBOLS[marker]}
        for name, (colour, marker) in styles(one.panel.points).items()
    ]


def pareto(one: PanelVerdicts, records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Means and single runs over the saving of the panel's axis, and the fitted curve.

    Returns:
        `points` and `runs`, ready for a tooltip; `curve`, the fit from end to end with its band; `without`, the
        configurations not in the plot because their saving is not known or all seeds diverged; the limits `x` and `y`.
    """
    panel, axis = one.panel, axis_of(one.panel, "saving")
    of = {look["series"]: look for look in looks(one)}
    known = panel.points[panel.points[axis.column].notna() & (panel.points["n"] > 0)]
    points = [_point(row, axis.column, of[row["series"]], panel.runs, records) for row in known.to_dict("records")]
    chances = front_chances(one, np.random.default_rng(SEED))
    for point, label in zip(points, known["label"], strict=True):
        chance = 100 * chances.get(label, math.nan)
        point["front"] = "not known" if math.isnan(chance) else f"with probability {number(chance, 0)} %"
    runs = [
        {
            "series": run["series"],  # whose style the page gives it
            "x": 100 * run[axis.column],
            "y": run["error"],
            "configuration": _name(run),
            "seed": str(int(run["seed"])),
            "seconds": f"{number(run['seconds_train'], 1)} s",
            "error": f"{number(run['error'], 2)} %",
            "run": run["run_id"],
            "wandb": wandb(records[run["run_id"]]) or "not logged",
        }
        for run in panel.runs[panel.runs[axis.column].notna()].to_dict("records")
    ]
    without = panel.points[~panel.points.index.isin(known.index)]
    found: dict[str, Any] = {
        "points": points,
        "runs": runs,
        "curve": _curve(one),
        "without": [
            f"{_name(row)} ({'no saving known' if row['n'] else 'diverged'})" for row in without.to_dict("records")
        ],
    }
    if runs:
        ends = [point[end] for point in points for end in ("low", "high") if point[end] is not None]
        found["x"] = limits([mark["x"] for mark in points + runs], (), axis.bounds)
        found["y"] = limits([mark["y"] for mark in points + runs], ends, ERRORS)
        _name_apart(points, found["x"], found["y"])
    return null_if_not_finite(found)


def forest(one: PanelVerdicts) -> dict[str, Any]:
    """The arms' differences from the curve, per cent of its error.

    Returns:
        `arms`: those of `panel_verdicts.document`, with their style, the ends `inner_low` and `inner_high` of the
        interval without the bound on time, `words`, and `tells`, as `seeds_needed` gives it. `margin` in per cent, None
        without one; `without`, arms that have no difference; the limits `x`.
    """
    said, series = document(one), one.panel.points.set_index("label")["series"]
    of = {look["series"]: look for look in looks(one)}
    arms = []
    for arm, verdict in zip(said["arms"], one.judgement.verdicts, strict=True):
        inner = (verdict.low + verdict.time_part, verdict.high - verdict.time_part)
        words = arm["verdict"]
        if arm["difference"] is not None:
            words += f" {number(arm['difference'], 1, '+')} %"
        if arm["low"] is not None:
            words += f" [{number(arm['low'], 1, '+')}, {number(arm['high'], 1, '+')}]"
        own = {"inner_low": 100 * math.expm1(inner[0]), "inner_high": 100 * math.expm1(inner[1]), "words": words}
        own["tells"] = seeds_needed(arm, said["margin"] is not None)
        arms.append({**of[series[arm["label"]]], **arm, **own})
    margin = None if said["margin"] is None else 100 * said["margin"]
    columns = zip(*(arm["arm"].split(" ")[:-1] for arm in arms), strict=False)
    shared = [words[0] for words in takewhile(lambda words: len({*words}) == 1 < len(words), columns)]
    for arm in arms:
        arm["name"] = arm["arm"].removeprefix(
            " ".join([*shared, ""])
        )  # drops words shared by all names: a phone has no room for them
    without = [f"{arm['arm']} ({arm['verdict']})" for arm in arms if arm["difference"] is None]
    found: dict[str, Any] = {"arms": arms, "margin": margin, "without": without}
    middles = [arm["difference"] for arm in arms if arm["difference"] is not None]
    if middles:
        ends = [arm[end] for arm in arms for end in ("low", "high") if arm[end] is not None]
        found["x"] = limits([*middles, 0.0, *([-margin, margin] if margin else [])], ends)
    return null_if_not_finite(found)


def _point(
    row: dict[str, Any], column: str, look: dict[str, str], runs: pd.DataFrame, records: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    point = pd.Series(row)
    own = runs[runs["label"] == row["label"]].sort_values("seed")
    logged = [wandb(records[run]) for run in own["run_id"]]
    clocks = f"{number(row['seconds_train'], 1)} s by the runs' clocks"
    profiled = f"; {number(row['profiled_seconds'], 1)} s profiled" if row["profiled_seconds"] > 0 else ""
    ids = [name for name in logged if name]
    missing = f"{len(logged) - len(ids)} not logged" if len(ids) < len(logged) else None
    against = row["verdict"]
    if row.get("against_curve_n", 0) > 0:
        against += f" {with_interval(pd.Series(row | {'against_curve': row['against_curve']}), 'against_curve')} points"
    return {
        **look,
        "x": 100 * row[column],
        "y": row["error"],
        "low": row["error_low"],
        "high": row["error_high"],
        "one_seed": row["n"] == 1,
        "swept": row["swept"].partition("=")[2] or row["swept"],
        "word": "",
        "configuration": _name(row),
        "seeds": f"{seeds(point)} ({', '.join(str(int(seed)) for seed in own['seed'])})",
        "seconds": clocks + profiled,
        "saved": f"{number(100 * row[column], 1)} %",
        "error": f"{with_interval(point, 'error')} %",
        "against": against,
        "wandb": ", ".join([*ids, *([missing] if missing else [])]),
    }


def _name_apart(points: list[dict[str, Any]], x: tuple[float, float], y: tuple[float, float]) -> None:
    """Give points their swept value as a `word` beside them, unless it would hide a point or another word."""
    taken = [((p["x"] - x[0]) / (x[1] - x[0]), (p["y"] - y[0]) / (y[1] - y[0])) for p in points]
    for point, (across, up) in zip(points, taken[: len(points)], strict=True):
        place = (across + 0.045, up + 0.03)  # of the plot's width and height: the middle of the word
        if all(abs(a - place[0]) > 0.05 or abs(b - place[1]) > 0.035 for a, b in taken if (a, b) != (across, up)):
            point["word"] = point["swept"]
            taken.append(place)


def _name(row: Mapping[str, Any]) -> str:
    return " ".join(filter(None, [row["series"], row["swept"]]))


def _curve(one: PanelVerdicts) -> list[dict[str, float]]:
    """The fitted curve of error over saved time, with its band; [] without one."""
    found = drawn_curve(one)
    if found is None:
        return []
    columns = (100 * (1 - found.budgets), found.error, found.low, found.high)
    return [{"x": x, "y": y, "low": low, "high": high} for x, y, low, high in np.column_stack(columns).tolist()]
