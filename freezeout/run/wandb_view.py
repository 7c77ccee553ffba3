"""What W&B shows about a run: its name, the metrics of an epoch, and its row in the table of runs."""

from __future__ import annotations

import os
from typing import Any

from freezeout.naming import full_title
from freezeout.records import digest, null_if_not_finite

PER_EPOCH = ("train_loss", "eval_loss", "error", "seconds", "prefix", "active_stages", "step_seconds")
# W&B plots each metric against one x axis; a metric that is also plotted against time is logged under two names.
AGAINST_SECONDS = ("error", "eval_loss")
LONGEST_NAME = 128  # characters that W&B allows


def display_name(config: dict[str, Any], group: str | None) -> str:
    """The name of a run at W&B; a name that is too long is cut and ends in a digest of the whole."""
    given, title = os.environ.get("WANDB_NAME"), full_title(config)
    name = title if not given else given if group is None else f"{given} {title}"
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 13]} {digest({'name': name})}"


def row(entry: dict[str, Any]) -> dict[str, float]:
    """The metrics of an epoch, given as in metrics.jsonl: one number per name, absent if the entry has none."""
    shown = {key: entry.get(key) for key in ("epoch", *PER_EPOCH)}
    shown |= {f"by_seconds/{key}": entry.get(key) for key in AGAINST_SECONDS}
    shown |= {f"learning_rate/{i:02d}": rate for i, rate in enumerate(entry.get("learning_rates") or ())}
    return {key: value for key, value in null_if_not_finite(shown).items() if value is not None}


def summary(record: dict[str, Any]) -> dict[str, Any]:
    """A record's values in W&B's table of runs: status, errors in per cent, seconds by part, savings."""
    shown = {key: record.get(key) for key in ("status", "reason", "error", "test_error", "train_error")}
    for part in ("seconds", "saving"):
        shown |= {f"{part}/{key}": value for key, value in (record.get(part) or {}).items()}
    return {key: value for key, value in null_if_not_finite(shown).items() if value is not None}
