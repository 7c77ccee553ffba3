"""A profile: seconds of a training step at each prefix, alone on this device. A minute or two times every schedule.

A step's time depends on network, batch, precision, engine, device and prefix, and on neither strategy, t_0 nor seed; so
one profile gives the seconds of any run of that network here. It is stored under a name made of just those.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tqdm import tqdm

from freezeout import records
from freezeout.run.plan import Plan
from freezeout.run.provenance import device_model
from freezeout.run.runner import begin
from freezeout.savings import cost
from freezeout.schedule import Schedule
from freezeout.strategies import Strategy
from freezeout.train.captured import WORTH

ROUNDS = 5
STEPS = 50  # at most, of each prefix in each round
WARM_UP = 4  # steps of each prefix that are not timed: the freeze switch, and a CUDA graph's eager steps and capture
BUDGET = 90.0  # seconds that a profile may take, about


@dataclass(kw_only=True)
class Stairs(Strategy):
    """Not a user's strategy: one stage more is frozen every `each` steps, until `levels` prefixes have had theirs."""

    levels: int
    each: int

    def schedule(self, n: int) -> Schedule:
        total = self.levels * self.each
        times = [(i + 1) * self.each / total for i in range(n - 1)]
        return Schedule(freeze=(*(min(1.0, t) for t in times), 1.0), anneal=(1.0,) * n)


def measure(
    plan: Plan, *, rounds: int = ROUNDS, steps: int | None = None, say: Callable[[str], None] = print
) -> cost.Profile:
    """Time training steps at every prefix, all prefixes in each of `rounds` rounds, and store the medians.

    Interleaving keeps a drift of the machine's speed out of the ratios. steps: timed steps of each visit; by default
    as many as fit into BUDGET, at least 3.
    """
    if steps is None:
        first = climb(plan, 3, levels=1).seconds[0]
        steps = max(3, min(STEPS, round(BUDGET / (first * rounds * plan.stages) - WARM_UP)))
    steps = whole(plan, steps)
    climbs: list[cost.Profile] = []
    with tqdm(total=rounds * plan.stages, desc="profile", unit="prefix", disable=None, leave=False) as bar:
        for _ in range(rounds):
            climbs.append(climb(plan, steps, say=bar.update))
    profile = median(climbs)
    times = zip(*(one.seconds for one in climbs), strict=True)
    document = {
        "conditions": plan.conditions,
        "device": {"type": plan.device.type, "model": device_model(plan.device)},
        "stages": plan.stages,
        "rounds": rounds,
        "steps": steps,
        "seconds": profile.seconds,
        "switches": profile.switches,
        "spread": [(max(t) - min(t)) / s for t, s in zip(times, profile.seconds, strict=True)],
    }
    records.write_json_atomic(plan.profile_path, document)
    say(f"profile: {plan.profile_path} ({rounds} rounds of {steps} steps at each of {plan.stages} prefixes)")
    return profile


def median(climbs: Sequence[cost.Profile]) -> cost.Profile:
    """Of each prefix the median over several climbs."""
    return cost.Profile(medians([c.seconds for c in climbs]), medians([c.switches for c in climbs]))


def medians(rounds: Sequence[Sequence[float]]) -> list[float]:
    """Of each place, the median over the rounds."""
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def windowed(plan: Plan, steps: int) -> int:
    """`steps` rounded up to whole windows of a run-ahead."""
    return -(-steps // plan.run_ahead) * plan.run_ahead


def whole(plan: Plan, steps: int) -> int:
    """`steps` rounded up to whole windows, and to as many as a CUDA graph is captured for."""
    return windowed(plan, max(steps, WORTH if plan.capture else 1))


def climb(
    plan: Plan, steps: int, *, levels: int | None = None, say: Callable[[], object] = lambda: None
) -> cost.Profile:
    """Seconds of a training step at the first `levels` prefixes (all unless said): of each the mean of `steps` steps.

    One training that freezes as it goes, so that compiling and setting up are paid once; the first WARM_UP steps of
    each prefix are left out. Both are rounded up, see `whole`. say: called after each prefix.
    """
    warm_up, steps = windowed(plan, WARM_UP), whole(plan, steps)
    each = warm_up + steps
    levels = plan.stages if levels is None else levels
    stairs = Stairs(levels=levels, each=each)
    training = begin(dataclasses.replace(plan, strategy=stairs, steps=levels * each)).training
    clock = training.clock
    seconds: list[float] = []
    switches: list[float] = []

    def on_step() -> bool:
        done = training.step % each
        if done == warm_up:
            clock.stop()
            switches.append(sum(block.get("switch", 0.0) for block in clock.blocks))
            clock.blocks.clear()
        elif done == 0:
            clock.stop()
            seconds.append(clock.seconds / steps)
            clock.blocks.clear()
            say()
        return False

    while training.step < levels * each:
        training.train_epoch(on_step)
    return cost.Profile(seconds, switches)
