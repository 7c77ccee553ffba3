"""Ten thousand runs: what it costs to plan them, to come back to them, and to look at what has become of them.

Bounds are in seconds of the processor, as the machine may be busy. Measured on one core of an AMD EPYC, beside other
work; bounds are those of a slow machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from launched import environment
from made_records import BASELINE, freezeout, make_run, shortened, write_manifest

from freezeout import records

RUNS = 10_000
# 2000 configurations under 5 seeds, but for those that the options make equal.
WORDS = [
    "t_0=range(0.2,1.0,0.008)",
    "strategy.how_scale=linear,squared,cubic,cubic",
    "strategy=freezeout,lr_only",
    "optimizer.lr=0.05,0.1,0.2",
    "seed=range(0,5)",
]
SWEEP = """
import resource, sys, time
from hydra.core.utils import JobReturn, JobStatus
from freezeout.cli import forecast, launching, sweeper

class Launcher:
    def launch(self, overrides, initial_job_idx):
        print("launched", len(overrides))
        return [JobReturn(status=JobStatus.COMPLETED, _return_value="done") for _ in overrides]

sweeper.Arms.launch = lambda self, todo, deadline, *rest: launching.launch(todo, Launcher(), deadline, here=False)
sweeper.report_failures = lambda jobs: None  # of which there are as many as runs
from freezeout.__main__ import main
sys.argv[1:] = ["-m", "machine=cpu", "machine.threads=1", "tracker=none", *sys.argv[1:]]
try:
    sys.exit(main())
finally:
    print("cost", time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
ANALYSIS = """
import resource, sys, time
from analysis.__main__ import main
try:
    sys.exit(main(sys.argv[1:]))
finally:
    print("cost", time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def cost(code: str, folder: Path, *words: str) -> tuple[str, float, float]:
    """What a program prints, the seconds of the processor that it takes, and the memory at its largest, in MB."""
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said, _, numbers = done.stdout.rpartition("cost ")
    seconds, memory = map(float, numbers.split())
    print(*words, f"{seconds:.1f} s, {memory:.0f} MB")
    return said + done.stderr, seconds, memory


def finish(root: Path) -> None:
    """Write a record for every run of the sweep, of the size that one has after 20 epochs of 10 stages: 17 kB."""
    rates = [0.1 / (i + 1) for i in range(10)]
    epochs = [{"epoch": e + 1, "error": 3.0, "seconds": 0.1 * e, "learning_rates": rates} for e in range(20)]
    blocks = [{"prefix": 0, "step_from": 20 * b, "step_to": 20 * b + 20, "seconds": 0.3} for b in range(28)]
    large = {"epochs": epochs, "prefixes": blocks, "correct": {"test": "A" * 60}}
    (manifest,) = (root / "sweeps").glob("*.json")
    for run in json.loads(manifest.read_text())["runs"]:
        name = run["run_id"].rpartition("-")[0]
        done = {"schema_version": 1, "status": "done", "run_id": run["run_id"], "seed": run["seed"], "error": 3.0}
        done |= {"seconds": {"train": 9.0, "total": 10.0}, "segments": [{"step_to": 560}], "reason": None}
        done |= {"config": {**run["label"], "seed": run["seed"]}, "flops": {"step": 1e6, "run": 5e8}, "setting_id": "s"}
        records.write_json_atomic(records.run_folder(root, name, run["seed"]) / "record.json", done | large)


@pytest.mark.slow
@pytest.mark.long
def test_ten_thousand_runs_are_planned_handed_over_at_once_and_found_again(tmp_path: Path) -> None:
    _, _, least = cost(SWEEP, tmp_path, "t_0=0.5", "out=one")
    said, seconds, memory = cost(SWEEP, tmp_path, *WORDS)
    runs = int(said.split(" runs (")[0].rpartition(" ")[2])
    assert f"launched {runs}\n" in said, "one list, which a launcher can make an array of"
    assert runs >= 0.9 * RUNS
    assert seconds < 60, f"{seconds:.0f} s; measured 13 s"
    assert memory < least + 300, f"{memory - least:.0f} MB more than for one run; measured 70 MB"
    finish(tmp_path / "runs")
    said, seconds, memory = cost(SWEEP, tmp_path, *WORDS)
    assert f"{runs} done before, 0 to do" in said
    assert seconds < 60, f"{seconds:.0f} s; measured 17 s"
    assert memory < least + 300, f"{memory - least:.0f} MB more than for one run; measured 90 MB"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Ten thousand records of one panel: a baseline, five lengths and 94 arms under 100 seeds."""
    root, rng = tmp_path_factory.mktemp("runs"), np.random.default_rng(0)
    arms = [(BASELINE, 0.0, 3.0), *((shortened(b), 1 - b, 3 + 3 * (1 - b) ** 2) for b in (0.4, 0.5, 0.6, 0.8, 0.9))]
    for t_0 in np.linspace(0.2, 0.98, 47):
        arms += [(freezeout(round(float(t_0), 3), scale), 0.6 * (1 - t_0), 4 - t_0) for scale in ("linear", "cubic")]
    rates = [0.1 / (i + 1) for i in range(10)]
    epochs = [{"epoch": e + 1, "error": 3.0, "seconds": 0.1 * e, "learning_rates": rates} for e in range(20)]
    entries = []
    for seed in range(RUNS // len(arms)):
        for strategy, saving, error in arms:
            made = {"error": max(0.3, error + rng.normal(0, 0.3)), "epochs": epochs, "command": "python -m freezeout"}
            made["seconds"] = {"train": 10 * (1 - saving) * (1 + rng.normal(0, 0.01)), "total": 12.0}
            made["saving"] = {"estimated": None, "predicted": saving if strategy["name"] == "freezeout" else 0.0}
            entries.append(make_run(root, strategy, seed, **made))
    write_manifest(root, entries)
    return root


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("status",), "smoke 10000 10000 0"),  # measured 6 s, 240 MB
        (("pareto", "--out", "figures"), "100 seeds"),  # measured 9 s, 240 MB
    ],
)
def test_ten_thousand_records_are_looked_at_in_seconds(finished: Path, tmp_path: Path, words, expected: str) -> None:
    said, seconds, memory = cost(ANALYSIS, tmp_path, *words, "--runs", str(finished))
    assert expected in " ".join(said.split())
    assert seconds < 20, f"{seconds:.0f} s"
    assert memory < 1000, f"{memory:.0f} MB"
