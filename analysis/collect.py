"""Reads the records below a folder; keys written by earlier versions are translated to today's here, and only here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from freezeout import packed
from freezeout.naming import command, with_todays_network
from freezeout.records import read_record, record_paths

STATES = ("done", "failed", "interrupted")


def collect(root: Path) -> dict[str, dict[str, Any]]:
    """Every record below a folder, by run id.

    Args:
        root: The folder of runs, or one of kept records (*.jsonl, one record per line).

    Returns:
        Records as `todays` gives them. A run whose record cannot be read has the status "unreadable" and the reason.
    """
    return dict(each(root))


def each(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Run id and record of every run below a folder, one at a time: together they may not fit into memory.

    A run with both a kept record and a folder of its own is given twice; the last one counts.
    """
    for path in sorted(root.glob("*.jsonl")):
        for record in packed.read(path):
            yield record["run_id"], todays(record)
    for folder in record_paths(root):
        run_id = f"{folder.parent.name}-{folder.name}"
        try:
            record = read_record(folder) or {}
            if record.get("status") not in STATES or not isinstance(record.get("config"), dict):
                raise ValueError(f"{folder}: a record has a status and a config")
            yield run_id, todays(record)
        except ValueError as error:
            yield run_id, {"status": "unreadable", "reason": str(error)}


def find_record(run: Path, root: Path | None = None) -> dict[str, Any]:
    """The record of one run, as `todays` gives it.

    Args:
        run: The run's folder, its record.json, or a run id.
        root: The folder in which a run id is looked for.

    Raises:
        ValueError: In one line: there is no such record, or it cannot be read.
    """
    folder = run.parent if run.name == "record.json" else run
    record = read_record(folder)
    if record is not None:
        return todays(record)
    known = collect(root) if root is not None and root.is_dir() else {}
    if run.name in known:
        if known[run.name]["status"] == "unreadable":
            raise ValueError(known[run.name]["reason"])
        return known[run.name]
    below = sorted(path.parent for path in folder.glob("**/record.json"))[:1]
    near = [*map(str, below), *sorted(run_id for run_id in known if run_id.startswith(run.name))]
    hint = f"did you mean {near[0]}?" if near else "a run's folder is runs/<name>/<seed>"
    raise ValueError(f"{run}: no record.json there{', and no such run id' if root else ''}; {hint}")


def todays(record: dict[str, Any]) -> dict[str, Any]:
    """A record with today's keys (`freezeout.records.KEYS`); a record that already has them is unchanged.

    Earlier versions called `setting_id` `group`, and wrote `full_steps`: the steps of the baseline that the run was
    first compared with. Savings and FLOPs were relative to that baseline; here they are made relative to a baseline
    with as many steps as the run itself. Some versions left out `split` and `command`, and `repeated_seconds` of an
    uninterrupted run; some named a network in `command` by an option of another size.
    """
    new = {key: value for key, value in record.items() if key not in ("group", "full_steps", "const_time")}
    new.setdefault("setting_id", record.get("group"))
    new.setdefault("diverged", False)
    new.setdefault("split", "validation" if (record.get("data") or {}).get("validation") else "test")
    if new.get("repeated_seconds") is None and len(record.get("segments") or []) == 1:
        new["repeated_seconds"] = 0.0
    if "command" not in new:
        new["command"] = command(record["config"])
    elif "name" in ((record.get("config") or {}).get("model") or {}):
        new["command"] = with_todays_network(record["command"], record["config"])
    steps, full = record.get("steps"), record.get("full_steps")
    if full and steps:
        flops, saving = record.get("flops") or {}, record.get("saving") or {}
        if "baseline" in flops:
            new["flops"] = {"step": flops["baseline"] / full, "run": flops["run"]}
        against_own = {key: saving.get(key) for key in ("predicted", "profiled")}
        new["saving"] = saving | {k: None if s is None else 1 - (1 - s) * full / steps for k, s in against_own.items()}
    return new
