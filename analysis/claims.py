"""The paper's claims, one by one, against the runs: agree, disagree or cannot tell."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .comparisons import Panel, panels
from .judging import judged_panel
from .panel_verdicts import PanelVerdicts
from .paper import FIGURES, Figure, runs_of
from .pooled import LEAST
from .recommend import Candidate, candidates
from .text import number, text_table, wrapped
from .whole import NOT_WHOLE

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


@dataclass(frozen=True)
class Range:
    """A number with the ends of its interval; NaN if not known."""

    middle: float
    low: float
    high: float


CLAIMS = (
    Claim(2, "DenseNet, CIFAR-100: 20 % saved for 3 % more error", 3.0, True, True),
    Claim(3, "DenseNet, CIFAR-10: 20 % saved for 3 % more error", 3.0, True, True),
    Claim(4, "WRN, CIFAR-100: 20 % saved at no loss", NO_LOSS, False, True),
    Claim(5, "VGG, CIFAR-100: nothing (no 20 % without loss)", NO_LOSS, False, False),
)


def holds(saved: Range, increase: Range, limit: float) -> bool | None:
    """Whether at least SAVED per cent is saved for a small enough increase of the error.

    Args:
        saved: Training time saved, per cent.
        increase: Of the error, in the unit of `limit`.
        limit: Largest increase allowed.

    Returns:
        None if the ranges do not decide it.
    """
    if saved.high < SAVED or increase.low > limit:  # comparisons with NaN (no interval) are false
        return False
    return True if saved.low >= SAVED and increase.high <= limit else None


def verdict(
    claim: Claim, saved: Range, increase: Range, n: int, *, smoke: bool, diverged: bool = False, waits: bool = False
) -> str:
    """Whether runs agree with a claim of the paper.

    Args:
        claim: The claim.
        saved: Training time saved, per cent.
        increase: Of the error, in the claim's unit.
        n: Seeds that have both the setting and the full baseline.
        smoke: The runs are not of the paper's network and data, so they are no evidence either way.
        diverged: Whether a seed diverged; an answer from the other seeds alone would not be valid.
        waits: Whether runs of the sweep are still to do.

    Returns:
        "agree", "disagree" or "cannot tell", the last with the reason unless the ranges are the reason.
    """
    if smoke:
        return "cannot tell (smoke data)"
    if waits:
        return f"cannot tell ({NOT_WHOLE})"
    if diverged:
        return "cannot tell (a seed diverged)"
    if n < LEAST:
        return f"cannot tell (under {LEAST} seeds)"
    found = holds(saved, increase, claim.limit)
    if found is None:
        return "cannot tell"
    return "agree" if found == claim.true else "disagree"


def panel_of(figure: Figure, table: pd.DataFrame, sweep: str, *, unfinished: bool = False) -> Panel | None:
    """The panel that the figure draws, including its diverged runs; None if it has no runs.

    unfinished: As `comparisons.panels` takes it.
    """
    runs = runs_of(figure, table, sweep)
    if runs.empty:
        return None
    same = (table["setting_id"] == runs["setting_id"].iloc[0]) | table["to_do"]
    (found,) = panels(table[(table["sweep"] == sweep) & same], unfinished=unfinished)
    return found


def rows_of(claim: Claim, figure: Figure, one: PanelVerdicts | None) -> list[tuple[str, ...]]:
    """One row for each of the paper's two recommended configurations that has been run at the full length."""
    rows: list[tuple[str, ...]] = []
    known = {way.label: way for way in candidates(one, claim.limit / 100)} if one else {}
    for how_scale, scale_lr, t_0 in RECOMMENDED if one else ():
        assert one is not None
        label = _label(one, how_scale, scale_lr, t_0)
        if label is None:
            continue
        smoke, place = not figure.at_papers_size(one.panel.runs), one.cells.arms.index(label)
        way = known.get(label)
        saved, increase = _saved(one, place), _increase(claim, one, way)
        n = way.n if way else int((~np.isnan(one.cells.arm_z[:, place])).sum())
        lost = bool(one.cells.diverged[place])
        name = f"  {how_scale} {'scaled' if scale_lr else 'unscaled'} {t_0}"
        answer = verdict(claim, saved, increase, n, smoke=smoke, diverged=lost, waits=one.panel.waits)
        unit = "" if math.isnan(increase.middle) else " %" if claim.relative else " points"
        rows.append((name, str(n), words(saved), words(increase, "+") + unit, answer))
    return rows or [("  -", "0", "-", "-", "cannot tell (no runs)")]


def _label(one: PanelVerdicts, how_scale: str, scale_lr: bool, t_0: float) -> str | None:
    """The plain setting of FreezeOut at the panel's full length; None where it was not run."""
    full = one.panel.first("reference_epochs")
    for label in one.cells.arms:
        found = json.loads(label)
        own = found["strategy"]
        asked = {"name": "freezeout", "how_scale": how_scale, "scale_lr": scale_lr, "t_0": t_0}
        usual = own.get("bn", "eval") == "eval" and not own.get("const_time")
        usual = usual and "depth" not in own and "views" not in found
        if found.get("epochs") == full and usual and all(own.get(key) == value for key, value in asked.items()):
            return label
    return None


def _saved(one: PanelVerdicts, place: int) -> Range:
    """What an arm saves, per cent, plus or minus the bound on time."""
    saving, bound = one.cells.savings[place], one.bound(place)
    return Range(*(100 * (saving + by) for by in (0.0, -bound, bound)))


def _increase(claim: Claim, one: PanelVerdicts, way: Candidate | None) -> Range:
    """The increase of the error, in the claim's unit; NaN for what saves nothing or has no full baseline."""
    if way is None:
        return Range(math.nan, math.nan, math.nan)
    ends, base = (way.low, way.high) if way.n > 1 else (math.nan, math.nan), 1.0
    if not claim.relative:
        base = math.exp(one.cells.curve_means[one.cells.budgets.index(1.0)]) / 100
    return Range(*(100 * base * math.expm1(z) for z in (way.difference, *ends)))


def words(found: Range, sign: str = "") -> str:
    """`19.2 [17.1, 21.3]`; only the middle if there is no interval."""
    middle = number(found.middle, 1, sign)
    return middle if math.isnan(found.low) else f"{middle} [{number(found.low, 1)}, {number(found.high, 1)}]"


def claims_text(found: Mapping[int, Panel | None]) -> str:
    """The table of claims.

    Args:
        found: The panel of each figure, by its number.
    """
    judged = {number: judged_panel(panel) if panel else None for number, panel in found.items()}
    answers = [rows_of(claim, FIGURE[claim.figure], judged[claim.figure]) for claim in CLAIMS]
    header = ("configuration", "n", "saved %", "more error", "these runs")
    rows: list[Sequence[str] | str] = []
    for claim, own in zip(CLAIMS, answers, strict=True):
        rows += [f"The paper: {claim.says}", *own]
    table = text_table(header, rows)
    rule = "-" * max(map(len, table.splitlines()))
    axes = {"profiled" if one.panel.profiled_on else "measured" for one in judged.values() if one}
    note = (
        f"saved: {' or '.join(sorted(axes)) or 'measured'} [± the bound on time, docs/verdicts.md]; more error: than "
        'the full baseline [95 % interval over n seeds, simultaneous over everything tried]. "20 %" is met from '
        f'{SAVED:g} % on, "no loss" up to {NO_LOSS} points. agree, disagree: only if the intervals decide. Runs: the '
        "two settings that the paper recommends."
    )
    return "\n".join(["the paper's claims, one by one", table, rule, *wrapped(note)])
