"""How long the runs of a sweep should take here: a few timed steps of each network, times the cost of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from statistics import median

import torch

from freezeout.naming import counted, duration
from freezeout.run import expected, identity, profiling
from freezeout.run.plan import Plan
from freezeout.savings import cost

STEPS = 5  # timed steps of each network
WORTH = 50  # no forecast for a network that trains for fewer than this many times the timed steps: it would not pay


def steps_of(plan: Plan, done: int = 0) -> float:
    """The cost of a run from its step `done` on, training and evaluation, in training steps with nothing frozen.

    By counted FLOPs. If they cannot be counted, a frozen stage is assumed to save nothing, and evaluating an image to
    cost a third of training on it.
    """
    sizes = plan.outline.sizes
    epochs = (plan.steps - done) / plan.steps_per_epoch
    images = epochs * sizes[plan.split] + sum(sizes.values())
    if not plan.costs:
        return plan.steps - done + images / plan.config.batch_size / 3
    whole = cost.step_cost(plan.costs, 0)
    forward = sum(stage.forward for stage in plan.costs) / whole
    training = cost.run_cost(plan.costs, plan.schedule, plan.steps, done) / whole
    without = cost.run_cost(plan.costs, plan.schedule, plan.steps)
    training *= expected.run_flops(plan) / without  # cached outputs, as if spread evenly
    return training + forward * images / plan.config.batch_size


class Rates:
    """Seconds of a training step with nothing frozen, by everything they depend on: the median of the runs seen.

    Once any run has ended in this sweep, only such runs count: their times include everything besides training, on the
    machine as it is today. The median ignores a single run that is long because the machine slept.
    """

    work = staticmethod(steps_of)  # for callers that must not import this module, which loads torch

    def __init__(self) -> None:
        self._expected: dict[str, list[float]] = {}
        self._measured: dict[str, list[float]] = {}

    def expect(self, plan: Plan, seconds: float, steps: float) -> None:
        """Note that this many steps of such a run took this long earlier."""
        _add(self._expected, plan, seconds, steps)

    def mend(self, plan: Plan, seconds: float, done: int) -> None:
        """Note that a run that began at step `done` has ended now, and took this long."""
        _add(self._measured, plan, seconds, steps_of(plan, done))

    def seconds(self, plan: Plan, done: int = 0) -> float | None:
        """Seconds that a run will take from its step `done` to its end; None if nothing like it has been timed."""
        key = _conditions(plan)
        if (known := self._measured.get(key) or self._expected.get(key)) is None:
            return None
        return median(known) * steps_of(plan, done)


def _add(rates: dict[str, list[float]], plan: Plan, seconds: float, steps: float) -> None:
    rates.setdefault(_conditions(plan), []).append(seconds / steps)


def forecast(plans: Sequence[Plan], rates: Rates, done: Sequence[int] = ()) -> str | None:
    """One line that says how long the runs will take: `about 4.2 min for 39 runs, one after another (...)`.

    Training and evaluation are counted. The runs themselves are not touched: each builds and seeds everything itself.

    Args:
        plans: The runs that are still to do.
        rates: Known step times; missing ones are timed and added.
        done: The steps that each run has done; empty if none has begun.

    Returns:
        The line; or the reason why there is no forecast; None if the runs are too short for one to pay.
    """
    left = list(zip(plans, done or [0] * len(plans), strict=True))
    alike = [list(group) for _, group in groupby(sorted(plans, key=_conditions), _conditions)]
    if sum(plan.steps - behind for plan, behind in left) < WORTH * STEPS * len(alike):
        return None
    unknown = [group[0] for group in alike if rates.seconds(group[0]) is None]
    if any(plan.config.machine.compile for plan in unknown):
        return "no forecast: compiled networks are not timed"
    threads = torch.get_num_threads()
    try:
        with torch.random.fork_rng(devices=[]):
            for plan in unknown:
                rates.expect(plan, _seconds_per_step(plan), 1)
    except RuntimeError as error:  # out of memory, most likely: the runs will say so, each in its record
        return f"no forecast: {next(iter(str(error).splitlines()), type(error).__name__)}"
    finally:
        torch.set_num_threads(threads)
    seconds = sum(rates.seconds(plan, behind) or 0.0 for plan, behind in left)
    how = f"{STEPS} timed steps of each network" if unknown else "the runs that are done"
    return f"about {duration(seconds)} for {counted(len(plans), 'run')}, one after another (from {how})"


def _conditions(plan: Plan) -> str:
    """Equal for plans whose training steps take the same time."""
    return json.dumps(identity.conditions(plan), sort_keys=True)


def _seconds_per_step(plan: Plan) -> float:
    """Seconds of a training step with nothing frozen: from the stored profile if there is one, else timed now."""
    return (expected.stored_profile(plan) or profiling.time_prefixes(plan, STEPS, prefixes=(0,))).seconds[0]
