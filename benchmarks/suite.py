"""The whole benchmark: every network, part by part. Results are written after each part, so that none is lost."""

from __future__ import annotations

import dataclasses
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import arms, figure, packed, report, roofline, steps
from benchmarks.bounds import bounds
from benchmarks.budget import Budget, BudgetBar
from benchmarks.plans import plan_of
from benchmarks.remembered import Remembered
from benchmarks.savings import Savings
from benchmarks.settings import Settings, prefixes
from freezeout.run.provenance import device_model, provenance


def run(settings: Settings, out: Path, command: Sequence[str]) -> dict[str, Any]:
    """Measure every network and print, write and draw what was found.

    Args:
        settings: What to measure.
        out: Folder of benchmark.json, benchmark.csv and benchmark.png; made if it is not there.
        command: What the user typed, for the record.

    Returns:
        The results, as they are in the JSON file.

    Raises:
        ConfigError: Something cannot be run here; nothing has been timed then.
        OSError: `out` cannot be written; nothing has been timed then.
    """
    plans = [plan_of(settings, name, epoch=settings.burst, steps=settings.burst) for name in settings.networks]
    out.mkdir(parents=True, exist_ok=True)
    device = plans[0].device
    results: dict[str, Any] = {
        "command": shlex.join(command),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": {"type": device.type, "model": device_model(device), "threads": plans[0].threads},
        **provenance(device),
        "precision": settings.precision,
        "batch": settings.batch,
        "settings": dataclasses.asdict(settings),
        "networks": {},
    }
    report.write(results, out)  # fails now if the folder cannot be written
    budget, began = Budget(settings.budget, settings.parts * len(settings.networks)), time.perf_counter()
    bar = BudgetBar(budget)
    try:
        for network in settings.networks:
            benchmark = NetworkBenchmark(settings, network, budget, bar)
            results["networks"][network] = benchmark.parts
            for _ in benchmark.measured():
                results["seconds"] = time.perf_counter() - began
                report.write(results, out)
            if rows := report.rows(results):
                figure.draw(pd.DataFrame(rows, columns=report.COLUMNS), out)
    finally:
        bar.close()
    print(report.bounds_text(bounds(results)))
    print(f"wrote {out / report.JSON}, {report.CSV} and {figure.PNG}")
    return results


