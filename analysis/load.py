"""Records -> one pandas table with one row per run and sweep; unusable runs stay in it, with the reason.

`analysis.columns` says what each column holds. Two of them say why a row may not enter error plots (`left_out`) or
savings (`left_out_of_savings`); null means that it may. Missing numbers are NaN or null, never 0.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from freezeout.naming import configuration, data_set, label_of, network, series, swept
from freezeout.records import replacing, setting_anywhere

from . import RECORDS
from .apart import panel_keys, with_settings
from .collect import each
from .own_profiles import Trained, beside, own_profile, trained
from .profiles import Profile, columns, without_unfit
from .savings import CURVE, pooled, with_savings, without_other_machines
from .text import from_here
from .whole import still_to_do

LOOSE = "runs"  # the sweep of runs that no manifest lists
NUMBERS = (
    *("seed", "epochs", "steps", "threads", "trained_epochs", "error", "test_error", "train_error"),
    *("seconds_train", "seconds_total", "repeated_seconds", "evaluation_images"),
    *("estimated_saving", "predicted_saving", "profiled_saving", "profiled_seconds", "timed_to", "timed_off", "margin"),
)


class NothingToDrawError(ValueError):
    """There are no records; the message is one line that names the folder."""


def load(
    root: Path,
    profiles: Sequence[Profile] = (),
    sweeps: Sequence[str] = (),
    records: Mapping[str, dict[str, Any]] | None = None,
) -> pd.DataFrame:
    """The table of every run below `root`, including runs that a manifest lists but that do not exist yet.

    Args:
        root: The folder of runs, or of kept records.
        profiles: Profiles of the user's device. They replace the profiled savings in the records, and runs that fit
            none of them are left out. Without any, the profiles beside the records are used (see `own_profiles`).
        sweeps: The sweeps wanted; all if empty. Two or more are compared with each other: their runs share panels, and
            the sweep's name is added to a series that is in several of them.
        records: The records below `root`, if already read; None reads them.

    Returns:
        One row per run and sweep. Seconds are seconds, errors per cent, savings fractions of the training seconds of
        one baseline, that of `reference_epochs`.

    Raises:
        NothingToDrawError: There is no such folder, or nothing in it.
        ValueError: There is no sweep of that name, or a sweep's margin is not a number above 0.
    """
    remedy = f"`python -m freezeout -m sweeps=digits out={root}` makes"
    kept = f"; --runs {from_here(RECORDS)} shows the records that come with the program" if RECORDS.is_dir() else ""
    if not root.is_dir():
        raise NothingToDrawError(f"--runs {root}: there is no such folder; {remedy} one{kept}")

    def every() -> Iterable[tuple[str, dict[str, Any]]]:
        return each(root) if records is None else records.items()

    own = [] if profiles else [*beside(root).values()]
    among = trained(record for _, record in every()) if len({one.device for one in own}) > 1 else None
    rows = _rows(root, {run_id: _facts(record, profiles, own, among) for run_id, record in every()})
    if not rows:
        raise NothingToDrawError(f"--runs {root}: no record in it yet; {remedy} some{kept}")
    table = pd.DataFrame(rows, columns=_columns(rows))
    table[[*NUMBERS]] = table[[*NUMBERS]].apply(pd.to_numeric, errors="coerce")
    table["to_do"] = table["to_do"].eq(True)  # an unreadable list says nothing of it
    table["left_out"] = _left_out(table)
    table = _together(table, sweeps)
    table = with_settings(with_savings(without_other_machines(pooled(without_unfit(table)))))
    return table.drop(columns=["machine", "device_type", "anywhere", "is_pooled", "trained_epochs", "panel_keys"])


def write_runs(table: pd.DataFrame, out: Path, name: str = "runs") -> Path:
    """Write <name>.csv, the whole table, into `out`; gives its path. Equal tables give equal bytes."""
    path = out / f"{name}.csv"
    whole = dict.fromkeys(("seed", "steps", "evaluation_images", "diverged_seeds", "threads"), "Int64")
    with replacing(path) as temporary:
        table.astype(whole).to_csv(temporary, index=False, float_format="%.8g", lineterminator="\n")
    return path


def _rows(root: Path, facts: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per run of every manifest, then the runs that no manifest lists."""
    rows: list[dict[str, Any]] = []
    listed: set[str] = set()
    missing = _facts({"status": "missing"})
    for path in sorted((root / "sweeps").glob("*.json")):
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            entries = [(run["run_id"], run["seed"], dict(run["label"])) for run in manifest["runs"]]
        except (ValueError, OSError, KeyError, TypeError):
            reason = f"{path}: not a list of runs; the runs of this sweep are taken as runs of none"
            rows.append({"sweep": path.stem, "run_id": None, "status": "unreadable", "reason": reason})
            continue
        margin = _margin(path, manifest)
        to_do = still_to_do(manifest["runs"], {run_id: own["status"] for run_id, own in facts.items()})
        for run_id, seed, label in entries:
            row = _row(facts.get(run_id, missing), run_id, seed, label)
            rows.append({"sweep": manifest.get("sweep", path.stem), **row, "margin": margin, "to_do": run_id in to_do})
            listed.add(run_id)
    for run_id, own in facts.items():
        if run_id not in listed:
            rows.append(
                {"sweep": LOOSE, **_row(own, run_id, own["seed"], own["own_label"]), "margin": None, "to_do": False}
            )
    return rows


