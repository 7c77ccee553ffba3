"""Whole runs: what freezing saved, against what it could save at best and what a profile says it saves."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.arms import MACHINE, forget, synchronise
from benchmarks.ideal import ClockedStages, ideal_saving
from benchmarks.ideal_gpu import ProfiledStages
from benchmarks.settings import Setting, plan_of, with_machine
from benchmarks.steps import shuffled, spread
from freezeout.run.assemble import assemble
from freezeout.run.plan import Plan
from freezeout.run.profiling import median, medians, time_prefixes
from freezeout.savings.profile import Profile, profiled_saving
from freezeout.schedule import Schedule
from freezeout.strategies import Baseline, FreezeOut, Strategy
from freezeout.train.loop import Training

STRATEGIES: dict[str, Strategy] = {
    "baseline": Baseline(),
    "cubic scaled 0.8": FreezeOut(t_0=0.8, how_scale="cubic", scale_lr=True),
    "linear unscaled 0.5": FreezeOut(t_0=0.5, how_scale="linear", scale_lr=False),
}
JUDGED = {"cpu": "d", "cuda": "f"}  # the path whose runs are held against the ideal
LONG = 100_000  # steps of 100 epochs of 50,000 images, 50 at a time
Blocks = Sequence[Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Seconds:
    """Training seconds of a run, and how many of them went to switches, preparations and captures."""

    total: float
    switches: float


def as_run(blocks: Blocks, seconds: float) -> Seconds:
    """A run as the wall clock saw it."""
    return Seconds(seconds, sum(block.get("switch", 0.0) for block in blocks))


def extrapolated(blocks: Blocks, schedule: Schedule, steps: int) -> Seconds:
    """The run as it would be with `steps` steps: each prefix at its own steady seconds a step, each switch once.

    Steady: the median over the prefix's blocks but the first, in which the switch, the capture and the ungraphed
    steps before it fall (where there is no other, that one). What a first block took beyond that is the switch.
    """
    steady: dict[int, float] = {}
    switches = 0.0
    for prefix in dict.fromkeys(block["prefix"] for block in blocks):
        first, *later = [b for b in blocks if b["prefix"] == prefix]
        each = [b["seconds"] / (b["step_to"] - b["step_from"]) for b in later or [first]]
        steady[prefix] = statistics.median(each)
        switches += max(0.0, first["seconds"] - (first["step_to"] - first["step_from"]) * steady[prefix])
    # A prefix that the short run skipped costs what the next smaller one that it had does.
    known = {p: steady[max(q for q in steady if q <= p)] for p, _, _ in schedule.segments(steps)}
    trained = sum((end - start) * known[prefix] for prefix, start, end in schedule.segments(steps))
    return Seconds(trained + switches, switches)


def whole_runs(plan: Plan, each: int) -> dict[str, Seconds]:
    """Train `plan` under every strategy from its first step to its last, `each` steps of one and then of the next.

    Side by side, so that a drift of the machine's speed falls on all alike. On a GPU: extrapolated to 100 epochs.
    """
    forget(plan.device)
    runs = {name: assemble(dataclasses.replace(plan, strategy=s)) for name, s in STRATEGIES.items()}
    seconds = dict.fromkeys(runs, 0.0)
    turn = 0
    while any(training.step < plan.steps for training in runs.values()):
        for name in shuffled(runs, turn):
            seconds[name] += advance(runs[name], each)
        turn += 1
    if plan.device.type != "cuda":
        return {name: as_run(training.clock.blocks, seconds[name]) for name, training in runs.items()}
    return {name: extrapolated(r.clock.blocks, r.freezeout.schedule, LONG) for name, r in runs.items()}


def advance(training: Training, steps: int) -> float:
    """Seconds of the next `steps` steps, by the wall clock, or of as many as are left of the epoch."""
    end = training.step + steps
    synchronise(training.device)
    start = time.perf_counter()
    training.train_epoch(lambda: training.step >= end)
    synchronise(training.device)
    return time.perf_counter() - start


class Savings:
    """Rounds of whole runs on one network; `round` makes one more, `summary` says what is known so far."""

    def __init__(self, setting: Setting, network: str) -> None:
        epoch, steps = min(setting.run_epoch, setting.run_steps), setting.run_steps
        plan = plan_of(setting, network, epoch=epoch, steps=steps)
        self.path = JUDGED[plan.device.type]
        self._cpu = plan.device.type == "cpu"
        self._plan = with_machine(plan, **MACHINE[self.path])
        self._setting = setting
        # Its epoch is a group, so that a visit is short; as many epochs as there may be rounds.
        timed = plan_of(setting, network, epoch=setting.group, steps=setting.group * (setting.run_rounds + 2))
        self._stages = ClockedStages(timed) if self._cpu else ProfiledStages(timed)
        self._runs: dict[str, list[Seconds]] = {name: [] for name in STRATEGIES}
        self._shares: list[list[float]] = []
        self._handed_on: list[list[float]] = []
        self._profile: list[Profile] = []

    def round(self) -> None:
        """Each strategy once, each stage by itself, and a step at each prefix."""
        for name, run in whole_runs(self._plan, self._setting.turn).items():
            self._runs[name].append(run)
        if isinstance(self._stages, ClockedStages):
            own, step = self._stages.visit()
        else:
            own, step = self._stages.visit(), self._runs["baseline"][-1].total / LONG
        self._shares.append([seconds / step for seconds in own])
        self._handed_on.append([seconds / step for seconds in self._stages.handed_on()])
        forget(self._plan.device)
        self._profile.append(time_prefixes(self._plan, self._setting.profile_steps))

    def summary(self) -> dict[str, Any]:
        """Shares of the baseline's seconds, each a spread over the rounds; `profiled` is one number, of medians."""
        shares, handed_on, profile = medians(self._shares), medians(self._handed_on), median(self._profile)
        steps = self._plan.steps if self._cpu else LONG
        baseline = self._runs["baseline"]
        found: dict[str, Any] = {}
        for name, strategy in STRATEGIES.items():
            if name == "baseline":
                continue
            schedule = strategy.schedule(self._plan.stages)
            ideal = ideal_saving(shares, schedule, steps)
            saved = [1 - run.total / base.total for run, base in zip(self._runs[name], baseline, strict=True)]
            realised = spread(saved)
            found[name] = {
                "ideal": ideal,
                "ideal_with_input": ideal_saving(shares, schedule, steps, handed_on),
                "ideal_rounds": spread([ideal_saving(s, schedule, steps) for s in self._shares]),
                "realised": realised,
                "of_ideal": realised["median"] / ideal if ideal else None,
                "profiled": profiled_saving(profile, schedule, steps),
                "switches": spread([run.switches / run.total for run in self._runs[name]]),
                "seconds": spread([run.total for run in self._runs[name]]),
            }
        return {
            "path": self.path,
            "steps": steps,
            "extrapolated": not self._cpu,
            "baseline_seconds": spread([run.total for run in baseline]),
            "shares": shares,
            "handed_on": handed_on,
            "profile": dataclasses.asdict(profile),
            "strategies": found,
        }
