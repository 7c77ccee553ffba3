"""Profiles and runs that they fit, made up."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from made_records import make_run

from freezeout.schedule import Schedule
from freezeout.strategies import FreezeOut

MODEL = {"name": "wide_resnet", "depth": 10, "widen": 1, "dropout": 0.0}
SECONDS = (0.010, 0.009, 0.007, 0.004, 0.002)
SWITCHES = (0.0, 0.003, 0.005, 0.002, 0.001)  # each paid once
STEPS, H200 = 560, "NVIDIA H200"


def conditions(**changes: Any) -> dict[str, Any]:
    same = {"model": MODEL, "classes": 10, "image": [8, 8], "batch_size": 50, "augment": "crop_flip"}
    return {**same, "optimizer": "sgd", "machine": {"device": H200}, "torch": "2.14.1", **changes}


def write_profile(path: Path, seconds: tuple[float, ...] = SECONDS, device: str = H200, **changes: Any) -> Path:
    profile = {"conditions": conditions(**changes), "device": {"type": "cuda", "model": device}, "stages": len(seconds)}
    path.write_text(json.dumps({**profile, "seconds": list(seconds), "switches": list(SWITCHES)}))
    return path


def schedule(strategy: dict[str, Any]) -> Schedule:
    if strategy["name"] != "freezeout":
        return Schedule(freeze=(1.0,) * 5, anneal=(1.0,) * 5)
    return FreezeOut(t_0=strategy["t_0"], how_scale=strategy["how_scale"], scale_lr=True).schedule(5)


def run(root: Path, strategy: dict[str, Any], seed: int = 0, *, epochs: int = 20, **changes: Any) -> dict[str, Any]:
    """A record as the engine leaves it: 28 steps an epoch, with its blocks and what a profile is matched by."""
    full = 28 * epochs
    steps = round(full * strategy.get("budget", 1.0))
    config = {
        "seed": seed,
        "epochs": epochs,
        "model": MODEL,
        "strategy": strategy,
        "batch_size": 50,
        "dataset": {"name": "digits", "size": None},
        "augment": {"kind": "crop_flip"},
        "optimizer": {"name": "sgd"},
    }
    pieces = schedule(strategy).segments(steps)
    record: dict[str, Any] = {
        "config": {**config, **changes.pop("config", {})},
        "prefixes": [{"prefix": k, "step_from": a, "step_to": b, "seconds": 0.1} for k, a, b in pieces],
        "steps": steps,
        "stages": [{"name": str(i)} for i in range(5)],
        "data": {"name": "digits", "test": 360, "synthetic": False, "classes": 10, "image": [8, 8]},
        **changes,
    }
    entry = make_run(root, strategy, seed, **record)
    entry["label"]["epochs"] = epochs
    return entry


def record_of(root: Path, entry: dict[str, Any]) -> dict[str, Any]:
    name, _, seed = entry["run_id"].rpartition("-")
    return json.loads((root / name / seed / "record.json").read_text())


def steps_of(strategy: dict[str, Any]) -> Counter[int]:
    """How many of a run's steps are made at each prefix."""
    return Counter({k: b - a for k, a, b in schedule(strategy).segments(STEPS)})
