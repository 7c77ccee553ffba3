"""Records for the analysis' tests: what a sweep leaves, written by `freezeout.records` and without training."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from freezeout.records import (
    SCHEMA_VERSION,
    digest,
    read_record,
    record_paths,
    run_folder,
    run_id,
    sweep_path,
    write_json_atomic,
)

EPOCHS = 20
BASELINE = {"name": "baseline"}


def shortened(budget: float) -> dict[str, Any]:
    return {"name": "shortened", "budget": budget}


def freezeout(t_0: float, how_scale: str = "cubic", scale_lr: bool = True) -> dict[str, Any]:
    return {
        "name": "freezeout",
        "t_0": t_0,
        "how_scale": how_scale,
        "scale_lr": scale_lr,
        "bn": "eval",
        "const_time": False,
    }


def make_run(root: Path, strategy: dict[str, Any], seed: int = 0, **changes: Any) -> dict[str, Any]:
    """Write one record and give its entry in a manifest. `changes` replace keys of the record, as `seconds=...`."""
    budget = strategy.get("budget", 1.0)
    record: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "status": "done",
        "reason": None,
        "seed": seed,
        "diverged": False,
        "setting_id": "9f2c4e1b77aa",
        "config": {
            "seed": seed,
            "epochs": EPOCHS,
            "model": {"name": "wide_resnet", "depth": 10, "widen": 1, "dropout": 0.0},
            "dataset": {"name": "digits", "size": None},
            "strategy": strategy,
        },
        "data": {"name": "digits", "fingerprint": "f", "train": 1437, "validation": 0, "test": 360, "synthetic": False},
        "split": "test",
        "device": {"type": "cpu", "model": "Xeon 8480"},
        "versions": {"python": "3.11.7", "torch": "2.14.1", "freezeout": "0.1.0"},
        "host": "node1",
        "seconds": {
            "train": 10.0 * budget,
            "compile": 0.0,
            "evaluation": 1.0,
            "checkpoint": 0.1,
            "total": 12.0 * budget,
        },
        "segments": [
            {"started": "2026-01-01T00:00:00", "step_from": 0, "step_to": 560, "seconds": 10.0, "host": "node1"}
        ],
        "repeated_seconds": 0.0,
        "steps": int(560 * budget),
        "steps_per_epoch": 560 // EPOCHS,
        "error": 3.0,
        "test_error": 3.0,
        "train_error": 1.0,
        "saving": {"estimated": None, "predicted": 0.0},  # against a baseline of as many steps
        **changes,
    }
    name = digest({"strategy": strategy, "setting": record.get("setting_id"), "steps": record["steps"]})
    record["run_id"] = run_id(name, seed)
    write_json_atomic(run_folder(root, name, seed) / "record.json", record)
    return {"run_id": record["run_id"], "seed": seed, "label": {"strategy": strategy, "epochs": EPOCHS}}


def find_records(root: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Every readable record below `root` with its folder, sorted by folder."""
    return [(folder, record) for folder in record_paths(root) if (record := read_record(folder)) is not None]


def write_manifest(root: Path, entries: Iterable[dict[str, Any]], sweep: str = "smoke") -> None:
    write_json_atomic(sweep_path(root, sweep), {"sweep": sweep, "runs": list(entries)})


def make_sweep(root: Path, seeds: int = 3, sweep: str = "smoke", **changes: Any) -> list[dict[str, Any]]:
    """A digits sweep as the default one: baseline, three budgets, two variants of FreezeOut at three t_0."""
    rng = np.random.default_rng(1)
    arms: list[tuple[dict[str, Any], float, float]] = [(BASELINE, 0.0, 2.6)]
    arms += [(shortened(b), 1 - b, 2.6 + 3 * (1 - b) ** 2) for b in (0.4, 0.6, 0.8)]
    for t_0, saving, error in ((0.3, 0.37, 3.3), (0.5, 0.27, 2.9), (0.8, 0.11, 2.7)):
        arms.append((freezeout(t_0, "linear", False), saving, error))
        arms.append((freezeout(t_0), saving + 0.09, error + 0.4))
    entries = []
    for seed in range(seeds):
        base, luck = 10 + rng.normal(0, 0.1), rng.normal(0, 0.35)
        for strategy, saving, error in arms:
            seconds = base * (1 - saving) + (rng.normal(0, 0.12) if saving else 0.0)
            wrong = round(360 * (error + luck + rng.normal(0, 0.25)) / 100)
            made = {
                "error": 100 * wrong / 360,
                "seconds": {"train": seconds, "total": seconds + 1},
                "saving": {"estimated": None, "predicted": saving * 1.04 if strategy["name"] == "freezeout" else 0.0},
            }
            entries.append(make_run(root, strategy, seed, **{**made, **changes}))
    write_manifest(root, entries, sweep)
    return entries
