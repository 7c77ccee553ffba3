"""Keeps a sweep's records for the repository: one line each in <out>/<sweep>.jsonl, its manifest in <out>/sweeps/."""

from __future__ import annotations

import json
from pathlib import Path

from freezeout.records import is_finished, read_record, rewrite_lines, run_folder, sweep_path, write_json_atomic


def archive(runs: Path, sweep: str, out: Path) -> list[Path]:
    """Copy every record of a sweep, as it is, and its manifest.

    Args:
        runs: The folder of runs.
        sweep: The sweep's name.
        out: The folder of kept records.

    Returns:
        The paths written.

    Raises:
        ValueError: There is no such sweep, or a run of it is not done.
    """
    path = sweep_path(runs, sweep)
    if not path.exists():
        raise ValueError(f"{path}: no such sweep; train it first (python -m freezeout -m sweeps={sweep})")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    found = []
    for run in manifest["runs"]:
        name, _, seed = run["run_id"].rpartition("-")
        record = read_record(run_folder(runs, name, int(seed)))
        if record is None or not is_finished(record):
            raise ValueError(f"run {run['run_id']} of sweep {sweep} is not done; only a whole sweep is kept")
        found.append(record)
    kept = out / f"{sweep}.jsonl"
    kept.parent.mkdir(parents=True, exist_ok=True)
    rewrite_lines(kept, found)
    write_json_atomic(sweep_path(out, sweep), manifest)
    return [kept, sweep_path(out, sweep)]
