"""A freezer's state in a framework's checkpoint; where callbacks have no place there, within its optimizer's state.

Hugging Face's Trainer keeps what callbacks say of themselves in JSON, where gathered gradients would make no sense, and
does not tell them which folder it resumes from. An optimizer's groups may hold anything, and it saves and loads these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer

from freezeout.freeze import FreezeOut

KEY = "freezeout"


def kept(freezer: FreezeOut) -> dict[str, Any]:
    """What a checkpoint holds of a freezer: its state, and the length of the run that it counts in."""
    return {**freezer.state_dict(), "total_steps": freezer.total_steps}


def refuse_another_length(freezer: FreezeOut, loaded: Mapping[str, Any]) -> None:
    """Refuse what `kept` gave in a run of another length.

    Raises:
        ValueError: It is of one.
    """
    if loaded["total_steps"] != freezer.total_steps:
        raise ValueError(
            f"the checkpoint is of a run of {loaded['total_steps']} steps, and this one has {freezer.total_steps}: "
            "stages would freeze at other times"
        )


def keep_in_checkpoints(freezer: FreezeOut, optimizer: Optimizer) -> None:
    """Let the optimizer's saved state hold the freezer's, which its first group has once it is loaded."""

    def add(_: Optimizer, state: dict[str, Any]) -> None:
        state["param_groups"][0][KEY] = kept(freezer)

    optimizer.register_state_dict_post_hook(add)


def loaded_with(optimizer: Optimizer) -> dict[str, Any]:
    """What of a freezer came with the state that the optimizer has loaded, and goes from its groups; or nothing."""
    return optimizer.param_groups[0].pop(KEY, {})


def refuse_another_run(freezer: FreezeOut, loaded: Mapping[str, Any], step: int) -> None:
    """Refuse a checkpoint that this run cannot be continued from.

    Raises:
        ValueError: It is of a run of another length, or says nothing of what an adaptive strategy had seen.
    """
    if loaded:
        refuse_another_length(freezer, loaded)
    if step and "adaptive" in freezer.state_dict() and "adaptive" not in loaded:
        raise ValueError(
            f"the checkpoint is of step {step} and holds no state of an adaptive strategy: it was written without "
            "FreezeOutCallback, under another strategy or with save_only_model"
        )
