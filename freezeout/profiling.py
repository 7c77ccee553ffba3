"""A profile: seconds of a training step at each prefix, alone on this device. A minute or two times every schedule.

A step's time depends on network, batch, precision, engine, device and prefix, and on neither strategy, t_0 nor seed; so
one profile gives the seconds of any run of that network here. It is stored under a name made of just those.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from tqdm import tqdm

from freezeout import records
from freezeout.plan import Plan
from freezeout.provenance import device_model
from freezeout.runner import begin
from freezeout.schedule import Schedule

ROUNDS = 5
STEPS = 52  # at most, of each visit to a prefix; the first WARM_UP are not timed
WARM_UP = 2  # steps of each visit that are not timed
BUDGET = 90.0  # seconds that a profile may take, about


@dataclass(kw_only=True)
class Frozen:
    """Not a user's strategy: the first `prefix` stages frozen from the first step on, to be timed."""

    prefix: int
    bn: ClassVar[str] = "eval"

    def schedule(self, n: int) -> Schedule:
        times = (0.0,) * self.prefix + (1.0,) * (n - self.prefix)
        return Schedule(freeze=times, anneal=(1.0,) * n)


def measure(
    plan: Plan, *, rounds: int = ROUNDS, steps: int | None = None, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Time training steps at every prefix, all prefixes in each of `rounds` rounds, and store the medians.

    Interleaving keeps a drift of the machine's speed out of the ratios. steps: timed steps of each visit; by default
    as many as fit into BUDGET, at least 3.
    """
    prefixes = range(plan.stages)
    if steps is None:
        first = visit(plan, 0, 3)
        steps = max(3, min(STEPS - WARM_UP, round(BUDGET / (first * rounds * plan.stages) - WARM_UP)))
    times: list[list[float]] = [[] for _ in prefixes]
    with tqdm(total=rounds * plan.stages, desc="profile", unit="visit", disable=None, leave=False) as bar:
        for turn in range(rounds):
            for prefix in prefixes if turn % 2 == 0 else reversed(prefixes):
                times[prefix].append(visit(plan, prefix, steps))
                bar.update()
    seconds = [statistics.median(t) for t in times]
    profile = {
        "conditions": plan.conditions,
        "device": {"type": plan.device.type, "model": device_model(plan.device)},
        "stages": plan.stages,
        "rounds": rounds,
        "steps": steps,
        "seconds": seconds,
        "spread": [(max(t) - min(t)) / s for t, s in zip(times, seconds, strict=True)],
    }
    records.write_json_atomic(plan.profile_path, profile)
    say(f"profile: {plan.profile_path} ({rounds} rounds of {steps} steps at each of {plan.stages} prefixes)")
    return profile


def visit(plan: Plan, prefix: int, steps: int) -> float:
    """Seconds of a training step with `prefix` stages frozen: the mean of `steps` steps after a warm-up."""
    steps = min(steps, plan.source.sizes["train"] // plan.config.batch_size - WARM_UP)
    timed = dataclasses.replace(plan, strategy=Frozen(prefix=prefix), steps=WARM_UP + steps)
    training = begin(timed).training

    def forget_the_warm_up() -> bool:
        if training.step == WARM_UP:
            training.clock.stop()
            training.clock.blocks.clear()
        return False

    training.train_epoch(forget_the_warm_up)
    return training.clock.seconds / steps
