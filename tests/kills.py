"""A sweep of tiny runs that is killed at random moments, and what has to be left of it in the end."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from launched import command, comparable, environment

from freezeout import records

# Twelve runs of a few steps on a network of a few weights.
NETWORK = """
from torch import nn

def build(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, classes))
"""
# The same, where the run with seed 1 fails in training.
BROKEN = """
import torch
from torch import nn

def build(classes):
    last, calls = nn.Linear(8, classes), []

    def fail(module, inputs):
        calls.append(module)
        if len(calls) > 12:
            raise ArithmeticError("no luck")

    if torch.initial_seed() == 1:
        last.register_forward_pre_hook(fail)
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.BatchNorm1d(8), nn.ReLU(), last)
"""
WORDS = ["-m", "model=python", "model.target=tiny:build", "dataset=synthetic", "dataset.size=4", "dataset.train=250"]
WORDS += ["dataset.test=50", "strategy=baseline,freezeout,lr_only", "t_0=0.5", "seed=0,1,2,3", "epochs=4"]
WORDS += ["strategy.scale_lr=false", "machine=cpu", "machine.threads=1", "tracker=none"]
RUNS = 12


def begin(out: Path) -> subprocess.Popen:
    """The sweep in a process of its own."""
    out.mkdir(parents=True, exist_ok=True)
    (out.parent / "tiny.py").write_text(NETWORK)
    streams: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command(out, own=WORDS), cwd=out.parent, env=environment(), **streams)


def found(out: Path) -> dict[str, Any]:
    """What the sweep left, but for what differs by nature."""
    kept = {}
    for path in sorted(out.glob("*/*/record.json")):
        weights = torch.load(path.with_name("checkpoint.pt"), weights_only=True)["model"]
        numbers = torch.cat([weight.flatten().double() for weight in weights.values()]).tolist()
        with np.load(path.with_name("predictions.npz")) as predictions:
            said = {name: predictions[name].tolist() for name in predictions.files}
        record = records.read_record(path.parent)
        assert record["status"] == "done", record["reason"]
        lines = path.with_name("metrics.jsonl").read_text()
        assert lines.endswith("\n")
        assert [entry["epoch"] for entry in records.read_lines(path.with_name("metrics.jsonl"))] == [1, 2, 3, 4]
        kept[str(path.relative_to(out))] = comparable(record) | {"weights": numbers, "predictions": said}
    return kept


def left_over(out: Path) -> list[str]:
    """Files that no run should leave."""
    names = {"record.json", "metrics.jsonl", "config.yaml", "checkpoint.pt", "predictions.npz"}
    return [
        str(path)
        for path in out.glob("[!.]*/*/*")  # but for the jobs of a batch system
        if path.parent.parent.name != "sweeps" and path.name not in names
    ] + [str(path) for path in out.glob("sweeps/*") if path.suffix not in (".json", ".lock")]


def kill(out: Path, number: signal.Signals, draw: random.Random, *, sharing: bool) -> str:
    """Begin the sweep, in one process or in two, kill one of them at a random moment, and wait for the other."""
    processes = [begin(out) for _ in range(1 + sharing)]
    done = len(list(out.glob("*/*/record.json")))
    target = min(done + draw.randrange(4), RUNS - 1)
    deadline = time.monotonic() + 120
    while len(list(out.glob("*/*/record.json"))) < target or not any(out.glob("*/*/lease.*")):
        assert time.monotonic() < deadline, "no run was begun"
        if processes[0].poll() is not None:
            break
        time.sleep(0.005)
    pause = draw.random() * 0.3
    time.sleep(pause)
    processes[0].send_signal(number)
    ends = [(*process.communicate(timeout=120), process.returncode) for process in processes]
    for (_, err, code), name in zip(ends, ["killed", "other"], strict=False):
        assert "Traceback" not in err, err
        assert "failed" not in err, err
        expected = {0, 128 + number, -number} if name == "killed" else {0}
        assert code in expected, (name, code, err)
    return f"{number.name} after {target} records and {pause:.3f} s"
