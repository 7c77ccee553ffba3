"""The stored list of a sweep's runs, <out>/sweeps/NAME.json: it grows, and nothing is ever removed."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any

from freezeout import records
from freezeout.cli.sweep_file import key_of
from freezeout.run.config import ConfigError
from freezeout.run.space import disk_full, is_full, unwritable

# Keys on where a run reads and writes, its replicate, its tracker or its limit, but not on what the run is.
INERT = ("seed", "out", "data_dir", "sweep", "limit", "retry_failed", "tracker", "dataset.root", "dataset.workers")

# run_id, seed, label: the run's configuration in the sweep, anywhere: its name that is the same on every machine
Entry = dict[str, Any]


def is_inert(override: str) -> bool:
    """Whether an override changes no configuration, so that it does not make a different sweep."""
    key = key_of(override)
    return key in INERT or key.partition(".")[0] in INERT or key.startswith("hydra")


def grow(root: Path, name: str, entries: list[Entry], margin: float | None = None) -> list[Entry]:
    """Add runs to the list of a sweep, on disk too, and give the whole list.

    Args:
        root: The folder that holds all runs (`out`).
        name: The sweep's name.
        entries: The runs asked for now, in the order of the sweep.
        margin: A difference of the error that does not matter, in per cent of it; fixed before the first run.

    Returns:
        The runs that were listed before and are not requested now, then `entries`. A run that was listed under another
        strategy or length (a shortened baseline is the baseline with fewer epochs) keeps its label.

    Raises:
        ConfigError: The list cannot be read or written, or had another margin.
        DiskFullError: There is no room for it; the previous list is kept.
    """
    path = records.sweep_path(root, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (path.parent / f".{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two processes may add to one list
            for left in path.parent.glob(f".{path.name}.*{records.TEMPORARY}"):  # by a process that was killed
                left.unlink()
            before = _stored(path)
            grown = _merged(before["runs"], entries)
            if before["runs"] and margin != before.get("margin"):
                first = before.get("margin", "none")
                raise ConfigError(f"{path}: margin={margin}: must stay {first}, as set before the first run")
            fixed = {} if margin is None else {"margin": margin}
            records.write_json_atomic(path, {"sweep": name, **fixed, "runs": grown})
    except OSError as error:
        if is_full(error):
            raise disk_full(path.parent, error, f"the list of sweep {name}", 500 * len(entries)) from error
        raise unwritable(root, error.strerror) from error
    return grown


def _merged(before: list[Entry], entries: list[Entry]) -> list[Entry]:
    known, now = {entry["run_id"]: entry for entry in before}, {entry["run_id"] for entry in entries}
    called = []
    for entry in entries:
        old = known.get(entry["run_id"], entry)
        called.append(entry if _stands_for(old) == _stands_for(entry) else old)
    return [*(entry for entry in before if entry["run_id"] not in now), *called]


def _stands_for(entry: Entry) -> tuple[Any, Any]:
    return entry["label"]["strategy"]["name"], entry["label"]["epochs"]


def _stored(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {"runs": []}
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for entry in found["runs"]:
            _stands_for(entry), entry["run_id"], entry["seed"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: not a list of runs; move it away to start a new one (runs stay)") from error
    return found
