"""`status`: the progress of sweeps: runs done, running (where, time left), failed or missing."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from freezeout.holder import Watch
from freezeout.naming import duration
from freezeout.records import read_lines, run_folder

from .load import load
from .text import text_table, wrapped

STATES = ("done", "running", "failed", "diverged", "interrupted", "missing", "unreadable")
ENDED = ("done", "failed", "diverged", "unreadable")  # states that change only if somebody starts the run again
CLEAR = "\x1b[2J\x1b[H"  # clears a terminal


def show(roots: Sequence[Path], sweeps: Sequence[str], every: float | None) -> None:
    """Print the progress of sweeps.

    Args:
        roots: The folders of records.
        sweeps: The sweeps wanted; all if empty.
        every: Print again after this many seconds, until all runs have ended or Ctrl-C; None prints once.

    Raises:
        ValueError: A folder holds nothing, or there is no such sweep.
    """
    watch, before = Watch(), ""
    while True:
        table = standing(roots, sweeps, watch)
        text = status_text(table)
        if every is None or not sys.stdout.isatty():
            print(text if text != before else "", end="\n" if text != before else "", flush=True)
        else:
            print(f"{CLEAR}{text}", flush=True)
        if every is None or table["state"].isin(ENDED).all():
            return
        before = text
        try:
            time.sleep(every)
        except KeyboardInterrupt:
            return


def standing(roots: Sequence[Path], sweeps: Sequence[str], watch: Watch) -> pd.DataFrame:
    """The table of all runs with columns `state` (of STATES), `spent` (seconds) and, for running ones, `where`."""
    tables = []
    for root in roots:
        table = load(root)
        folders = [_folder(root, run_id) for run_id in table["run_id"]]
        seen = [_seen(row, folder, watch) for row, folder in zip(table.to_dict("records"), folders, strict=True)]
        tables.append(
            table.assign(**{name: [one[i] for one in seen] for i, name in enumerate(("state", "spent", "where"))})
        )
    whole = pd.concat(tables, ignore_index=True)
    for sweep in sweeps:
        if sweep not in set(whole["sweep"]):
            load(roots[0], sweeps=[sweep])  # raises the error that suggests the nearest name
    return whole[whole["sweep"].isin(sweeps)] if sweeps else whole


def _folder(root: Path, run_id: Any) -> Path | None:
    """The folder of a run; None for rows that are no run, such as an unreadable list of runs."""
    if pd.isna(run_id):
        return None
    name, _, seed = run_id.rpartition("-")
    return run_folder(root, name, int(seed))


def _seen(run: dict, folder: Path | None, watch: Watch) -> tuple[str, float, str | None]:
    """State, seconds spent and, for a running one, words on where it runs, its epoch and the time left."""
    spent = 0.0 if pd.isna(run["seconds_total"]) else run["seconds_total"]
    if run["status"] in ("done", "unreadable") or run["diverged"] is True or folder is None:
        return ("diverged" if run["diverged"] is True else run["status"]), spent, None
    held, lives = watch.look(folder)
    if held is None or not lives:
        return run["status"], spent, None
    try:
        epochs = read_lines(folder / "metrics.jsonl")
    except ValueError:  # the run itself will say so
        epochs = []
    strategy = json.loads(run["label"])["strategy"]
    whole = run["epochs"] * strategy.get("budget", 1.0)
    words = f"{held.holder}, epoch {len(epochs) + 1} of {whole:g}"
    if epochs:
        last = epochs[-1]
        spent = max(spent, last["seconds"])
        words += f", about {duration(last['seconds'] / last['epoch'] * max(whole - last['epoch'], 0))} of training left"
    return "running", spent, words


def status_text(table: pd.DataFrame) -> str:
    """One row per sweep with counts by state, then each running run, and each unfinished run with its reason."""
    states = [state for state in STATES if state != "unreadable" or "unreadable" in set(table["state"])]
    rows = []
    for sweep, runs in table.groupby("sweep", sort=False):
        counts = runs["state"].value_counts()
        numbers = [str(counts.get(state, 0)) for state in states]
        rows.append((str(sweep), str(len(runs)), *numbers, duration(runs["spent"].sum())))
    lines = [text_table(("sweep", "runs", *states, "spent"), rows)]
    for state in ("running", "failed", "diverged", "interrupted", "unreadable"):
        for _, run in table[table["state"] == state].iterrows():
            said = run["where"] if state == "running" else run["reason"] or "no reason given"
            words = [run["sweep"], run["run_id"], run["configuration"], f"{state}:", said]
            lines += wrapped(" ".join(str(word) for word in words if pd.notna(word)), indent="  ")
    return "\n".join(lines)
