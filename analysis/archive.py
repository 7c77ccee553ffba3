"""Keeps a sweep's finished runs for the repository: one line each in <out>/<sweep>.jsonl, its list in <out>/sweeps/."""

from __future__ import annotations

import json
import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from freezeout import packed
from freezeout.records import is_finished, read_record, run_folder, sweep_path, write_json_atomic

from .own_profiles import beside, own_profile
from .time_breakdown import seconds_a_step

USUAL = {"out": "runs", "data_dir": "data"}  # replace the training machine's own folders in a kept record
DIGITS = 7  # significant digits kept of a learning rate; float32 holds no more


@dataclass(frozen=True)
class Kept:
    """What is now kept of a sweep.

    Attributes:
        paths: The files written.
        done: Number of its listed runs whose record is kept.
        runs: Number of its listed runs.
    """

    paths: list[Path]
    done: int
    runs: int


def archive(runs: Path, sweep: str, out: Path, *, whole_seeds: bool = False) -> Kept:
    """Add the finished runs of a sweep to those already kept, with the whole list of the sweep.

    Args:
        runs: The folder of runs.
        sweep: The sweep's name.
        out: The folder of kept records. A record that is already there is never replaced.
        whole_seeds: Add no run of a seed that has unfinished runs: another machine then trains all of its arms.

    Raises:
        ValueError: There is no such sweep, no run (or seed) of it is done, or a record or list cannot be read.
    """
    path = sweep_path(runs, sweep)
    if not path.exists():
        raise ValueError(f"{path}: no such sweep; train it first (python -m freezeout -m sweeps={sweep})")
    given, kept = listing(path), out / f"{sweep}.jsonl"
    listed = given["runs"]
    before = {record["run_id"]: record for record in packed.read(kept)}
    found = dict(before)
    for run in listed:
        record = read_record(run_folder(runs, run["run_id"].rpartition("-")[0], int(run["seed"])))
        if record is not None and is_finished(record):
            found.setdefault(run["run_id"], portable(compact(record)))
    manifest = sweep_path(out, sweep)
    earlier = listing(manifest)["runs"] if manifest.exists() else []
    whole = merged(earlier, listed, set(found))
    if whole_seeds:
        begun = {run["seed"] for run in whole if run["run_id"] not in found}
        found = before | {key: record for key, record in found.items() if record["seed"] not in begun}
        whole = merged(earlier, listed, set(found))
    if not found:
        what = f"no seed of sweep {sweep} is whole" if whole_seeds else f"no run of sweep {sweep} is done"
        raise ValueError(f"{what} yet, so there is nothing to keep")
    kept.parent.mkdir(parents=True, exist_ok=True)
    packed.write(kept, found.values())
    write_json_atomic(manifest, given | {"runs": whole})
    timed = keep_profiles(runs, [*found.values()], out)
    return Kept([kept, manifest, *timed], sum(run["run_id"] in found for run in whole), len(whole))


def keep_profiles(runs: Path, records: Sequence[dict[str, Any]], out: Path) -> list[Path]:
    """Copy the profiles that time any of these runs from `runs` to `out`, replacing older copies."""
    found = []
    for path, profile in beside(runs).items():
        if any(own_profile(record, [profile]) for record in records):
            found.append(out / "profiles" / path.name)
            write_json_atomic(found[-1], json.loads(path.read_text(encoding="utf-8")))
    return found


def is_whole(sweep: str, out: Path) -> bool:
    """Whether the records of all listed runs of a sweep are kept in the folder `out`."""
    manifest = sweep_path(out, sweep)
    if not manifest.exists():
        return False
    return {run["run_id"] for run in listing(manifest)["runs"]} <= {
        one["run_id"] for one in packed.read(out / f"{sweep}.jsonl")
    }


def listing(path: Path) -> dict[str, Any]:
    """A sweep's list: its `runs`, and what was fixed before the first of them. Raises ValueError if it is none."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for run in found["runs"]:
            run["run_id"], run["seed"], run["label"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a list of runs") from error
    return found


def merged(before: Sequence[dict[str, Any]], now: Sequence[dict[str, Any]], done: set[str]) -> list[dict[str, Any]]:
    """The list of a sweep that was trained on several machines, each planned run once.

    Args:
        before: The list that is kept.
        now: This machine's list. Here, a run that another machine was to train has another name.
        done: The run ids whose records are kept.
    """
    ours = {run["run_id"] for run in now}
    times = Counter(map(anywhere, now))
    whole, place = list(before), {run["run_id"]: i for i, run in enumerate(before)}
    twins = {anywhere(run): i for i, run in enumerate(before) if run["run_id"] not in ours}
    for run in now:
        same = place.get(run["run_id"])
        twin = twins.get(anywhere(run)) if times[anywhere(run)] == 1 else None  # else only the machine tells them apart
        if same is not None:
            whole[same] = run
        elif twin is None:
            whole.append(run)
        elif whole[twin]["run_id"] not in done:
            whole[twin] = run
    return whole


def anywhere(run: Mapping[str, Any]) -> tuple[str, int]:
    """The name of a run that is the same on every machine; its own name if its list has no such name."""
    return run.get("anywhere") or run["run_id"].rpartition("-")[0], run["seed"]


def portable(record: dict[str, Any]) -> dict[str, Any]:
    """The record with the folders of its own machine replaced by their usual names."""
    text, config = json.dumps(record), record.get("config") or {}
    for key, usual in USUAL.items():
        if (folder := str(config.get(key) or "")).startswith("/"):
            text = re.sub(rf"{re.escape(folder)}(?![\w.-])", usual, text)  # a whole name, not the beginning of another
    found: dict[str, Any] = json.loads(text)
    return found


def compact(record: dict[str, Any]) -> dict[str, Any]:
    """The record in a few kB: clock blocks of equal prefix merged, learning rates rounded to DIGITS."""
    epochs = [
        epoch | {"learning_rates": [float(f"{rate:.{DIGITS}g}") for rate in epoch["learning_rates"]]}
        if epoch.get("learning_rates")
        else epoch
        for epoch in record.get("epochs") or []
    ]
    own = {"prefixes": one_block_a_prefix(record.get("prefixes") or []), "epochs": epochs}
    return record | {key: value for key, value in own.items() if record.get(key)}


def one_block_a_prefix(blocks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The clock blocks with those of equal prefix merged: the sums of their seconds, and the median per step.

    Blocks of one prefix that are not contiguous stay separate.
    """
    found: list[dict[str, Any]] = []
    runs = [list(group) for _, group in groupby(blocks, key=lambda block: block["prefix"])]
    times = Counter(run[0]["prefix"] for run in runs)
    for run in runs:
        gaps = any(a["step_to"] != b["step_from"] for a, b in pairwise(run))
        if len(run) == 1 or gaps or times[run[0]["prefix"]] > 1:
            found += run
            continue
        parts = dict.fromkeys(key for block in run for key in block if key not in ("prefix", "step_from", "step_to"))
        ends = {"prefix": run[0]["prefix"], "step_from": run[0]["step_from"], "step_to": run[-1]["step_to"]}
        sums = {key: sum(block.get(key, 0.0) for block in run) for key in parts}
        median = statistics.median(seconds_a_step(block) for block in run)
        found.append({**ends, **sums, "median": median})
    return found
