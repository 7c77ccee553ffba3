"""Records of a panel whose verdicts are known: a curve, and arms that lie so far above or below it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from made_records import BASELINE, freezeout, make_run, shortened, write_manifest

BUDGETS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
IMAGES = 10_000
DATA = {"name": "cifar10", "fingerprint": "f", "validation": 0, "test": IMAGES, "synthetic": False}
BETTER, WORSE, ON_CURVE = freezeout(0.5), freezeout(0.65), freezeout(0.8)
EFFECTS = ((BETTER, -0.06), (WORSE, 0.06), (ON_CURVE, 0.0))


def curve(budget: float) -> float:
    """The true log error of the plain network at a budget."""
    x = math.log(budget)
    return math.log(20) - 0.2 * x + 0.1 * x**2


def made_panel(
    root: Path,
    arms: Any = EFFECTS,
    *,
    budgets: tuple[float, ...] = BUDGETS,
    seeds: int = 5,
    saving: float | Sequence[float] = 0.25,
    noise: float = 0.002,
    profiled: bool = True,
    without: Any = (),
    sweep: str = "made",
    **changes: Any,
) -> list[dict[str, Any]]:
    """Write a sweep; gives the entries of its manifest.

    Args:
        root: The folder of runs.
        arms: (strategy, log error above the curve at equal time) of each.
        budgets: Of the curve; 1 is the baseline.
        seeds: Of every configuration, but for those in `without`.
        saving: Of every arm; several where seeds differ, one for each.
        noise: Standard deviation of a run's log error, beside a luck that the runs of a seed share.
        profiled: Whether the records carry profiled savings; else only clocks tell.
        without: (strategy, seed) pairs that were not run.
        sweep: The sweep's name.
        **changes: As `make_run` takes them.
    """
    rng, entries = np.random.default_rng(0), []
    for seed in range(seeds):
        luck = rng.normal(0, 0.1)
        own = saving if isinstance(saving, float) else saving[seed]
        runs = [(BASELINE if b == 1.0 else shortened(b), 1 - b, curve(b)) for b in budgets]
        runs += [(strategy, own, curve(1 - own) + effect) for strategy, effect in arms]
        for strategy, saved, z in runs:
            error = math.exp(z + luck + rng.normal(0, noise))
            if (strategy, seed) in [(given, s) for given, s in without]:
                continue
            own = 0.0 if strategy["name"] in ("baseline", "shortened") else saved
            made = {
                "error": error,
                "seconds": {"train": 100 * (1 - saved), "total": 120.0},
                "saving": {"estimated": None, "predicted": own, "profiled": own if profiled else None},
                "data": DATA,
            }
            entries.append(make_run(root, strategy, seed, **{**made, **changes}))
    write_manifest(root, entries, sweep)
    return entries
