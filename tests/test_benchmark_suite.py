"""The benchmark runs from end to end, part by part, and writes what it has after each."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from made_benchmarks import SMALL

from benchmarks import report, suite
from benchmarks.budget import Budget, BudgetBar

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_a_small_benchmark_from_end_to_end(tmp_path) -> None:
    words = "--networks wrn_10_1 --compiled --rounds 2 --run-rounds 1 --run-steps 20 --batch 4 --image 8 --budget 0"
    words += " --cache-epoch 2"
    command = [sys.executable, "-m", "benchmarks", *words.split(), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "bounds" in done.stdout
    assert "4 of 5 frozen" in done.stdout
    results = json.loads((tmp_path / report.JSON).read_text())
    measured = results["networks"]["wrn_10_1"]
    assert list(measured["steps"]) == list(measured["packed"]) == ["0", "1", "2", "4"]
    assert set(measured["steps"]["4"]["seconds"]) == {"plain", "original", "composer", "eager"}
    assert measured["steps"]["0"]["ratios"]["eager/composer"]["n"] == 2
    assert set(measured["savings"]["strategies"]) == {"cubic scaled 0.8", "linear unscaled 0.5"}
    assert len(results["bounds"]) == 26
    assert list(measured["cache"]["runs"]) == ["2 views", "2 views, cached"]
    table = pd.read_csv(tmp_path / report.CSV)
    assert set(table["quantity"]) >= {"seconds", "ratio", "packed", "realised", "ideal_rounds"}
    assert (tmp_path / "benchmark.png").stat().st_size > 10_000


@pytest.mark.slow
def test_there_is_something_to_write_after_each_prefix_and_each_part() -> None:
    chosen = dataclasses.replace(SMALL, compiled=(), rounds=1, min_rounds=1, parts=("steps",))
    budget = Budget(0, ["steps"])
    benchmark = suite.NetworkBenchmark(chosen, "wrn_10_1", budget, BudgetBar(budget))
    found = []
    for _ in benchmark.measured():
        found.append((list(benchmark.parts["steps"]), list(benchmark.parts["packed"]), "limits" in benchmark.parts))
    every = ["0", "1", "2", "4"]
    steps = [(every[:i], [], False) for i in (1, 2, 3, 4)]
    assert found == [*steps, (every, every, True)]
    assert not {"savings", "cache"} & benchmark.parts.keys()


def test_the_cache_can_be_measured_alone_and_where_it_was_asked_for() -> None:
    chosen = dataclasses.replace(SMALL, parts=("cache",), run_rounds=1)
    for cached, parts in (((), []), (("wrn_10_1",), ["cache"])):
        budget = Budget(0, ["cache"])
        settings = dataclasses.replace(chosen, cached=cached)
        benchmark = suite.NetworkBenchmark(settings, "wrn_10_1", budget, BudgetBar(budget))
        list(benchmark.measured())
        assert list(benchmark.parts) == parts


def test_prefixes_that_were_asked_for_are_measured_and_no_others() -> None:
    """Without prefix 0 there is no step with nothing frozen whose limits could be told."""
    chosen = dataclasses.replace(SMALL, compiled=(), rounds=1, min_rounds=1, parts=("steps",), frozen=(0.5, 0.95))
    budget = Budget(0, ["steps"])
    benchmark = suite.NetworkBenchmark(chosen, "wrn_10_1", budget, BudgetBar(budget))
    list(benchmark.measured())
    assert list(benchmark.parts["steps"]) == list(benchmark.parts["packed"]) == ["2", "4"]
    assert "limits" not in benchmark.parts


@pytest.mark.parametrize(("compiled", "arm"), [(("wrn_10_1",), True), ((), False)])
def test_the_compiled_arm_runs_where_it_was_asked_for(monkeypatch, compiled: tuple[str, ...], arm: bool) -> None:
    made: list[str] = []

    def stop_at_the_last(name, *arguments, **options):
        made.append(name)
        if name == ("compiled" if arm else "eager"):
            raise InterruptedError

    monkeypatch.setattr(suite.arms, "make", stop_at_the_last)
    monkeypatch.setattr(suite.steps, "fastest_format", lambda plan: {"chosen": "contiguous"})
    chosen, budget = dataclasses.replace(SMALL, compiled=compiled), Budget(0, ["steps"])
    with pytest.raises(InterruptedError):
        list(suite.NetworkBenchmark(chosen, "wrn_10_1", budget, BudgetBar(budget)).measured())
    assert made == ["plain", "original", "composer", "eager", *(["compiled"] if arm else [])]
