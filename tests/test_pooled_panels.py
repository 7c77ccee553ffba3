"""Runs of several CPUs share a panel where each has a profiled saving; no clock is then compared with another CPU's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_records import BASELINE, freezeout, make_run, shortened, write_manifest

from analysis.axes import axis_of
from analysis.comparisons import panels
from analysis.judging import judged_panel
from analysis.load import load
from analysis.panel_verdicts import document
from analysis.plots import draw
from analysis.saving_plot import draw_savings
from analysis.summary import left_out_text, panel_text
from analysis.verdict_text import verdict_text
from freezeout.records import anywhere, digest

SAVED = {"baseline": 0.0, "shortened": 0.0, "freezeout": 0.2}
ERROR = {"baseline": 3.0, "shortened": 4.0, "freezeout": 3.2}


def run(root: Path, strategy: dict[str, Any], seed: int, cpu: str, *, profiled: bool = True, **changes: Any):
    """A run as a machine leaves it: its setting names the CPU and the threads."""
    machine = {"device": cpu, "threads": changes.pop("threads", 1), "precision": "fp32"}
    effective = {"model": "wrn", "machine": machine, "strategy": strategy, "steps": 560}
    own = {
        "effective": effective,
        "setting_id": digest({"model": "wrn", "machine": machine}),
        "device": {"type": "cpu", "model": cpu, "threads": machine["threads"]},
        "saving": {"profiled": SAVED[strategy["name"]] if profiled else None, "predicted": 0.0},
        "error": ERROR[strategy["name"]] + seed / 10,
        "seconds": {"train": (20.0 if cpu == "B" else 10.0) * (0.8 if strategy["name"] == "freezeout" else 1.0)},
        **changes,
    }
    return make_run(root, strategy, seed, **own)


ARMS = (BASELINE, shortened(0.5), freezeout(0.5))


def sweep(root: Path, cpus: str = "AB", **changes: Any) -> pd.DataFrame:
    """Three arms of one seed a CPU."""
    write_manifest(root, [run(root, arm, seed, cpu, **changes) for seed, cpu in enumerate(cpus) for arm in ARMS])
    return load(root)


def test_seeds_of_two_cpus_are_one_panel_and_no_mean_of_seconds_is_over_both(tmp_path) -> None:
    table = sweep(tmp_path)
    assert table["left_out"].isna().all()
    (panel,) = panels(table)
    point = panel.points.set_index("strategy").loc["freezeout"]
    assert point["n"] == 2
    assert point["error"] == pytest.approx(3.25)
    assert panel.profiled_on == "A, B"
    assert panel.points["seconds_train"].isna().all()
    assert table["measured_saving"].tolist() == pytest.approx([0, 0, 0.2] * 2), "within each CPU"
    assert draw(judged_panel(panel), "saving", tmp_path / "out", {})
    assert draw(judged_panel(panel), "seconds", tmp_path / "out", {}) == []
    assert ", A, B" in panel_text(panel).splitlines()[0]
    assert table["threads"].tolist() == [1] * 6


def test_runs_with_views_and_a_cache_share_the_panel_of_those_without(tmp_path) -> None:
    runs = []
    for seed, cpu in enumerate("AB"):
        runs += [run(tmp_path, arm, seed, cpu) for arm in ARMS]
        machine = {"device": cpu, "threads": 1, "precision": "fp32"}
        viewed = {"model": "wrn", "machine": machine, "strategy": freezeout(0.8), "steps": 560}
        runs.append(
            run(tmp_path, freezeout(0.8), seed, cpu, effective=viewed | {"views": {"count": 2}, "cache": "all"})
        )
    write_manifest(tmp_path, runs)
    (panel,) = panels(load(tmp_path))
    assert len(panel.runs) == 8


def test_verdicts_and_savings_name_every_cpu_of_a_panel(tmp_path) -> None:
    (panel,) = panels(sweep(tmp_path))
    one = judged_panel(panel)
    assert document(one)["device"] == "A, B"
    assert verdict_text(one).splitlines()[0].endswith("6 runs, 2 seeds, A, B")
    draw_savings(panel, tmp_path)
    drawn = " ".join((tmp_path / "savings_smoke.svg").read_text().split())
    assert "<!-- on A, B, with 95 % t intervals -->" in drawn


@pytest.mark.parametrize(("cpus", "check"), [("AA", "measured_saving"), ("AB", None), ("BA", None)])
def test_the_clocks_of_another_cpu_are_not_drawn_beside_a_profile_whichever_seed_comes_first(tmp_path, cpus, check):
    (panel,) = panels(sweep(tmp_path, cpus), "A")
    assert axis_of(panel, "saving").check == check


def test_a_seed_whose_arms_ran_on_two_cpus_keeps_its_errors_and_loses_its_clocks(tmp_path) -> None:
    entries = [run(tmp_path, arm, seed, "A") for seed in (0, 1) for arm in ARMS[:2]]
    entries += [run(tmp_path, ARMS[2], 0, "A"), run(tmp_path, ARMS[2], 1, "B")]
    write_manifest(tmp_path, entries)
    table = load(tmp_path)
    (panel,) = panels(table)
    assert panel.points["n"].tolist() == [2, 2, 2]
    assert table.loc[table["seed"] == 0, "measured_saving"].notna().all()
    assert table.loc[table["seed"] == 1, "measured_saving"].isna().all()
    assert table["error_difference"].notna().all()
    said = left_out_text(table)
    assert "left out of savings only: 2 runs, the arms of its seed ran on several devices or versions" in said
    assert "left out of savings only: 1 run, its baseline ran on another device or other versions" in said


def test_other_versions_and_threads_are_pooled_too(tmp_path) -> None:
    entries = [run(tmp_path, arm, 0, "A") for arm in ARMS]
    entries += [run(tmp_path, arm, 1, "A", threads=2, versions={"torch": "2.11.0"}) for arm in ARMS]
    write_manifest(tmp_path, entries)
    table = load(tmp_path)
    (panel,) = panels(table)
    assert panel.points["n"].tolist() == [2, 2, 2]
    assert panel.points["seconds_train"].isna().all()


@pytest.mark.parametrize(
    "changes",
    [
        {"profiled": False},
        {"device": {"type": "cuda", "model": "H200"}},
    ],
)
def test_without_profiled_savings_or_on_gpus_a_panel_is_of_one_device(tmp_path, changes) -> None:
    assert len(panels(sweep(tmp_path, **changes))) == 2


def test_one_run_without_a_profiled_saving_keeps_its_panel_apart(tmp_path) -> None:
    entries = [run(tmp_path, arm, seed, cpu) for seed, cpu in enumerate("AB") for arm in ARMS[:2]]
    write_manifest(tmp_path, [*entries, run(tmp_path, ARMS[2], 1, "B", profiled=False)])
    assert len(panels(load(tmp_path))) == 2


def test_a_sweep_that_compares_cpus_keeps_them_apart(tmp_path) -> None:
    write_manifest(tmp_path, [run(tmp_path, arm, 0, cpu) for cpu in "AB" for arm in ARMS])
    assert [panel.points["n"].tolist() for panel in panels(load(tmp_path))] == [[1, 1, 1], [1, 1, 1]]


def test_diverged_runs_of_every_cpu_are_counted_in_the_one_panel(tmp_path) -> None:
    entries = [run(tmp_path, arm, seed, cpu) for seed, cpu in enumerate("AB") for arm in ARMS]
    lost = {"status": "failed", "diverged": True, "error": None}
    write_manifest(tmp_path, [*entries, run(tmp_path, ARMS[2], 2, "C", **lost)])
    (panel,) = panels(load(tmp_path))
    assert panel.points.set_index("strategy").loc["freezeout", ["n", "diverged_seeds"]].tolist() == [2, 1]


def test_a_run_elsewhere_differs_in_device_and_threads_alone() -> None:
    machine = {"device": "A", "threads": 1, "precision": "fp32"}
    own = {"machine": machine, "steps": 5}
    assert anywhere(own) == anywhere({"machine": machine | {"device": "B", "threads": 2}, "steps": 5})
    assert anywhere(own) == anywhere({"machine": {"device": "B", "precision": "fp32"}, "steps": 5})
    assert anywhere(own) != anywhere({"machine": machine | {"precision": "bf16"}, "steps": 5})
    assert anywhere(own) != anywhere({"machine": machine, "steps": 6})
