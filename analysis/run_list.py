"""`runs`: finds runs by conditions, and gives the folder of each and the command that repeats it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from freezeout.records import flat, run_folder

from .collect import collect
from .load import NothingToDrawError
from .text import number, text_table

# Columns of the table that conditions may use, besides the keys of the configuration.
COLUMNS = (
    "sweep",
    "run_id",
    "setting_id",
    "seed",
    "strategy",
    "model",
    "dataset",
    "status",
    "diverged",
    "device",
    "host",
)


def runs_text(table: pd.DataFrame, root: Path, where: Sequence[str], sort: str | None, limit: int | None) -> str:
    """The runs that meet all conditions: one row per run, then the command of each.

    Args:
        table: As `load` gives it, of `root`.
        root: The folder of records.
        where: Conditions KEY=VALUE or KEY=VALUE,VALUE; KEY is a key of the configuration or one of COLUMNS.
        sort: "error" or "seconds", smallest first; None keeps the table's order.
        limit: Largest number of runs to show.

    Raises:
        ValueError: In one line: no run has such a key or value (names the nearest), or no run meets all conditions.
    """
    table = table[table["run_id"].notna()]
    known = _known(table, root)
    fits = pd.Series(True, index=table.index)
    for word in where:
        fits &= _fits(known, word)
    found = table[fits].drop_duplicates("run_id")
    if found.empty:
        raise NothingToDrawError(f"--where {' '.join(where)}: no run of {root} meets all of these conditions")
    if sort:
        found = found.sort_values({"error": "error", "seconds": "seconds_train"}[sort], kind="stable")
    shown = found.head(limit) if limit else found
    header = ("folder", "configuration", "seed", "error %", "seconds", "status")
    rows, commands = [], []
    for row in shown.to_dict("records"):
        name, _, seed = row["run_id"].rpartition("-")
        folder = run_folder(root, name, int(seed))
        lies = str(folder) if folder.exists() else row["run_id"]
        state = "diverged" if row["diverged"] is True else row["status"]
        words = " ".join(word for word in (row["configuration"], row["model"]) if pd.notna(word)) or "-"
        error, seconds = number(row["error"], 2), number(row["seconds_train"], 1)
        rows.append((lies, words, number(row["seed"], 0), error, seconds, state))
        command = row["command"] if pd.notna(row["command"]) else "no record, so no command"
        commands.append(f"{lies}: {command}")
    rest = [f"{len(found) - len(shown)} more; --limit shows more or fewer"] if len(shown) < len(found) else []
    return "\n".join([text_table(header, rows), *rest, "commands that make them again:", *commands])


def _known(table: pd.DataFrame, root: Path) -> pd.DataFrame:
    """The values of each row that conditions may use, by key: configuration, the strategy's fields, COLUMNS."""
    records = collect(root)
    configs = []
    for run_id, label in zip(table["run_id"], table["label"], strict=True):
        config = (records.get(run_id) or {}).get("config") or {}
        configs.append(flat({**config, **json.loads(label)}))  # as the sweep calls the run
    known = pd.DataFrame(configs, index=table.index)
    # A strategy that does not read t_0 has none, whatever the top level of the configuration says.
    known["t_0"] = known.get("strategy.t_0")
    return known.assign(**{name: table[name] for name in COLUMNS})


def _fits(known: pd.DataFrame, word: str) -> pd.Series:
    """Which rows have one of the values of KEY=VALUE,VALUE. Raises ValueError if no run has it."""
    key, equals, text = word.partition("=")
    if not equals:
        raise ValueError(f"--where {word}: must be KEY=VALUE, as in --where strategy=freezeout t_0=0.8")
    if key not in known:
        raise ValueError(
            f"--where {word}: no run has the key {key}{_hint(key, [str(name) for name in known])}".rstrip(".")
        )
    said = pd.Series([_said(value) for value in known[key]], index=known.index, dtype=object)
    fits = pd.Series(False, index=known.index)
    for value in text.split(","):
        same = said == _said(_read(value))
        if not same.any():
            there = sorted({one for one in said if one is not None})
            names = ", ".join(there[:8]) + (", ..." if len(there) > 8 else "")
            raise ValueError(f"--where {word}: no run has {key}={value}{_hint(value, there)} There are {names}")
        fits |= same
    return fits


def _read(text: str) -> Any:
    """A value from a condition: a number if it looks like one, else text."""
    try:
        return float(text)
    except ValueError:
        return text


def _said(value: Any) -> str | None:
    """A value as text, the same for equal values (1 and 1.0, true and True); None if there is none."""
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, int | float) else str(value).lower()


def _hint(word: str, there: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, [*there], 1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else "."
