"""The last checkpoint of a run: one file, replaced atomically."""

from __future__ import annotations

import errno
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from freezeout.records import replacing


def save(path: Path, state: dict[str, Any]) -> None:
    """Replace the file at `path` by `state`.

    Raises:
        OSError: It cannot be written; the old file is then unchanged.
    """
    with replacing(path) as temporary:
        try:
            torch.save(state, temporary)
        except RuntimeError as error:
            # torch reports every disk failure as a failed assertion in its archive writer.
            if "inline_container" in str(error):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
            raise


def load(path: Path, run_id: str, device: torch.device) -> dict[str, Any] | None:
    """The state saved at `path`, with its tensors on `device`; None if there is no file.

    Raises:
        ValueError: The file is unreadable or belongs to another run.
    """
    if not path.exists():
        return None
    damaged = f"{path}: not a readable checkpoint; delete it to train from the start"
    try:
        with zipfile.ZipFile(path) as archive:
            intact = archive.testzip() is None  # torch writes checksums but does not verify them
    except Exception as error:  # damage shows as errors of many types
        raise ValueError(damaged) from error
    if not intact:
        raise ValueError(damaged)
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except torch.OutOfMemoryError:  # a RuntimeError too, but the file is not at fault
        raise
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise ValueError(damaged) from error
    if not isinstance(state, dict) or state.get("run_id") != run_id:
        found = state.get("run_id") if isinstance(state, dict) else None
        raise ValueError(f"{path}: a checkpoint of another configuration ({found}, not {run_id}); delete it or move it")
    return state
