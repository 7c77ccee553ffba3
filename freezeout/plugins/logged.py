"""The values that a framework's loggers receive about freezing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from freezeout.freeze import FreezeOut


def logged(freezer: FreezeOut, groups: Sequence[Mapping[str, Any]], *, scaled: bool) -> dict[str, float]:
    """Frozen and active stages, and the learning rate of each stage.

    Args:
        freezer: A FreezeOut whose step() has been called for the current step.
        groups: Its optimizer's parameter groups, with this step's learning rates.
        scaled: True if the groups hold a scheduler's rates, which the freezer scales; False if the freezer set them.

    Returns:
        "freezeout/prefix", "freezeout/active_stages" and "freezeout/rate/<stage index>". A stage's rate is 0 if it is
        frozen, and the first group's if its parameters are in several groups.
    """
    owner = {id(p): i for i, stage in enumerate(freezer.stages) for p in stage.parameters()}
    rates = [0.0] * len(freezer.stages)
    for group in reversed(groups):
        for i in {owner[id(p)] for p in group["params"]}:
            if i >= freezer.prefix:
                rates[i] = float(group["lr"]) * (freezer.factors[i] if scaled else 1.0)
    counts = {"freezeout/prefix": freezer.prefix, "freezeout/active_stages": len(rates) - freezer.prefix}
    return counts | {f"freezeout/rate/{i}": rate for i, rate in enumerate(rates)}
