"""Whole runs in fixed views, with and without a cache: what they saved, beside the saving by a profile."""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmarks.arms import MACHINE, free_memory
from benchmarks.plans import plan_of
from benchmarks.savings import JUDGED, STRATEGIES, side_by_side
from benchmarks.settings import Settings
from benchmarks.steps import spread
from freezeout.run import expected
from freezeout.run.assemble import assemble
from freezeout.run.plan import Plan, with_machine
from freezeout.run.profiling import median, time_prefixes
from freezeout.savings.profile import Profile

STRATEGY = "cubic scaled 0.8"


class Remembered:
    """Rounds of whole runs on one network: the baseline, and a strategy in fixed views without a cache and with one.

    They take turns by whole epochs: interrupting an epoch would lose what is cached of its view.

    Args:
        settings: The benchmark's.
        network: An option of conf/model.
    """

    def __init__(self, settings: Settings, network: str) -> None:
        self._settings = settings
        epoch, views = settings.cache_epoch, settings.cache_views
        steps = epoch * settings.cache_epochs
        plan = plan_of(settings, network, epoch=epoch, steps=steps, views=views)
        self._arm = JUDGED[plan.device.type]
        baseline = with_machine(plan, **MACHINE[self._arm], cache=False)
        without = dataclasses.replace(baseline, strategy=STRATEGIES[STRATEGY])
        self._frozen = {f"{views} views": without, f"{views} views, cached": with_machine(without, cache=None)}
        self._plans: dict[str, Plan] = {"baseline": baseline, **self._frozen}
        self._seconds: dict[str, list[float]] = {name: [] for name in self._plans}
        self._cache_shares: list[float] = []
        self._profiles: list[Profile] = []
        self._kept: dict[str, Any] = {}

    def round(self) -> None:
        """Train every run once, and time a step and the frozen stages' forward at each prefix."""
        baseline = self._plans["baseline"]
        free_memory(baseline.device)
        runs = {name: assemble(plan) for name, plan in self._plans.items()}
        for name, seconds in side_by_side(runs, self._settings.cache_epoch).items():
            self._seconds[name].append(seconds)
        *_, cached = runs.values()
        # The engine's own clock knows the parts of its steps.
        spent = sum(block.get("cache", 0.0) for block in cached.clock.blocks)
        self._cache_shares.append(spent / cached.clock.seconds)
        self._kept = cached.cache.summary if cached.cache else {}
        runs.clear()
        del cached
        free_memory(baseline.device)
        self._profiles.append(time_prefixes(baseline, self._settings.profile_steps))

    def summary(self) -> dict[str, Any]:
        """What is known so far: shares of the baseline's seconds, each the spread over the rounds.

        "profiled" is a single number, computed from medians over the rounds; the cache is the last round's.
        """
        profile, (baseline, without, cached) = median(self._profiles), self._seconds.values()
        runs: dict[str, Any] = {}
        for name, plan in self._frozen.items():
            saved = [1 - run / base for run, base in zip(self._seconds[name], baseline, strict=True)]
            profiled = expected.saving(plan, plan.steps, profile)["profiled"]
            assert profiled is not None  # a profile was given
            runs[name] = {"realised": spread(saved), "profiled": profiled, "seconds": spread(self._seconds[name])}
        visits = self._kept["visits"]
        return {
            "arm": self._arm,
            "strategy": STRATEGY,
            "views": self._settings.cache_views,
            "epochs": self._settings.cache_epochs,
            "epoch": self._settings.cache_epoch,
            "baseline_seconds": spread(baseline),
            "runs": runs,
            "of_profiled": runs[name]["realised"]["median"] / profiled,
            "run_ratio": spread([a / b for a, b in zip(cached, without, strict=True)]),
            "cache_share": spread(self._cache_shares),
            "hit_rate": self._kept["hits"] / visits if visits else 0.0,
            "bytes": {kind: size for kind, size in self._kept["bytes"].items() if size},
            "profile": dataclasses.asdict(profile),
        }
