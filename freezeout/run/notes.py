"""A run's warnings, each printed once per process: the runs of a sweep share most of them."""

from __future__ import annotations

import contextlib
import functools
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from freezeout.naming import network
from freezeout.run.plan import Plan
from freezeout.train.loop import Training

# A scaled rate is base / t_i: for a stage that trains for few steps it is large and has no time to decay.
FEW_STEPS = 20
PACKAGE = Path(__file__).parent.parent


@functools.cache
def say_once(line: str) -> None:
    """Print a line on stderr, unless this process has printed it before."""
    print(line, file=sys.stderr)


@contextlib.contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Inside the block, the engine's warnings are printed as notes; those of libraries keep their location."""
    usual = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if Path(filename).is_relative_to(PACKAGE):
            say_once(f"warning: {message}")
        else:
            usual(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = usual


def unmeasured(plan: Plan) -> str:
    """The note for a plan whose choices have not been measured yet."""
    return (
        f"note: machine=measured: {plan.config.out}/profiles has nothing that was measured here for "
        f"{network(plan.config_dict['model'])}, so the default values apply; python -m freezeout.predict --measure "
        "measures them (new values make new runs)"
    )


def notes(plan: Plan, training: Training) -> list[str]:
    """What the user should know of a run before it starts, one line each."""
    found = [unmeasured(plan)] if plan.unmeasured else []
    freezeout, base = training.freezeout, plan.config.optimizer.lr
    steps = freezeout.schedule.freeze_step(0, freezeout.total_steps)
    if freezeout.schedule.scaled and steps is not None and steps < FEW_STEPS:
        rate = base * freezeout.schedule.factors(0, freezeout.total_steps)[0]
        found.append(
            f"warning: stage 0 trains for {steps} of {freezeout.total_steps} steps and its scaled rate starts "
            f"at {rate:.3g}; a larger t_0, more epochs or strategy.scale_lr=false is safer"
        )
    if plan.config.augment.views is not None and plan.views is None:
        frozen = "no epoch begins with a frozen stage; augment.views_from=T sets when views begin"
        since = plan.config.augment.views_from
        found.append(
            f"note: augment.views={plan.config.augment.views} has no effect on {plan.config_dict['strategy']['name']}: "
            + (frozen if since is None else f"no epoch begins at augment.views_from={since:g} or later")
        )
    if plan.config.machine.cache and plan.remember is None:
        why = "no input repeats"
        if plan.strategy.bn == "train":
            why = "strategy.bn=train: its frozen stages still change"
        elif plan.is_adaptive:
            why = "its freeze times depend on the data, but the cache is planned in advance"
        found.append(f"note: machine.cache=true has no effect on {plan.config_dict['strategy']['name']}: {why}")
    if not training.chain.executable:
        found.append(
            f"note: {network(plan.config_dict['model'])} could not be traced: its {len(training.chain)} stages are an "
            "ordered partition of its parameters, frozen by flags alone, without a predicted saving"
        )
    return found