def _margin(path: Path, manifest: Mapping[str, Any]) -> float | None:
    """The margin that a sweep fixed before its first run, relative: 0.015 for 1.5 per cent."""
    margin = manifest.get("margin")
    if margin is None:
        return None
    if not isinstance(margin, int | float) or not margin > 0:
        raise ValueError(f"{path}: margin={margin}: must be per cent of the error, as in 1.5")
    return margin / 100


def _row(facts: dict[str, Any], run_id: str, seed: int | None, label: dict[str, Any]) -> dict[str, Any]:
    """The row of one run in a sweep: the sweep's label gives its configuration, the record's facts its results.

    Until `with_savings`, savings are against a baseline of as many steps as the run's own (`trained_epochs`).
    """
    strategy = label.get("strategy") or {}
    strategy = strategy if isinstance(strategy, dict) else {"name": strategy}
    label = {key: value for key, value in {**label, "strategy": strategy}.items() if key != "seed"}
    facts = {key: value for key, value in facts.items() if key not in ("seed", "own_label")}
    own = {
        "run_id": run_id,
        "setting_id": facts.pop("setting_id"),
        "seed": seed,
        "strategy": strategy.get("name"),
        **{key: value for key, value in strategy.items() if key != "name"},
        "configuration": configuration(label) if strategy else None,  # None for an unreadable run that no sweep lists
        "series": series(label),
        "swept": swept(strategy),
        "label": json.dumps(label, sort_keys=True),
        "epochs": label.get("epochs"),
        **facts,
    }
    return own if own["trained_epochs"] is not None else own | {"trained_epochs": label.get("epochs")}


