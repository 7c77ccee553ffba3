"""How long the runs of a sweep should take here: a few timed steps of each network, times what a run costs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby

import torch

from freezeout.run import expected, identity, profiling
from freezeout.run.plan import Plan
from freezeout.savings import cost

STEPS = 5  # timed, of each network
WORTH = 50  # a network that trains for fewer times the timed steps is done before a forecast of it would pay


def forecast(plans: Sequence[Plan]) -> str | None:
    """`about 4.2 min for 39 runs (...)`: training and evaluation, one run after another; None where it is not worth it.

    Nothing of the runs to come is touched: they build and seed everything themselves.
    """
    alike = [list(group) for _, group in groupby(sorted(plans, key=_key), _key)]
    if sum(plan.steps for plan in plans) < WORTH * STEPS * len(alike):
        return None
    if any(plan.config.machine.compile for plan in plans):
        return "no forecast: compiled networks are not timed"
    threads = torch.get_num_threads()
    try:
        with torch.random.fork_rng():
            seconds = sum(_step(group[0]) * sum(steps_of(plan) for plan in group) for group in alike)
    except RuntimeError as error:  # out of memory, most likely: the runs will say so, each in its record
        return f"no forecast: {next(iter(str(error).splitlines()), type(error).__name__)}"
    finally:
        torch.set_num_threads(threads)
    many = f"{len(plans)} runs" if len(plans) > 1 else "1 run"
    return f"about {duration(seconds)} for {many}, one after another (from {STEPS} timed steps of each network)"


def steps_of(plan: Plan) -> float:
    """Training and evaluation of a run, in training steps with nothing frozen.

    By counted FLOPs; where they cannot be counted a frozen stage saves nothing and evaluation is a third of a step.
    """
    sizes = plan.outline.sizes
    epochs = plan.steps / plan.steps_per_epoch
    images = epochs * sizes[plan.split] + sum(sizes.values())
    if not plan.costs:
        return plan.steps + images / plan.config.batch_size / 3
    whole = cost.step_cost(plan.costs, 0)
    forward = sum(stage.forward for stage in plan.costs) / whole
    return cost.run_cost(plan.costs, plan.schedule, plan.steps) / whole + forward * images / plan.config.batch_size


def _key(plan: Plan) -> str:
    return json.dumps(identity.conditions(plan), sort_keys=True)


def _step(plan: Plan) -> float:
    """Seconds of a training step with nothing frozen: from the stored profile where there is one, else timed now."""
    return (expected.stored_profile(plan) or profiling.time_prefixes(plan, STEPS, levels=1)).seconds[0]


def duration(seconds: float) -> str:
    """`40 s`, `4.2 min`, `7.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
