"""The paper's claims, one by one, against the runs: agree, disagree or cannot tell."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .estimates import Estimate, estimate
from .paper import FIGURES, Figure
from .summary import WIDTH, text_table

SAVED = 15.0  # per cent: "20 %" as the paper gives it, to the nearest ten
NO_LOSS = 0.3  # points of error: as finely as the paper's Figure 4 can be read
RECOMMENDED = (("cubic", True, 0.8), ("linear", False, 0.5))  # the paper's two, each for about 20 % saved
FIGURE = {figure.number: figure for figure in FIGURES}


@dataclass(frozen=True)
class Claim:
    """`SAVED` is to be had at an increase of at most `limit`, in per cent of the error (relative) or points; or is not.

    true: what the paper says of that sentence.
    """

    figure: int
    says: str
    limit: float
    relative: bool
    true: bool


CLAIMS = (
    Claim(2, "DenseNet, CIFAR-100: 20 % saved for 3 % more error", 3.0, True, True),
    Claim(3, "DenseNet, CIFAR-10: 20 % saved for 3 % more error", 3.0, True, True),
    Claim(4, "WRN, CIFAR-100: 20 % saved at no loss", NO_LOSS, False, True),
    Claim(5, "VGG, CIFAR-100: nothing (no 20 % without loss)", NO_LOSS, False, False),
)


def holds(saved: Estimate, increase: Estimate, limit: float) -> bool | None:
    """Whether at least SAVED is saved for an increase of at most `limit`; None where an interval leaves it open."""
    if saved.high < SAVED or increase.low > limit:  # false with a NaN, as a mean without an interval has
        return False
    return True if saved.low >= SAVED and increase.high <= limit else None


def verdict(claim: Claim, saved: Estimate, increase: Estimate, *, smoke: bool) -> str:
    """Smoke: the runs are not of the paper's network and data, so that they cannot speak for or against it."""
    if smoke:
        return "cannot tell (smoke data)"
    found = holds(saved, increase, claim.limit)
    if found is None:
        return "cannot tell"
    return "agree" if found == claim.true else "disagree"


def rows_of(claim: Claim, figure: Figure, runs: pd.DataFrame) -> list[tuple[str, ...]]:
    """A row for each of the paper's two recommended configurations that has been run at the full length."""
    rows: list[tuple[str, ...]] = []
    whole = runs[runs["epochs"] == runs["epochs"].max()] if len(runs) else runs
    for how_scale, scale_lr, t_0 in RECOMMENDED if "t_0" in whole else ():
        same = (whole["how_scale"] == how_scale) & (whole["scale_lr"] == scale_lr) & np.isclose(whole["t_0"], t_0)
        own = whole[(whole["strategy"] == "freezeout") & same]
        if own.empty:
            continue
        saved, increase = measured(claim, own, whole[whole["strategy"] == "baseline"])
        answer = verdict(claim, saved, increase, smoke=not figure.at_papers_size(own))
        name = f"  {how_scale} {'scaled' if scale_lr else 'unscaled'} {t_0}"
        unit = " %" if claim.relative else " points"
        rows.append((name, str(increase.n), words(saved), words(increase, "+") + unit, answer))
    return rows or [("  -", "0", "-", "-", "cannot tell (no runs)")]


def measured(claim: Claim, own: pd.DataFrame, baselines: pd.DataFrame) -> tuple[Estimate, Estimate]:
    """What is saved (per cent) and by how much the error grows, each seed against its own baseline."""
    change = own["error_difference"]
    if claim.relative:
        change = 100 * change / own["seed"].map(baselines.drop_duplicates("seed").set_index("seed")["error"])
    rng = np.random.default_rng(0)
    return estimate(100 * own["measured_saving"], rng), estimate(change, rng)


def words(found: Estimate, sign: str = "") -> str:
    """`19.2 [17.1, 21.3]`; the mean alone without an interval."""
    if found.n == 0:
        return "-"
    mean = f"{found.mean:{sign}.1f}"
    return mean if found.n == 1 else f"{mean} [{found.low:.1f}, {found.high:.1f}]"


def claims_text(runs: Mapping[int, pd.DataFrame]) -> str:
    """The table of claims. runs: those of each figure, by its number."""
    found = [rows_of(claim, FIGURE[claim.figure], runs[claim.figure]) for claim in CLAIMS]
    header = ("what these runs show", "n", "saved %", "more error", "so they")
    first, rule, *lines = text_table(header, [row for rows in found for row in rows]).splitlines()
    text = ["the paper's claims, one by one", first, rule]
    for claim, rows in zip(CLAIMS, found, strict=True):
        text += [f"The paper: {claim.says}", *lines[: len(rows)]]
        lines = lines[len(rows) :]
    note = (
        "[95 % t interval over n seeds], against the baseline of the same seed and length; saved: measured. A claim of "
        f'20 % counts from {SAVED:g} % on, "no loss" as at most {NO_LOSS} points. agree, disagree: the intervals '
        "settle it; they are not corrected for the number of claims. Runs: the two settings that the paper recommends."
    )
    return "\n".join([*text, rule, *textwrap.wrap(note, WIDTH)])
