"""What a run says of itself: its title, its outcome in a line, and its warnings, each once a process."""

from __future__ import annotations

import functools
import sys
from typing import Any

from freezeout.freeze import FreezeOut
from freezeout.naming import run_title
from freezeout.run.plan import Plan

# A scaled rate is base / t_i: on a stage that lives for few steps it is large and has no time to come down.
SHORT_LIFE = 20


def title(plan: Plan) -> str:
    return run_title(plan.described)


def summary(plan: Plan, record: dict[str, Any]) -> str:
    """What a run has to say of itself, in a line."""
    words = title(plan)
    if record["status"] != "done":
        return f"{words}: {record['status']}: {record['reason']}"
    predicted = record["saving"]["predicted"]
    saving = "" if predicted is None else f", {100 * predicted:.1f} % saving predicted"
    error, seconds = record["error"], record["seconds"]["train"]
    return f"{words}: error {error:.2f} %, {seconds:.1f} s{saving}"


@functools.cache
def say_once(line: str) -> None:
    """On stderr, the first time in this process: the runs of a sweep share most of what there is to warn of."""
    print(line, file=sys.stderr)


def warn_of_short_life(freezeout: FreezeOut, base: float) -> None:
    steps = freezeout.schedule.freeze_steps(freezeout.total_steps)[0]
    if freezeout.schedule.scaled and steps is not None and steps < SHORT_LIFE:
        rate = base * freezeout.schedule.factors(0, freezeout.total_steps)[0]
        say_once(
            f"warning: the first stage lives for {steps} of {freezeout.total_steps} steps and its scaled rate starts "
            f"at {rate:.3g}; a larger t_0, more epochs or strategy.scale_lr=false is safer"
        )
