"""How long the runs of a sweep should take here: a few timed steps of each network, times what a run costs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby

import torch

from freezeout.naming import counted
from freezeout.run import expected, identity, profiling
from freezeout.run.phrases import duration
from freezeout.run.plan import Plan
from freezeout.savings import cost

STEPS = 5  # timed, of each network
WORTH = 50  # a network that trains for fewer than this many times the timed steps is done before a forecast would pay


def forecast(plans: Sequence[Plan]) -> str | None:
    """One line that says how long the runs will take: `about 4.2 min for 39 runs, one after another (...)`.

    Training and evaluation are counted. The runs themselves are not touched: each builds and seeds everything itself.

    Args:
        plans: The runs that are still to do.

    Returns:
        The line; the reason why there is no forecast; None where the runs are too short for one to be worth its time.
    """
    alike = [list(group) for _, group in groupby(sorted(plans, key=_conditions), _conditions)]
    if sum(plan.steps for plan in plans) < WORTH * STEPS * len(alike):
        return None
    if any(plan.config.machine.compile for plan in plans):
        return "no forecast: compiled networks are not timed"
    threads = torch.get_num_threads()
    try:
        with torch.random.fork_rng():
            seconds = sum(_seconds_per_step(group[0]) * sum(steps_of(plan) for plan in group) for group in alike)
    except RuntimeError as error:  # out of memory, most likely: the runs will say so, each in its record
        return f"no forecast: {next(iter(str(error).splitlines()), type(error).__name__)}"
    finally:
        torch.set_num_threads(threads)
    runs = counted(len(plans), "run")
    return f"about {duration(seconds)} for {runs}, one after another (from {STEPS} timed steps of each network)"


def steps_of(plan: Plan) -> float:
    """What a run costs, training and evaluation, in training steps with nothing frozen.

    By counted FLOPs. Where they cannot be counted, a frozen stage is taken to save nothing, and evaluating an image to
    cost a third of training on it.
    """
    sizes = plan.outline.sizes
    epochs = plan.steps / plan.steps_per_epoch
    images = epochs * sizes[plan.split] + sum(sizes.values())
    if not plan.costs:
        return plan.steps + images / plan.config.batch_size / 3
    whole = cost.step_cost(plan.costs, 0)
    forward = sum(stage.forward for stage in plan.costs) / whole
    return cost.run_cost(plan.costs, plan.schedule, plan.steps) / whole + forward * images / plan.config.batch_size


def _conditions(plan: Plan) -> str:
    """Equal for plans whose training steps take the same time."""
    return json.dumps(identity.conditions(plan), sort_keys=True)


def _seconds_per_step(plan: Plan) -> float:
    """Seconds of a training step with nothing frozen: from the stored profile where there is one, else timed now."""
    return (expected.stored_profile(plan) or profiling.time_prefixes(plan, STEPS, prefixes=(0,))).seconds[0]
