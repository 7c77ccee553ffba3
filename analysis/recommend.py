"""How much time can be saved within a tolerated increase of the error: the original paper's opening question."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from freezeout.naming import counted

from .panel_verdicts import PanelVerdicts
from .pooled import LEAST, pool, seeds_that_tell
from .savings import CURVE
from .whole import NOT_WHOLE, still

MOST = 1000  # seeds; of a larger number only that it is larger is said


@dataclass(frozen=True)
class Candidate:
    """A way to save time against the full baseline: an arm, or training for fewer epochs. Differences in log error.

    Attributes:
        label: The arm's label in the table of runs; "" for fewer epochs.
        low, high: 95 % interval, simultaneous over all candidates of the panel; NaN with one seed.
    """

    name: str
    label: str
    saving: float
    n: int
    difference: float
    low: float
    high: float
    diverged: bool
    seeds_that_tell: int | None


def candidates(one: PanelVerdicts, tolerance: float) -> list[Candidate]:
    """Everything in a panel that saves time, against the full baseline, with simultaneous intervals.

    Args:
        one: The panel.
        tolerance: A relative increase of the error, 0.03 for 3 % of it.
    """
    found = one.cells
    if 1.0 not in found.budgets:
        return []
    k = len(found.budgets)
    lost = found.diverged_budgets
    ways = [(f"training for {b:.0%} of the epochs", "", 1 - b, j, lost.get(b, 0)) for j, b in enumerate(found.budgets)]
    ways += [(one.name(c), found.arms[c], found.savings[c], k + c, found.diverged[c]) for c in found.family]
    z = np.column_stack([found.curve_z, found.arm_z])
    ways = [way for way in ways if way[2] > 0 and not np.isnan(z[:, way[3]]).all()]
    if not ways:
        return []
    forms = np.zeros((len(ways), z.shape[1]))
    for row, (_, _, _, cell, _) in enumerate(ways):
        forms[row, [found.budgets.index(1.0), cell]] = -1.0, 1.0
    pooled, seeds = pool(forms, z), (~np.isnan(z)).sum(axis=0)
    return [
        Candidate(
            name=name,
            label=label,
            saving=saving,
            n=int(seeds[cell]),
            difference=float(pooled.estimate[row]),
            low=float(pooled.estimate[row] - pooled.half[row]),
            high=float(pooled.estimate[row] + pooled.half[row]),
            diverged=bool(gone),
            seeds_that_tell=seeds_that_tell(
                float(pooled.v[row]), float(pooled.s[row]), pooled.critical, math.log1p(tolerance)
            ),
        )
        for row, (name, label, saving, cell, gone) in enumerate(ways)
    ]


def largest(known: list[Candidate], tolerance: float) -> Candidate | None:
    """The candidate with the largest saving whose interval is within the tolerance; None if there is none."""
    limit = math.log1p(tolerance)
    inside = [way for way in known if way.n >= LEAST and way.high <= limit and not way.diverged]
    return max(inside, key=lambda way: (way.saving, -way.difference), default=None)


def command(one: PanelVerdicts, tolerance: float) -> str | None:
    """The command that trains the recommendation: that of its first run; None if nothing is recommended."""
    best = None if one.panel.waits else largest(candidates(one, tolerance), tolerance)
    if best is None:
        return None
    runs = one.panel.runs
    of_curve = runs["strategy"].isin(CURVE) & np.isclose(runs["predicted_saving"], best.saving)
    own = runs[runs["label"] == best.label if best.label else of_curve]
    return str(own.sort_values("seed")["command"].iloc[0])


def sentence(one: PanelVerdicts, tolerance: float) -> str:
    """The answer for one panel, with the panel's name and the number of left-out runs: see `advice`."""
    panel = one.panel
    absent = f"; {counted(panel.unfit, 'run')} left out" if panel.unfit else ""
    return f"{panel.sweep} ({panel.what}{absent}): {advice(one, tolerance)}"


def advice(one: PanelVerdicts, tolerance: float) -> str:
    """The largest saving whose interval stays within the tolerance, or that there is none; without the panel's name."""
    panel, limit = one.panel, math.log1p(tolerance)
    if panel.waits:
        return f"{NOT_WHOLE}: {still(panel.to_do)}, so nothing is recommended yet (--unfinished recommends anyway)."
    asked = f"an error at most {100 * tolerance:g} % above the full baseline's"
    known = candidates(one, tolerance)
    if not known:
        is_alone = 1.0 in one.cells.budgets
        why = "nothing else is known to save time" if is_alone else "there is no full baseline to compare with"
        return f"cannot tell how much time can be saved with {asked}: {why}."
    told = [way for way in known if way.n >= LEAST]
    best = largest(known, tolerance)
    if best is not None:
        arms = one.cells.arms
        bound = one.bound(arms.index(best.label)) if best.label in arms else one.judgement.time_bound
        kind = f"{'profiled' if panel.profiled_on else 'measured'}, ± {100 * bound:.1f} points"
        ends = ", ".join(f"{100 * math.expm1(end):+.1f}" for end in (best.low, best.high))
        return (
            f"{best.name} saves {100 * best.saving:.0f} % of the training time ({kind}) with {asked} "
            f"({100 * math.expm1(best.difference):+.1f} % [{ends}], n = {best.n}, interval simultaneous over "
            f"{counted(len(known), 'way')} to save time)."
        )
    if told and all(way.low > limit for way in told) and len(told) == len(known):
        return f"nothing that was tried saves time with {asked} (all {len(known)} ways cost more)."
    if not told:
        return f"cannot tell how much time can be saved with {asked}: fewer than {LEAST} seeds."
    n, need = max(way.n for way in told), max(way.seeds_that_tell or 0 for way in told)
    count = f"{need}" if need <= MOST else f"more than {MOST:,}"
    more = f"; {count} seeds would show it for a way that costs nothing" if need > n else ""
    return f"cannot tell from {counted(n, 'seed')} how much time can be saved with {asked}{more}."
