"""The learning rates of a run's stages, from its record; between epochs, from its strategy's formula."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from freezeout.strategies import STRATEGIES

POINTS = 1200  # of all stages' curves together, approximately; keeps a file with many runs small
ROUNDING = 1e-3  # records keep 7 digits


def rates(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The curves of a run's stages.

    Returns:
        `t` (k fractions of training), `rates` (k numbers for each stage, null once it is frozen) and `is_formula`:
        whether they come from the strategy's formula, which then agrees with the rates recorded at the end of every
        epoch, or are the recorded rates alone (under a warm-up, or for a strategy without a formula). None if the
        record has no rates.
    """
    epochs = [e for e in record.get("epochs") or [] if e.get("learning_rates") and e.get("step")]
    steps = record.get("steps")
    if not epochs or not steps:
        return None
    at = np.array([e["step"] - 1 for e in epochs])  # the rates of an epoch's last step
    found = np.array([e["learning_rates"] for e in epochs], dtype=float)
    formula = _formula(record, steps, found.shape[1])
    is_formula = formula is not None and np.allclose(formula[at], found, rtol=ROUNDING, atol=ROUNDING * found.max())
    frozen = [steps if s is None else s for s in record.get("freeze_steps") or [None] * found.shape[1]]
    if is_formula:
        events = {s + shift for s in frozen for shift in (-1, 0) if 0 <= s + shift < steps}
        grid = np.linspace(0, steps - 1, int(np.clip(POINTS // len(frozen), 24, 81))).round()
        at = np.array(sorted({*grid.astype(int), *events}))
        found = formula[at]  # type: ignore[index]
    return {
        "t": [round(float(s) / steps, 5) for s in at],
        "rates": [
            [float(f"{rate:.4g}") if s < frozen[i] else None for s, rate in zip(at, found[:, i], strict=True)]
            for i in range(found.shape[1])
        ],
        "is_formula": bool(is_formula),
    }


def _formula(record: Mapping[str, Any], steps: int, stages: int) -> np.ndarray | None:
    """The rate of every step and stage by the run's strategy; None if its formula is not known here."""
    section = {**(record["config"].get("strategy") or {})}
    strategy, base = STRATEGIES.get(section.pop("name", "")), (record["config"].get("optimizer") or {}).get("lr")
    if strategy is None or base is None or "schedule" not in dir(strategy):
        return None
    try:
        schedule = strategy(**section).schedule(stages)
    except (TypeError, ValueError):  # fields of another version of the strategy: only the recorded rates are available
        return None
    return base * schedule.factors_between(0, steps, steps)