def _facts(
    record: dict[str, Any],
    profiles: Sequence[Profile] = (),
    own: Sequence[Profile] = (),
    among: Trained | None = None,
) -> dict[str, Any]:
    """The part of a row that comes from the record alone; `own_label` is the label by the run's own configuration."""

    def get(*keys: str) -> Any:
        value: Any = record
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    named = {"name": name} if (name := get("data", "name")) else {}  # a user's own data source names itself
    split, versions = get("split"), get("versions") or {}
    threads = get("device", "threads") if get("device", "type") == "cpu" else None
    steps, per_epoch, step_flops = get("steps"), get("steps_per_epoch"), get("flops", "step")
    predicted = 1 - get("flops", "run") / (step_flops * steps) if step_flops and steps else get("saving", "predicted")
    return {
        "seed": get("seed"),
        "own_label": label_of(get("config") or {}),
        "setting_id": get("setting_id"),
        "steps": steps,
        "trained_epochs": steps / per_epoch if steps and per_epoch else None,
        "status": get("status"),
        "diverged": bool(get("diverged")),
        "reason": get("reason"),
        "error": get("error"),
        "test_error": get("test_error"),
        "train_error": get("train_error"),
        "seconds_train": get("seconds", "train"),
        "seconds_total": get("seconds", "total"),
        "repeated_seconds": get("repeated_seconds"),
        "estimated_saving": get("saving", "estimated"),
        "predicted_saving": predicted,
        **columns(record, profiles, own_profile(record, own, among)),
        "model": network(get("config", "model")),
        "model_name": get("config", "model", "name"),
        "dataset": data_set((get("config", "dataset") or {}) | named),
        "evaluation_split": split,
        "evaluation_images": get("data", split) if split else None,
        "synthetic": get("data", "synthetic"),
        "device": get("device", "model"),
        "threads": threads,
        **{name: versions.get(name) for name in ("python", "torch", "freezeout")},
        "machine": json.dumps([get("device", "type"), get("device", "model"), threads, versions], sort_keys=True),
        "device_type": get("device", "type"),
        "anywhere": setting_anywhere(record),
        "panel_keys": panel_keys(get("config") or {}),
        "host": get("host"),
        "shared_device": get("shared_device"),
        "command": get("command"),
    }


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    """The columns of the fullest row, then columns that only other rows have (fields of other strategies), sorted."""
    fullest = max(rows, key=len)
    return [*fullest, *sorted({key for row in rows for key in row} - set(fullest))]


def _left_out(table: pd.DataFrame) -> pd.Series:
    """Why each run enters no error plot, as far as the run alone shows it; None if it may enter."""
    status = table["status"]
    reasons = {
        "unreadable": status == "unreadable",
        "missing: not started, or still running": status == "missing",
        "diverged": table["diverged"] == True,  # noqa: E712 (null is not False)
        "failed": status == "failed",
        "interrupted": status == "interrupted",
        "synthetic data: for timing only": table["synthetic"] == True,  # noqa: E712
        "no final error in its record": table["error"].isna(),
    }
    found = np.select([*reasons.values()], [*reasons], default="")
    return pd.Series(found, index=table.index, dtype=object).replace({"": None})


def _together(table: pd.DataFrame, sweeps: Sequence[str]) -> pd.DataFrame:
    """The rows of the sweeps wanted, with the column `comparison`: rows of one comparison share panels.

    By default every sweep is a comparison of its own. If several are wanted together, a run with the same label in each
    of them becomes one row, named after all of them, if it belongs to the curve to beat or if they share its whole
    series; other series that are in several sweeps get the sweep's name added.
    """
    names = [str(name) for name in table["sweep"].unique()]
    for sweep in sweeps:
        if sweep not in names:
            near = difflib.get_close_matches(sweep, names, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ValueError(f"--sweep {sweep}: no such sweep in the records; {hint}there are {', '.join(names)}")
    if len(set(sweeps)) < 2:
        table = table[table["sweep"].isin(sweeps)].reset_index(drop=True) if sweeps else table
        return table.assign(comparison=table["sweep"])
    order = {name: i for i, name in enumerate(dict.fromkeys(sweeps))}
    table = table[table["sweep"].isin(order)].sort_values("sweep", key=lambda s: s.map(order), kind="stable")
    runs = table.groupby(["series", "sweep"])["run_id"].agg(frozenset)
    apart = runs.groupby("series").nunique() > 1
    apart &= ~apart.index.isin(table.loc[table["strategy"].isin(CURVE), "series"])
    is_apart = table["series"].map(apart).fillna(False).astype(bool)
    for column in ("series", "configuration", "label"):
        table.loc[is_apart, column] += " (" + table.loc[is_apart, "sweep"] + ")"
    key = ["run_id", "label", "series"]
    table["sweep"] = table.groupby(key, dropna=False, sort=False)["sweep"].transform("+".join)
    table["margin"] = table.groupby(key, dropna=False, sort=False)["margin"].transform("min")
    return table.drop_duplicates(key).reset_index(drop=True).assign(comparison="+".join(order))
