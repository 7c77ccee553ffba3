"""What the commands print: plain text of at most 100 columns."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from .comparisons import Panel
from .estimates import binomial_error

WIDTH = 100
FEW_IMAGES = 2000  # below this the evaluation set itself is too small to tell close configurations apart


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns a space apart, the first one flush left and wrapped so that the whole is at most WIDTH wide."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    widths[0] = max(10, min(widths[0], WIDTH - sum(widths[1:]) - len(widths) + 1))
    lines = []
    for row in [header, *rows]:
        first, *more = textwrap.wrap(row[0], widths[0]) or [""]
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines += [" ".join([first.ljust(widths[0]), *cells]).rstrip(), *more]
    lines.insert(1, "-" * (sum(widths) + len(widths) - 1))
    return "\n".join(lines)


def panel_text(panel: Panel) -> str:
    """A panel in words: what it is, whether its data can settle anything, and a row a configuration."""
    rows, profiled = [], panel.profiled_on is not None
    for _, point in panel.points.iterrows():
        rows.append(
            (
                point["series"],
                point["knob"] or "-",
                str(point["n"]),
                with_interval(point, "error"),
                number(point["seconds_train"], 1),
                number(100 * point["measured_saving"], 1),
                *([number(100 * point["profiled_saving"], 1)] if profiled else []),
                number(100 * point["predicted_saving"], 1),
                verdict(point),
            )
        )
    known = ("saved %", "prof. %", "pred. %") if profiled else ("saved %", "pred. %")
    header = ("strategy", "swept", "n", "error %", "seconds", *known, "against the curve")
    heading = (
        f"{panel.sweep}: {panel.first('model')} on {panel.first('dataset')}, {panel.size}, {panel.first('device')}"
    )
    note = (
        "[95 % interval over n seeds]; seconds, saved: measured, against the baseline of the same seed; "
        + (f"prof.: from seconds a step on {panel.profiled_on}, timed alone; " if profiled else "")
        + "pred.: from FLOPs; against the curve: points of error above (+) or below (-) the shortened baseline at the "
        f"same {'profiled ' if profiled else ''}saving, paired by seed; better or worse where the 95 % "
        "interval of the difference excludes 0, outside where the curve has no such saving. Intervals are "
        "not corrected for the number of comparisons."
    )
    if (panel.points["n"] == 1).any():
        note += " One seed gives a point without an interval."
    parts = [*textwrap.wrap(heading, WIDTH), *few_images(panel), text_table(header, rows), *textwrap.wrap(note, WIDTH)]
    return "\n".join(parts)


def few_images(panel: Panel) -> list[str]:
    """One line where the evaluation set is small: how far the error of one run is from that of endless data."""
    images, error = panel.first("evaluation_images"), panel.points["error"].mean()
    if not images < FEW_IMAGES:
        return []
    kind = "Smoke data" if panel.first("dataset") == "digits" else "Few images"
    return [
        f"{kind}: {images:.0f} {panel.first('evaluation_split')} images settle nothing (standard error of one run at "
        f"{error:.1f} %: {binomial_error(error, images):.1f} points)."
    ]


def with_interval(point: pd.Series, measure: str, sign: str = "") -> str:
    """`3.43 [2.63, 4.22]`; the mean alone where there is no interval."""
    if math.isnan(point[measure]):
        return "-"
    mean = f"{point[measure]:{sign}.2f}"
    low, high = point[f"{measure}_low"], point[f"{measure}_high"]
    return mean if math.isnan(low) else f"{mean} [{low:.2f}, {high:.2f}]"


def number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def verdict(point: pd.Series) -> str:
    """`worse +0.30`, and over how many seeds where these are not all n; `outside the curve`."""
    n = point.get("against_curve_n", 0)
    if not n > 0:
        return point["verdict"]
    return f"{point['verdict']} {point['against_curve']:+.2f}" + ("" if n == point["n"] else f" (n={n:.0f})")


def left_out_text(table: pd.DataFrame) -> str:
    """How many runs enter no figure, and how many no saving, by reason; '' when all are in."""
    lines = []
    for what, counted in (
        ("left out", table["left_out"]),
        ("left out of savings only", table.loc[table["left_out"].isna(), "left_out_of_savings"]),
    ):
        for reason, count in counted.value_counts().sort_index().items():
            lines.append(f"{what}: {count} run{'s' if count > 1 else ''}, {reason}")
    return "\n".join(lines)


def status_text(table: pd.DataFrame) -> str:
    """A row a sweep with its runs by status, then each run that failed or cannot be read, with its reason."""
    states = ["done", "failed", "interrupted", "missing", *sorted(set(table["status"]) & {"unreadable"})]
    rows = []
    for sweep, runs in table.groupby("sweep", sort=False):
        counts = runs["status"].value_counts()
        rows.append((str(sweep), str(len(runs)), *(str(counts.get(state, 0)) for state in states)))
    lines = [text_table(("sweep", "runs", *states), rows)]
    for _, run in table[table["status"].isin(["failed", "interrupted", "unreadable"])].iterrows():
        words = [
            run["sweep"],
            run["run_id"],
            run["configuration"],
            f"{run['status']}:",
            run["reason"] or "no reason given",
        ]
        text = " ".join(str(word) for word in words if pd.notna(word))
        lines += textwrap.wrap(text, WIDTH, subsequent_indent="  ")
    return "\n".join(lines)


def next_text(runs: Path, drawn: set[str]) -> str:
    """Commands to try next; the sweeps that are offered are those of the checkout that are not drawn yet."""
    there = {p.stem for p in (Path(__file__).parents[1] / "sweeps").glob("*.yaml")}
    sweeps = sorted(name for name in there - drawn - {"quick"} if not name.startswith("figure"))
    commands = [
        (f"python -m freezeout -m sweeps={name}", "another sweep; its file says what it costs") for name in sweeps[:2]
    ]
    commands += [
        ("make reproduce-figures", "the paper's figures and claims; without PRESET= it trains nothing"),
        ("python -m freezeout.predict strategy=freezeout t_0=0.5", "what freezing would save, without training"),
        (f"python -m analysis status --runs {runs}", "which runs are done, failed or missing"),
        ("make dashboard", "the curves of every run"),
    ]
    width = max(len(command) for command, _ in commands)
    return "\n".join(["next:", *(f"  {command:{width}}  {why}" for command, why in commands)])
