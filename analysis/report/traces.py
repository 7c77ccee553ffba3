"""The data of a single run for the page: learning rates, freeze times, and what each freeze event saved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from freezeout.records import null_if_not_finite

from ..panel_verdicts import PanelVerdicts
from ..text import number
from .provenance import wandb
from .rates import rates
from .steps import stage_savings


def traces(one: PanelVerdicts, records: Mapping[str, Mapping[str, Any]], pool: dict[str, int]) -> list[dict[str, Any]]:
    """The runs of a panel, diverged ones too, in the order of the table.

    Args:
        one: The panel.
        records: By run id.
        pool: Known curves of learning rates, as JSON, with their indices; new ones are added. Runs of a configuration
            share a curve, which keeps the file small.
    """
    found = []
    for run in one.panel.with_diverged.to_dict("records"):
        record = records[run["run_id"]]
        curves, steps = rates(record), record.get("steps")
        text = json.dumps(curves) if curves else None
        found.append(
            {
                "run": run["run_id"],
                "configuration": " ".join(filter(None, [run["series"], run["swept"]])),
                "series": run["series"],
                "strategy": run["strategy"],
                "seed": int(run["seed"]),
                "words": _words(run, record),
                "stages": _stages(record),
                "froze": [s / steps if s is not None else None for s in record.get("freeze_steps") or []]
                if steps
                else [],
                "rates": None if text is None else pool.setdefault(text, len(pool)),
                "events": stage_savings(record),
            }
        )
    return null_if_not_finite(found)


def _stages(record: Mapping[str, Any]) -> list[str]:
    """The names of the run's stages, made unique."""
    names = [str(stage["name"]) for stage in record.get("stages") or []]
    return names if len({*names}) == len(names) else [f"{i} {name}" for i, name in enumerate(names)]


def _words(run: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """The run in one line."""
    words = ["diverged" if run["diverged"] else f"error {number(run['error'], 2)} %"]
    seconds = number(run["seconds_train"], 1)
    words.append("its clock is not used" if seconds == "-" else f"{seconds} s of training")
    log = wandb(record)
    return ", ".join([*words, f"run {run['run_id']}", f"W&B {log}" if log else "no W&B log"])
