"""What frameworks' loggers are told about a run that freezes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from freezeout.freeze import FreezeOut


def logged(freezer: FreezeOut, groups: Sequence[Mapping[str, Any]], *, scaled: bool) -> dict[str, float]:
    """Frozen and active stages, and the learning rate of each stage.

    Args:
        freezer: Within a step.
        groups: Of its optimizer, with their rates of this step.
        scaled: Whether the groups' rates are a scheduler's, which the freezer scales, or those that it has set.

    Returns:
        "freezeout/prefix", "freezeout/active_stages" and "freezeout/rate/<number of the stage>": 0 where it is frozen,
        and the first group's where a stage lies in several.
    """
    owner = {id(p): i for i, stage in enumerate(freezer.stages) for p in stage.parameters()}
    rates = [0.0] * len(freezer.stages)
    for group in reversed(groups):
        for i in {owner[id(p)] for p in group["params"]}:
            if i >= freezer.prefix:
                rates[i] = float(group["lr"]) * (freezer.factors[i] if scaled else 1.0)
    counts = {"freezeout/prefix": freezer.prefix, "freezeout/active_stages": len(rates) - freezer.prefix}
    return counts | {f"freezeout/rate/{i}": rate for i, rate in enumerate(rates)}
