"""A run that `wandb agent` has started for a W&B sweep: what the agent sets in the environment.

The agent starts a process for each set of parameters, with the names of the sweep and of the W&B run to log into, and a
file of the parameters. wandb reads all three itself, whatever arguments it is given.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from freezeout.records import flat


def sweep() -> str | None:
    """The name of the W&B sweep; None if no agent started this process."""
    return os.environ.get("WANDB_SWEEP_ID") if os.environ.get("WANDB_RUN_ID") else None


def run_id() -> str | None:
    """The W&B run that this process must log into; None if no agent started it."""
    return os.environ.get("WANDB_RUN_ID") if sweep() else None


def beside_parameters(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration that keeps all its values where W&B sets its parameters over it, as a sweep's search needs them.

    A parameter may choose an option: `strategy: baseline` would replace all that the configuration says of the
    strategy. Such a section is given as keys of one level, `strategy.name` and so on, which W&B shows alike.

    Args:
        config: The run's configuration as plain data.
    """
    path = os.environ.get("WANDB_SWEEP_PARAM_PATH")
    if sweep() is None or not path:
        return config
    import yaml

    given = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    kept: dict[str, Any] = {}
    for key, value in config.items():
        kept |= flat(value, f"{key}.") if key in given and isinstance(value, dict) else {key: value}
    return kept
