"""Where each figure's runs come from; the only place that decides the preset."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from freezeout.naming import counted, folder

from . import RECORDS
from .archive import is_whole
from .load import NothingToDrawError, load
from .paper import Figure


@dataclass(frozen=True)
class Chosen:
    """Where a figure's runs are.

    Attributes:
        preset: "quick", "paper" or "cached"; never "cached" if something must be trained.
        root: The folder of records.
        sweep: The sweep of the runs.
    """

    preset: str
    root: Path
    sweep: str


def choose(figure: Figure, asked: str | None, runs: Path, records: Path = RECORDS) -> Chosen:
    """Where a figure's runs are to come from.

    Args:
        figure: The figure.
        asked: The requested preset; None takes "cached" if the kept records hold the figure's runs, else "quick".
        runs: The folder of trained runs.
        records: The folder of kept records.
    """
    # Runs at the paper's size are preferred to quick ones, if they are complete.
    own = figure.sweep if is_whole(figure.sweep, records) else "quick"
    preset = asked or ("cached" if is_whole(own, records) else "quick")
    if preset == "cached":
        return Chosen(preset, records, own)
    return Chosen(preset, runs, figure.sweep if preset == "paper" else "quick")


def to_train(chosen: list[Chosen]) -> list[str]:
    """The sweeps that must be finished before the figures are drawn; none for cached ones."""
    return list(dict.fromkeys(one.sweep for one in chosen if one.preset != "cached"))


def loaded(root: Path) -> pd.DataFrame:
    """The table of the records below `root`; empty if there is none yet."""
    try:
        return load(root)
    except NothingToDrawError:
        return pd.DataFrame({"sweep": [], "status": []})


def paper_cost(figures: list[Figure], runs: Path) -> str:
    """The runs and GPU-hours still missing at the paper's sizes, by the headers of the sweeps."""
    table = loaded(runs)
    parts, all_runs, all_hours = [], 0, 0.0
    for figure in figures:
        text = (folder("sweeps") / f"{figure.sweep}.yaml").read_text(encoding="utf-8")
        count = int(_said(r"^# Runs:\s+(\d+)", text))
        left = count - int(((table["sweep"] == figure.sweep) & (table["status"] == "done")).sum())
        hours = float(_said(r"^# GPU-hours: ([\d.]+)", text)) * left / count
        parts.append(f"{figure.sweep} {counted(left, 'run')}, {hours:.0f} h")
        all_runs, all_hours = all_runs + left, all_hours + hours
    words = "predicted from FLOPs, see sweeps/"
    total = f"{counted(all_runs, 'run')}, about {all_hours:.0f} GPU-hours"
    return f"PRESET=paper would add {total} ({words}): {'; '.join(parts)}"


def _said(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise ValueError(f"sweeps/: a header lacks the line {pattern}")
    return found[1]
