"""Which GPU a process takes where several train at once: the one that the fewest of them have. Standard library only.

Each process claims one for as long as it lives, in a file of its own in a folder of this machine. Claims of processes
that have ended count no more, however they ended.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from freezeout.holder import Holder, myself


def claims_folder() -> Path:
    """Where the claims on this machine's GPUs lie, this user's."""
    return Path(tempfile.gettempdir()) / f"freezeout-{os.getuid()}" / "devices"


def claim(devices: Sequence[str], folder: Path) -> str:
    """Claim one of the devices for this process.

    Args:
        devices: By the names that CUDA_VISIBLE_DEVICES knows; in a draw the first of them is taken.
        folder: Of the claims.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # they all begin at the same moment
        taken = Counter(_living(folder))
        device = min(devices, key=lambda name: taken[name])
        me = myself()
        (folder / f"{me.token}.json").write_text(json.dumps({"device": device, "holder": asdict(me)}), encoding="utf-8")
    return device


def _living(folder: Path) -> list[str]:
    """The device of each claim whose process lives; the other claims are removed."""
    found = []
    for path in folder.glob("*.json"):
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            holder, device = Holder(**said["holder"]), str(said["device"])
        except (ValueError, TypeError, KeyError):  # cut off by a kill
            path.unlink()
            continue
        if not holder.is_near or holder.is_gone:  # also of before the last boot
            path.unlink()
        else:
            found.append(device)
    return found
