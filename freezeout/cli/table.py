"""A sweep's table, printed at its end: one row per configuration, from records only, in plain Python."""

from __future__ import annotations

import shutil
import statistics
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from freezeout import naming, records
from freezeout.cli.sweep_list import Entry

NARROWEST = 20  # characters of a configuration's name on one line, however narrow the terminal is
FOOTNOTE = (
    "mean ± standard deviation over seeds; saving predicted from FLOPs, against the longest baseline of the sweep"
)
# Keys of a configuration that a row shows otherwise, or that do not change a run.
UNSAID = ("strategy", "t_0", "epochs", "seed", "out", "data_dir", "tracker", "sweep")


@dataclass
class Row:
    """A configuration and the results of its runs.

    Attributes:
        label: The sweep's label.
        states: Number of its runs in each state.
        errors: Errors of its done runs, per cent.
        seconds: Their training seconds.
        flops: FLOPs from the first run that has them.
        config: The configuration of one of its runs, for what all have in common; {} if none has a record.
        setting: What comparable runs have in common, whatever the machine.
    """

    label: dict[str, Any]
    states: Counter[str] = field(default_factory=Counter)
    errors: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    flops: float | None = None
    config: dict[str, Any] = field(default_factory=dict)
    setting: str | None = None

    def add(self, record: dict[str, Any] | None) -> None:
        """Add a run by its record; None for a run without a record."""
        if record is None:
            self.states["not done yet"] += 1
            return
        self.states["diverged" if record.get("diverged") else record["status"]] += 1
        if not self.config:
            self.config, self.setting = record.get("config") or {}, records.setting_anywhere(record)
        if record["status"] == "done":
            self.errors += [float(record["error"])] if record.get("error") is not None else []
            seconds = (record.get("seconds") or {}).get("train")
            self.seconds += [float(seconds)] if seconds is not None else []
            if self.flops is None and record.get("flops"):
                self.flops = record["flops"]["run"]


def table(root: Path, entries: Sequence[Entry]) -> str:
    """The table of a sweep, as wide as the terminal at most.

    Args:
        root: The folder that holds all runs.
        entries: The sweep's stored list; rows keep its order.

    Returns:
        Its lines: name, runs done (and what became of the others), error in per cent, training seconds, and the saving
        predicted, each a mean over the runs that are done.
    """
    rows: dict[str, Row] = {}
    for entry, key in zip(entries, _rows(entries), strict=True):
        name = entry["run_id"].rpartition("-")[0]
        row = rows.setdefault(key, Row(entry["label"]))
        row.add(_read(records.run_folder(root, name, entry["seed"])))
    found = list(rows.values())
    full = _references(found)
    cells = [
        [_runs(row), _mean(row.errors, 2), _mean(row.seconds, 1), _saving(row, full.get(row.setting))] for row in found
    ]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return "\n".join([*_laid_out(titles(found), cells, width), *textwrap.wrap(FOOTNOTE, width or len(FOOTNOTE))])


def _rows(entries: Sequence[Entry]) -> list[str]:
    """The row of each run: shared by all machines, or one per machine if the sweep has a seed on several of them."""
    times = Counter((entry.get("anywhere"), entry["seed"]) for entry in entries)
    apart = {None} | {anywhere for (anywhere, _), n in times.items() if n > 1}
    names = [(entry["run_id"].rpartition("-")[0], entry.get("anywhere")) for entry in entries]
    return [own if anywhere in apart else str(anywhere) for own, anywhere in names]


def titles(rows: Sequence[Row]) -> list[str]:
    """What distinguishes the rows: the strategy, the length if there are several, and whatever else differs."""
    lengths = len({row.label.get("epochs") for row in rows}) > 1
    facts = [_facts(row.config) for row in rows]
    known = [own for own in facts if own]  # a row without a record has no facts, so it differs in none
    keys = list(dict.fromkeys(key for own in known for key in own))
    differing = [k for k in keys if _differs([(own.get(f"{k.partition('.')[0]}"), own.get(k)) for own in known])]
    found = []
    for row, own in zip(rows, facts, strict=True):
        words = [own["model"]] if "model" in differing and "model" in own else []
        words += [naming.configuration(row.label)]
        words += [f"{key}={own[key]}" for key in differing if key != "model" and key in own]
        words += [f"{row.label['epochs']} epochs"] if lengths else []
        found.append(" ".join(words))
    return found


def _facts(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration as `dataset`, `dataset.size`, `optimizer.lr`, ...; the network in one word."""
    facts: dict[str, Any] = {}
    for key, value in config.items():
        if key == "augment":  # the views are in the label
            value = {k: v for k, v in value.items() if k not in ("views", "views_from")}
        if key == "model":
            facts["model"] = naming.network(value)
        elif isinstance(value, dict) and key not in UNSAID:
            facts |= {key: value.get("name")} | {f"{key}.{k}": v for k, v in value.items() if k != "name"}
        elif key not in UNSAID:
            facts[key] = value
    return facts


def _differs(values: Sequence[tuple[Any, Any]]) -> bool:
    """Whether a value differs among configurations with the same option of its group."""
    by_option: dict[Any, set[Any]] = {}
    for option, value in values:
        by_option.setdefault(str(option) if option != value else None, set()).add(str(value))
    return any(len(different) > 1 for different in by_option.values())


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        return records.read_record(folder)
    except ValueError as error:
        return {"status": "unreadable", "reason": str(error)}


def _runs(row: Row) -> str:
    """`3`, or `1 of 3, 1 diverged, 1 not done yet`."""
    done, whole = row.states["done"], row.states.total()
    others = [f"{n} {state}" for state, n in sorted(row.states.items()) if state != "done"]
    return ", ".join([f"{done} of {whole}", *others]) if others else str(done)


def _mean(values: Sequence[float], digits: int) -> str:
    """`2.87 ± 0.58`; without the deviation for one run."""
    if not values:
        return "-"
    mean = f"{statistics.fmean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def _references(rows: Sequence[Row]) -> dict[str | None, float]:
    """For each setting the FLOPs of the longest baseline, if no run is longer."""
    longest: dict[str | None, float] = {}
    for row in rows:
        longest[row.setting] = max(longest.get(row.setting, 0), row.label["epochs"])
    found: dict[str | None, float] = {}
    for row in rows:
        is_whole = row.label["strategy"]["name"] == "baseline" and row.label["epochs"] == longest[row.setting]
        if is_whole and row.flops is not None:
            found.setdefault(row.setting, row.flops)
    return found


def _saving(row: Row, full: float | None) -> str:
    """The saving by counted FLOPs, against the longest baseline of the same setting, whatever the machine."""
    return "-" if row.flops is None or full is None else f"{100 * (1 - row.flops / full):.1f} %"


def _laid_out(names: Sequence[str], cells: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """The lines: names on the left, wrapped where the terminal is too narrow for them; everything else on the right."""
    head = ["runs", "error, %", "seconds", "saving"]
    widths = [max(len(line[i]) for line in [head, *cells]) for i in range(len(head))]
    rest = sum(widths) + 2 * len(widths)
    longest = max(len(name) for name in [*names, "configuration"])
    left = longest if width is None else min(longest, max(width - rest, NARROWEST))
    lines = []
    for name, own in [("configuration", head), *zip(names, cells, strict=True)]:
        first, *more = textwrap.wrap(name, left, subsequent_indent="  ") or [""]
        numbers = "".join(f"  {cell:>{w}}" for cell, w in zip(own, widths, strict=True))
        lines += [f"{first:<{left}}{numbers}", *more]
    return lines
