"""Runs for the tests of W&B: a configuration, epochs and a record, and what wandb's own reader finds in its files."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

from freezeout import records
from freezeout.run.tracking import Tracker, Wandb, open_tracker

CONFIG = {
    "seed": 0,
    "epochs": 20,
    "t_0": 0.8,
    "model": {"name": "vgg", "width": 0.1, "dropout": 0.5},
    "dataset": {"name": "digits", "size": None},
    "strategy": {"name": "freezeout", "how_scale": "cubic", "scale_lr": True, "t_0": 0.8, "bn": "eval"},
    "optimizer": {"name": "sgd", "lr": 0.1},
    "augment": {"name": "augment", "kind": "crop_flip"},
    "machine": {"name": "machine", "device": "auto", "threads": None},
}
TITLE = "vgg digits freezeout cubic scaled t_0=0.8 seed=0 model.width=0.1 epochs=20"
COMMIT = "0123abcd" * 5
LOOK = 2.0  # seconds after which W&B has looked at the machine for the first time; a run of milliseconds ends before
RECORD = {
    "status": "done",
    "reason": None,
    "error": 1 / 3,
    "test_error": 2 / 3,
    "train_error": None,
    "seconds": {"train": 6.1, "compile": 0.0, "evaluation": 0.7, "checkpoint": math.pi, "total": 7.5},
    "saving": {"estimated": None, "predicted": 0.1 + 0.2},
}
SCRIPT = Path(sys.executable).parent / "wandb"
PRELUDE = "import os, sys\nfrom pathlib import Path\nfrom tracked import *\nroot = Path(sys.argv[1])\n"


def entry(epoch: int, **given) -> dict:
    """An epoch as in metrics.jsonl."""
    rates = [0.1 / epoch, 1e-300, 0.0]
    losses = {"train_loss": 1 / epoch, "eval_loss": math.exp(-epoch), "error": 90 / epoch}
    made = {"epoch": epoch, "step": 28 * epoch, **losses}
    return made | {"seconds": 0.1 * epoch, "prefix": epoch - 1, "active_stages": 3, "learning_rates": rates} | given


def opened(root: Path, run_id: str = "abc123-0", tracker=None, group: str | None = "smoke", **given) -> Tracker:
    return open_tracker(tracker or Wandb(), folder=root, run_id=run_id, config=CONFIG, group=group, **given)


def online(root: Path, run_id: str = "abc123-0", **given) -> Tracker:
    return opened(root, run_id, Wandb(mode="online"), **given)


def finish(tracker: Tracker, root: Path, record: dict = RECORD) -> None:
    records.write_json_atomic(root / "record.json", record)
    tracker.finish(record, root / "record.json")


def inspected(folder: Path) -> list[dict]:
    """The records of a run's W&B file as wandb's own reader prints them."""
    done = subprocess.run([SCRIPT, "leet", "inspect", "--json", folder], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def history(read: list[dict]) -> list[dict]:
    """The rows of `inspected` records, without the entries that wandb adds itself."""
    rows = [r["history"]["item"] for r in read if r["type"] == "history"]
    return [{key: value for key, value in row.items() if not key.startswith("_")} for row in rows]


def run_of(read: list[dict]) -> dict:
    """How the run of `inspected` records is described."""
    return next(r["run"] for r in read if r["type"] == "run")


def in_new_process(code: str, *arguments, **environment) -> subprocess.CompletedProcess[str]:
    """Run `code`, which sees this file's names and its first argument as `root`, in a session of its own.

    So a process can end in any way, and starts with no W&B service and without a decision about the server.
    """
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parent.parent)])
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
