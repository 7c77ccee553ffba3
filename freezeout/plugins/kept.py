"""FreezeOut's state in a framework's checkpoint or, for Hugging Face's Trainer, within the optimizer's state.

That Trainer saves the state of callbacks as JSON, which is unsuited to accumulated gradients, and does not tell them
which folder it resumes from. An optimizer's groups may hold anything, and the Trainer saves and loads these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer

from freezeout.freeze import FreezeOut

KEY = "freezeout"


def kept(freezer: FreezeOut) -> dict[str, Any]:
    """What a checkpoint holds of a FreezeOut: its state and its total_steps."""
    return {**freezer.state_dict(), "total_steps": freezer.total_steps}


def refuse_another_length(freezer: FreezeOut, loaded: Mapping[str, Any]) -> None:
    """Refuse a state from `kept` that belongs to a run of another length.

    Raises:
        ValueError: The lengths differ.
    """
    if loaded["total_steps"] != freezer.total_steps:
        raise ValueError(
            f"the checkpoint is of a run of {loaded['total_steps']} steps, and this one has {freezer.total_steps}: "
            "stages would freeze at other times"
        )


def keep_in_checkpoints(freezer: FreezeOut, optimizer: Optimizer) -> None:
    """Add the freezer's state to the first group of the optimizer's state_dict, so that it is saved and loaded too."""

    def add(_: Optimizer, state: dict[str, Any]) -> None:
        state["param_groups"][0][KEY] = kept(freezer)

    optimizer.register_state_dict_post_hook(add)


def loaded_with(optimizer: Optimizer) -> dict[str, Any]:
    """Remove and return the freezer's state from the state that the optimizer has loaded; {} if there is none."""
    return optimizer.param_groups[0].pop(KEY, {})


def refuse_another_run(freezer: FreezeOut, loaded: Mapping[str, Any], step: int) -> None:
    """Refuse a checkpoint from which this run cannot continue.

    Args:
        freezer: The FreezeOut of this run.
        loaded: The state from `loaded_with`.
        step: Number of steps that the checkpoint has completed.

    Raises:
        ValueError: It is of a run of another length, or lacks the adaptive strategy's state.
    """
    if loaded:
        refuse_another_length(freezer, loaded)
    if step and "adaptive" in freezer.state_dict() and "adaptive" not in loaded:
        raise ValueError(
            f"the checkpoint of step {step} has no state of an adaptive strategy: it was written without "
            "FreezeOutCallback, under another strategy or with save_only_model"
        )
