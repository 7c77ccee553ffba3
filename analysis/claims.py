"""The paper's claims, one by one, against the runs: agree, disagree or cannot tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .estimates import Estimate, estimate
from .paper import FIGURES, Figure
from .text import number, text_table, wrapped

SAVED = 15.0  # per cent: "20 %" as the paper gives it, to the nearest ten
NO_LOSS = 0.3  # points of error: as finely as the paper's Figure 4 can be read
RECOMMENDED = (("cubic", True, 0.8), ("linear", False, 0.5))  # the paper's two, each for about 20 % saved
FIGURE = {figure.number: figure for figure in FIGURES}


@dataclass(frozen=True)
class Claim:
    """The claim that at least SAVED per cent of the time is saved at an error increase of at most `limit`.

    Attributes:
        figure: The paper's figure that it rests on.
        says: The paper's words, shortened.
        limit: Largest error increase that counts as agreement.
        relative: Whether `limit` is in per cent of the baseline's error; else it is in points of error.
        true: Whether the paper affirms the claim.
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
    """Whether at least SAVED is saved for a small enough increase of the error.

    Args:
        saved: Training time saved, per cent.
        increase: Of the error, in the unit of `limit`.
        limit: Largest increase allowed.

    Returns:
        None where an interval leaves it open.
    """
    if saved.high < SAVED or increase.low > limit:  # false with a NaN, as a mean without an interval has
        return False
    return True if saved.low >= SAVED and increase.high <= limit else None


def verdict(claim: Claim, saved: Estimate, increase: Estimate, *, smoke: bool, diverged: int = 0) -> str:
    """Whether runs agree with a claim of the paper.

    Args:
        claim: The claim.
        saved: Training time saved, per cent.
        increase: Of the error, in the claim's unit.
        smoke: The runs are not of the paper's network and data, so that they are no evidence either way.
        diverged: Seeds that have no error; an answer over the others alone would not be one.

    Returns:
        "agree", "disagree" or "cannot tell", the latter with the reason where it is not the intervals.
    """
    if smoke:
        return "cannot tell (smoke data)"
    if diverged:
        return f"cannot tell ({diverged} diverged)"
    found = holds(saved, increase, claim.limit)
    if found is None:
        return "cannot tell"
    return "agree" if found == claim.true else "disagree"


def rows_of(claim: Claim, figure: Figure, runs: pd.DataFrame) -> list[tuple[str, ...]]:
    """One row for each of the paper's two recommended configurations that has been run at the full length."""
    rows: list[tuple[str, ...]] = []
    whole = runs[runs["epochs"] == runs["epochs"].max()] if len(runs) else runs
    for how_scale, scale_lr, t_0 in RECOMMENDED if "t_0" in whole else ():
        same = (whole["how_scale"] == how_scale) & (whole["scale_lr"] == scale_lr) & np.isclose(whole["t_0"], t_0)
        own = whole[(whole["strategy"] == "freezeout") & same]
        if own.empty:
            continue
        saved, increase = measured(claim, own, whole[whole["strategy"] == "baseline"])
        answer = verdict(
            claim, saved, increase, smoke=not figure.at_papers_size(own), diverged=own["diverged_seeds"].iloc[0]
        )
        name = f"  {how_scale} {'scaled' if scale_lr else 'unscaled'} {t_0}"
        unit = " %" if claim.relative else " points"
        rows.append((name, str(increase.n), words(saved), words(increase, "+") + unit, answer))
    return rows or [("  -", "0", "-", "-", "cannot tell (no runs)")]


def measured(claim: Claim, own: pd.DataFrame, baselines: pd.DataFrame) -> tuple[Estimate, Estimate]:
    """What is saved (per cent) and by how much the error grows, each seed against its own baseline."""
    change = own["error_difference"]
    if claim.relative:
        change = 100 * change / own["seed"].map(baselines.drop_duplicates("seed").set_index("seed")["error"])
    return estimate(100 * own["measured_saving"]), estimate(change)


def words(found: Estimate, sign: str = "") -> str:
    """`19.2 [17.1, 21.3]`; the mean alone without an interval."""
    if found.n == 0:
        return "-"
    mean = number(found.mean, 1, sign)
    return mean if found.n == 1 else f"{mean} [{number(found.low, 1)}, {number(found.high, 1)}]"


def claims_text(runs: Mapping[int, pd.DataFrame]) -> str:
    """The table of claims.

    Args:
        runs: The runs of each figure, by its number.
    """
    found = [rows_of(claim, FIGURE[claim.figure], runs[claim.figure]) for claim in CLAIMS]
    header = ("what these runs show", "n", "saved %", "more error", "so they")
    rows: list[Sequence[str] | str] = []
    for claim, own in zip(CLAIMS, found, strict=True):
        rows += [f"The paper: {claim.says}", *own]
    table = text_table(header, rows)
    rule = "-" * max(map(len, table.splitlines()))
    note = (
        "[95 % t interval over n seeds], against the baseline of the same seed and length; saved: measured. A claim of "
        f'20 % counts from {SAVED:g} % on, "no loss" as at most {NO_LOSS} points. agree, disagree: the intervals '
        "settle it; they are not corrected for the number of claims. Runs: the two settings that the paper recommends."
    )
    return "\n".join(["the paper's claims, one by one", table, rule, *wrapped(note)])
