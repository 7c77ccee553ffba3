"""Runs of the command line in processes of their own, and what is compared of two runs."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from freezeout import records
from freezeout.run.signals import Stop

ROOT = Path(__file__).parent.parent
WORDS = [
    "model=wide_resnet",
    "model.depth=10",
    "model.widen=1",
    "model.dropout=0.3",
    "t_0=0.3",
    "strategy.how_scale=linear",
    "strategy.scale_lr=false",
    "epochs=5",
    "machine=cpu",
    "machine.threads=1",
    "tracker=none",
]
# What differs by nature between two attempts at the same run: times, host and who else was there, commit and W&B.
BY_NATURE = {"started", "segments", "seconds", "repeated_seconds", "host", "cores", "shared_device"}
BY_NATURE |= {"commit", "dirty", "wandb", "sweep"}


def command(out: Path, *words: str, own: Sequence[str] = WORDS) -> list[str]:
    return [sys.executable, "-m", "freezeout", *own, f"out={out}", *words]


def environment() -> dict[str, str]:
    """This checkout, whichever one is installed."""
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def launch(out: Path, *words: str) -> subprocess.Popen:
    out.mkdir(parents=True, exist_ok=True)
    streams: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command(out, *words), cwd=out, env=environment(), **streams)


def only_run(out: Path) -> Path:
    (folder,) = [p for p in out.glob("*/*") if p.parent.name != "sweeps"]
    return folder


def wait_for_epochs(out: Path, n: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()
        metrics = list(out.glob("*/*/metrics.jsonl"))
        if metrics and len(records.read_lines(metrics[0])) >= n:
            return
        time.sleep(0.01)
    raise AssertionError("the run made no progress")


def impatient(after: int) -> type[Stop]:
    """A Stop for `freezeout.run.runner`: as if Ctrl-C came in step `after`."""

    class Impatient(Stop):
        steps = 0

        @property
        def asked(self) -> bool:
            Impatient.steps += 1
            self.signal = signal.SIGINT if Impatient.steps >= after else None
            return super().asked

    return Impatient


def comparable(record: dict) -> dict:
    """The record without what differs by nature."""
    kept = copy.deepcopy({k: v for k, v in record.items() if k not in BY_NATURE})
    kept["config"].pop("out")
    for block in kept["prefixes"]:
        for part in block.keys() - {"prefix", "step_from", "step_to"}:
            block.pop(part)
    for epoch in kept["epochs"]:
        epoch.pop("seconds")
        epoch.pop("step_seconds")
    return kept
