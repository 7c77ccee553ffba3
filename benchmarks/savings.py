"""Whole runs: what freezing saved, beside the best possible saving and the saving by a profile."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.arms import MACHINE, free_memory
from benchmarks.ideal import ClockedStages, ideal_saving
from benchmarks.ideal_gpu import ProfiledStages
from benchmarks.plans import plan_of
from benchmarks.settings import Settings
from benchmarks.steps import shuffled, spread
from freezeout.run.assemble import assemble
from freezeout.run.plan import Plan, with_machine
from freezeout.run.profiling import median, medians, time_prefixes
from freezeout.savings.profile import Profile, profiled_saving
from freezeout.schedule import Schedule
from freezeout.strategies import Baseline, FreezeOut, Strategy
from freezeout.train.clock import synchronise
from freezeout.train.loop import Training

STRATEGIES: dict[str, Strategy] = {
    "baseline": Baseline(),
    "cubic scaled 0.8": FreezeOut(t_0=0.8, how_scale="cubic", scale_lr=True),
    "linear unscaled 0.5": FreezeOut(t_0=0.5, how_scale="linear", scale_lr=False),
}
JUDGED = {"cpu": "eager", "cuda": "captured"}  # the default arm of the device, to which the bounds apply
LONG_RUN = 100_000  # steps of 100 epochs of 50,000 images, 50 at a time


@dataclasses.dataclass(frozen=True)
class RunSeconds:
    """Training seconds of a run, and how many of them went to freeze switches, preparations and graph captures."""

    total: float
    switches: float


def extrapolated(blocks: Sequence[Mapping[str, Any]], schedule: Schedule, steps: int) -> RunSeconds:
    """Seconds of a long run from a short one: each prefix at its own steady seconds per step, each switch once.

    The steady value is the median over the prefix's blocks without the first, which contains the switch, the capture
    and the steps before the capture (the first block itself if there is no other). What a first block takes beyond it
    is the switch.

    Args:
        blocks: Of the short run's clock, as in a record's "prefixes".
        schedule: When stages freeze.
        steps: Training steps of the long run.
    """
    steady: dict[int, float] = {}
    switches = 0.0
    for prefix in dict.fromkeys(block["prefix"] for block in blocks):
        first, *later = [b for b in blocks if b["prefix"] == prefix]
        per_step = [b["seconds"] / (b["step_to"] - b["step_from"]) for b in later or [first]]
        steady[prefix] = statistics.median(per_step)
        switches += max(0.0, first["seconds"] - (first["step_to"] - first["step_from"]) * steady[prefix])
    segments = schedule.segments(steps)
    # A prefix that the short run skipped costs as much as the next smaller one that it had.
    known = {p: steady[max(q for q in steady if q <= p)] for p, _, _ in segments}
    trained = sum((end - start) * known[prefix] for prefix, start, end in segments)
    return RunSeconds(trained + switches, switches)


def whole_runs(plan: Plan, burst: int) -> dict[str, RunSeconds]:
    """Train `plan` from its first step to its last under every strategy, side by side.

    Strategies take turns of `burst` steps, so that a drift of the machine's speed affects all equally.

    Returns:
        By strategy, the seconds by the wall clock; on a GPU extrapolated to LONG_RUN steps.
    """
    free_memory(plan.device)
    plans = {name: dataclasses.replace(plan, strategy=s) for name, s in STRATEGIES.items()}
    runs = {name: assemble(one) for name, one in plans.items()}
    seconds = side_by_side(runs, burst)
    if plan.device.type == "cuda":
        return {name: extrapolated(r.clock.blocks, r.freezeout.schedule, LONG_RUN) for name, r in runs.items()}
    return {
        name: RunSeconds(seconds[name], sum(block.get("switch", 0.0) for block in training.clock.blocks))
        for name, training in runs.items()
    }


def side_by_side(runs: Mapping[str, Training], burst: int) -> dict[str, float]:
    """Train all runs to their ends, `burst` steps of each in turn; by run, the seconds by the wall clock."""
    seconds = dict.fromkeys(runs, 0.0)
    number = 0
    while any(training.step < training.freezeout.total_steps for training in runs.values()):
        for name in shuffled(runs, number):
            seconds[name] += advance(runs[name], burst)
        number += 1
    return seconds


def advance(training: Training, steps: int) -> float:
    """Train `steps` steps, or as many as are left of the epoch; the seconds by the wall clock."""
    end = training.step + steps
    synchronise(training.device)
    start = time.perf_counter()
    training.train_epoch(lambda: training.step >= end)
    synchronise(training.device)
    return time.perf_counter() - start


class Savings:
    """Rounds of whole runs on one network.

    Args:
        settings: The benchmark's.
        network: An option of conf/model.
    """

    def __init__(self, settings: Settings, network: str) -> None:
        epoch, steps = min(settings.run_epoch, settings.run_steps), settings.run_steps
        plan = plan_of(settings, network, epoch=epoch, steps=steps)
        self.arm = JUDGED[plan.device.type]
        self._cpu = plan.device.type == "cpu"
        self._plan = with_machine(plan, **MACHINE[self.arm])
        self._settings = settings
        # One burst an epoch, so that timing the stages is short, and as many epochs as there may be rounds.
        timed = plan_of(settings, network, epoch=settings.burst, steps=settings.burst * (settings.run_rounds + 2))
        self._stages = ClockedStages(timed) if self._cpu else ProfiledStages(timed)
        self._runs: dict[str, list[RunSeconds]] = {name: [] for name in STRATEGIES}
        self._own_shares: list[list[float]] = []
        self._input_shares: list[list[float]] = []
        self._profiles: list[Profile] = []

    def round(self) -> None:
        """Train every strategy once, time each stage by itself and a step at each prefix."""
        if isinstance(self._stages, ProfiledStages):
            # First: if the profiler cannot see kernels, no minutes of whole runs are lost.
            kernels = self._stages.own_seconds()
        for name, run in whole_runs(self._plan, self._settings.run_burst).items():
            self._runs[name].append(run)
        if isinstance(self._stages, ProfiledStages):
            own, step = kernels, self._runs["baseline"][-1].total / LONG_RUN
        else:
            own, step = self._stages.own_seconds()
        self._own_shares.append([seconds / step for seconds in own])
        self._input_shares.append([seconds / step for seconds in self._stages.input_seconds()])
        free_memory(self._plan.device)
        self._profiles.append(time_prefixes(self._plan, self._settings.profile_steps))

    def summary(self) -> dict[str, Any]:
        """What is known so far: shares of the baseline's seconds, each the spread over the rounds.

        "ideal", "ideal_with_input" and "profiled" are single numbers, computed from medians over the rounds.
        """
        own, inputs, profile = medians(self._own_shares), medians(self._input_shares), median(self._profiles)
        steps = self._plan.steps if self._cpu else LONG_RUN
        baseline = self._runs["baseline"]
        found: dict[str, Any] = {}
        for name, strategy in STRATEGIES.items():
            if name == "baseline":
                continue
            schedule = strategy.schedule(self._plan.stages)
            ideal = ideal_saving(own, schedule, steps)
            saved = [1 - run.total / base.total for run, base in zip(self._runs[name], baseline, strict=True)]
            realised = spread(saved)
            found[name] = {
                "ideal": ideal,
                "ideal_with_input": ideal_saving(own, schedule, steps, inputs),
                "ideal_rounds": spread([ideal_saving(shares, schedule, steps) for shares in self._own_shares]),
                "realised": realised,
                "of_ideal": realised["median"] / ideal if ideal else None,
                "profiled": profiled_saving(profile, schedule, steps),
                "switches": spread([run.switches / run.total for run in self._runs[name]]),
                "seconds": spread([run.total for run in self._runs[name]]),
            }
        return {
            "arm": self.arm,
            "steps": steps,
            "extrapolated": not self._cpu,
            "baseline_seconds": spread([run.total for run in baseline]),
            "own_shares": own,
            "input_shares": inputs,
            "profile": dataclasses.asdict(profile),
            "strategies": found,
        }