class NetworkBenchmark:
    """All parts of the benchmark on one network.

    Args:
        settings: What to measure.
        network: An option of conf/model.
        budget: The budget of the whole benchmark; each part takes its share.
        bar: Shows what is being measured.

    Attributes:
        parts: What has been measured so far, as it stands in the JSON file.
    """

    def __init__(self, settings: Settings, network: str, budget: Budget, bar: BudgetBar) -> None:
        self.parts: dict[str, Any] = {}
        self._settings, self._network, self._budget, self._bar = settings, network, budget, bar
        plan = plan_of(settings, network, epoch=settings.burst, steps=settings.burst)
        self._prefixes = prefixes(plan.stages, settings.frozen)
        self._plan = dataclasses.replace(plan, steps=settings.burst * len(self._prefixes) * (settings.rounds + 1))
        left_out = {
            name
            for name, machine in arms.MACHINE.items()
            if (machine["capture"] and settings.device != "cuda")
            or (machine["compile"] and network not in settings.compiled)
        }
        self._arms = [name for name in arms.LABELS if name not in left_out]
        self._channels_last = False

    def measured(self) -> Iterator[None]:
        """Measure; yields whenever there is something new in `parts`."""
        plan, threads = self._plan, self._plan.threads
        self._bar.write(
            f"\n{self._network}: {plan.stages} stages, {self._settings.precision}, batch {self._settings.batch}, "
            f"{threads} thread{'s' if threads > 1 else ''}"
        )
        measures = {"steps": self._steps, "savings": self._savings, "cache": self._cache}
        for part in self._settings.parts:
            yield from measures[part](self._budget.take(part))

    def _steps(self, deadline: float) -> Iterator[None]:
        yield from self._step_times(deadline)
        self._packed_bytes()
        self._limits()
        yield

    def _step_times(self, deadline: float) -> Iterator[None]:
        plan, settings = self._plan, self._settings
        self._bar.measuring(f"{self._network}, memory format")
        memory_format = steps.fastest_format(plan)
        self._channels_last = memory_format["chosen"] == "channels_last"
        self.parts |= {"stages": plan.stages, "format": memory_format, "steps": {}, "packed": {}}
        self._bar.write(f"  arms: {', '.join(self._arms)}; memory format of the loops: {memory_format['chosen']}")
        if "compiled" not in self._arms:
            self._bar.write(f"  compiled is left out: it takes minutes here (--compiled {self._network})")
        self._bar.measuring(f"{self._network}, setting up")
        began = time.perf_counter()
        made = {name: arms.make(name, plan, 0, channels_last=self._channels_last) for name in self._arms}
        self.parts["setup_seconds"] = time.perf_counter() - began
        for i, prefix in enumerate(self._prefixes):
            self._bar.measuring(f"{self._network}, {prefix} of {plan.stages} frozen")
            for arm in made.values():
                arm.freeze(prefix)
            # Steps get shorter as stages freeze; dividing time by their length gives all prefixes about as many rounds.
            lengths = [1 - 0.7 * k / plan.stages for k in self._prefixes[i:]]
            now = time.perf_counter()
            end = now + (deadline - now) * lengths[0] / sum(lengths)
            times = steps.timed(made, plan, rounds=settings.rounds, min_rounds=settings.min_rounds, deadline=end)
            seconds = {name: steps.spread(values) for name, values in times.items()}
            found = {"seconds": seconds, "ratios": steps.ratios(times)}
            self.parts["steps"][str(prefix)] = found
            self._bar.write(report.steps_text(prefix, plan.stages, found))
            yield
        made.clear()
        arms.free_memory(plan.device)

    def _packed_bytes(self) -> None:
        shares = packed.active_shares(self._plan, self._prefixes, channels_last=self._channels_last)
        names = [name for name in self._arms if name in arms.LOOPS or not arms.MACHINE[name]["compile"]]
        for prefix in self._prefixes:
            self._bar.measuring(f"{self._network}, bytes packed with {prefix} frozen")
            held = packed.measure(self._plan, prefix, names, channels_last=self._channels_last)
            self.parts["packed"][str(prefix)] = {"share": shares[prefix], "arms": held}
        self._bar.write(report.packed_text(self.parts["packed"]))

    def _limits(self) -> None:
        if "0" not in self.parts["steps"]:
            return
        counts, rates = roofline.counted(self._plan, 0), roofline.peak_rates(self._plan)
        seconds = self.parts["steps"]["0"]["seconds"]
        engines = [name for name in self._arms if name in arms.ENGINES]
        self.parts["limits"] = {name: roofline.limits(counts, rates, seconds[name]["median"]) for name in engines}
        self._bar.write(roofline.text(self.parts["limits"]))

    def _savings(self, deadline: float) -> Iterator[None]:
        yield from self._rounds("savings", Savings, report.savings_text, "whole runs", deadline)

    def _cache(self, deadline: float) -> Iterator[None]:
        if self._network in self._settings.cached:
            yield from self._rounds("cache", Remembered, report.cache_text, "runs with a cache", deadline)

    def _rounds(
        self,
        part: str,
        make: Callable[[Settings, str], Savings | Remembered],
        text: Callable[[dict[str, Any]], str],
        what: str,
        deadline: float,
    ) -> Iterator[None]:
        settings = self._settings
        if not settings.run_rounds:
            return
        self._bar.measuring(f"{self._network}, {what}")
        runs, began = make(settings, self._network), time.perf_counter()
        for done in range(1, settings.run_rounds + 1):
            runs.round()
            self._bar.measuring(f"{self._network}, {what}, round {done}")
            self.parts[part] = runs.summary()
            yield
            now = time.perf_counter()
            if done >= settings.min_run_rounds and now + (now - began) / done > deadline:
                break
        self._bar.write(text(self.parts[part]))
