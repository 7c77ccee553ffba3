"""Records -> one pandas table, one row a (sweep, run); whatever cannot be used stays in it, with the reason.

Two columns say why a row may not enter error plots (`left_out`) or savings (`left_out_of_savings`); null: it may.
Missing numbers are NaN or null, never 0.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from freezeout.naming import configuration, network, series, swept
from freezeout.records import read_lines, read_record, record_paths, replacing

from .profiles import Profile, columns, without_unfit
from .savings import with_savings, without_other_machines

LOOSE = "runs"  # the sweep of runs that no manifest lists
REPEATED_AT_MOST = (
    0.01  # share of a run's training seconds done again after a kill, from which on its clock is not used
)


class NothingToDrawError(ValueError):
    """There are no records: one line that says where they were looked for."""


def load(root: Path, profile: Profile | None = None) -> pd.DataFrame:
    """The table of every run below `root`, those that a manifest lists and that are not there included.

    Seconds are seconds, errors per cent, savings fractions of the baseline's training seconds. With a profile its
    seconds replace what the records say of profiled ones, and runs that it does not fit are left out.
    Raises NothingToDrawError when there is no folder or nothing in it.
    """
    if not root.is_dir():
        raise NothingToDrawError(f"--runs {root}: there is no such folder; `make sweep` makes one")
    records, rows = _records(root), []
    listed: set[str] = set()
    for path in sorted((root / "sweeps").glob("*.json")):
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            entries = [(run["run_id"], run["seed"], run["label"]) for run in manifest["runs"]]
        except (ValueError, OSError, KeyError, TypeError):
            rows.append(
                {"sweep": path.stem, "run_id": None, "status": "unreadable", "reason": f"{path} is no manifest"}
            )
            continue
        for run_id, seed, label in entries:
            rows.append(
                {"sweep": manifest.get("sweep", path.stem), **_row(records.get(run_id), run_id, seed, label, profile)}
            )
            listed.add(run_id)
    for run_id, record in records.items():
        if run_id not in listed:
            config = record.get("config") or {}
            label = {"strategy": config.get("strategy"), "epochs": config.get("epochs")}
            rows.append({"sweep": LOOSE, **_row(record, run_id, record.get("seed"), label, profile)})
    if not rows:
        raise NothingToDrawError(f"--runs {root}: no record in it yet; `make sweep` makes some")
    table = pd.DataFrame(rows, columns=_columns(rows))
    for name in NUMBERS:
        table[name] = pd.to_numeric(table[name], errors="coerce")
    table["left_out"] = [_left_out(row) for row in table.to_dict("records")]
    return with_savings(without_other_machines(without_unfit(table))).drop(columns="machine")


def write_runs(table: pd.DataFrame, out: Path, name: str = "runs") -> Path:
    """Write <name>.csv, the whole table, into `out`; gives its path. Equal tables give equal bytes."""
    path = out / f"{name}.csv"
    whole = dict.fromkeys(("seed", "epochs", "steps", "evaluation_images"), "Int64")
    with replacing(path) as temporary:
        table.astype(whole).to_csv(temporary, index=False, float_format="%.8g", lineterminator="\n")
    return path


def _records(root: Path) -> dict[str, dict[str, Any]]:
    """Every record below `root` by run id; an unreadable one is a record that says so."""
    records: dict[str, dict[str, Any]] = {}
    for path in sorted(root.glob("*.jsonl")):  # kept ones, as in analysis/records
        records |= {record["run_id"]: record for record in read_lines(path)}
    for folder in record_paths(root):
        run_id = f"{folder.parent.name}-{folder.name}"
        try:
            record = read_record(folder) or {}
            if record.get("status") not in ("done", "failed", "interrupted") or not isinstance(
                record.get("config"), dict
            ):
                raise ValueError(f"{folder}: a record has a status and a config")
        except ValueError as error:
            record = {"status": "unreadable", "reason": str(error)}
        records[run_id] = record
    return records


def _row(
    record: dict[str, Any] | None, run_id: str, seed: int | None, label: dict[str, Any], profile: Profile | None
) -> dict[str, Any]:
    """One run as the sweep calls it. The label says what the run stands for, the record what came of it."""
    record = record or {"status": "missing"}

    def get(*keys: str) -> Any:
        value: Any = record
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    strategy = label.get("strategy") or {}
    strategy = strategy if isinstance(strategy, dict) else {"name": strategy}
    label = {key: value for key, value in {**label, "strategy": strategy}.items() if key != "seed"}
    split = "validation" if get("data", "validation") else "test"
    versions = get("versions") or {}
    return {
        "run_id": run_id,
        "group": get("group"),
        "seed": seed,
        "strategy": strategy.get("name"),
        **{key: value for key, value in strategy.items() if key != "name"},
        "configuration": configuration(label),
        "series": series(label),
        "knob": swept(strategy),
        "label": json.dumps(label, sort_keys=True),
        "epochs": label.get("epochs"),
        "steps": get("steps"),
        "status": get("status"),
        "reason": get("reason"),
        "error": get("error"),
        "test_error": get("test_error"),
        "train_error": get("train_error"),
        "seconds_train": get("seconds", "train"),
        "seconds_total": get("seconds", "total"),
        "repeated_seconds": _repeated(record),
        "estimated_saving": get("saving", "estimated"),
        "predicted_saving": get("saving", "predicted"),
        **columns(record, profile),
        "model": network(get("config", "model")),
        "model_name": get("config", "model", "name"),
        "dataset": get("data", "name") or get("config", "dataset", "name"),
        "evaluation_split": split,
        "evaluation_images": get("data", split),
        "synthetic": get("data", "synthetic"),
        "device": get("device", "model"),
        **{name: versions.get(name) for name in ("python", "torch", "freezeout")},
        "machine": json.dumps([get("device", "type"), get("device", "model"), versions], sort_keys=True),
        "host": get("host"),
        "shared_device": get("shared_device"),
    }


def _repeated(record: dict[str, Any]) -> float | None:
    """Seconds of steps done again: none for a run in one piece, whether it says so or not; else null is unknown."""
    repeated = record.get("repeated_seconds")
    return 0.0 if repeated is None and len(record.get("segments") or []) == 1 else repeated


NUMBERS = (
    *("seed", "epochs", "steps", "error", "test_error", "train_error", "seconds_train", "seconds_total"),
    *("repeated_seconds", "estimated_saving", "predicted_saving", "profiled_saving", "profiled_seconds"),
    "evaluation_images",
)


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    """The columns of the fullest row first, then those that only some have (fields of other strategies), sorted."""
    fullest = max(rows, key=len)
    return [*fullest, *sorted({key for row in rows for key in row} - set(fullest))]


def _left_out(row: dict[str, Any]) -> str | None:
    """Why a run enters no error plot, as far as it can be seen from the run alone."""
    if row["status"] == "unreadable":
        return "unreadable"
    if row["status"] == "missing":
        return "missing: not started, or still running"
    if row["status"] != "done":
        return row["status"]
    if pd.notna(row["synthetic"]) and row["synthetic"]:
        return "synthetic data: for timing only"
    return "no final error in its record" if pd.isna(row["error"]) else None
