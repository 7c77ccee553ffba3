"""Which GPU a process takes if several train at once: the one with the fewest processes. Standard library only.

Each process claims a GPU for its lifetime, with a file of its own in a folder of this machine. Claims of processes that
have ended, in whatever way, are ignored.
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
    """The folder of this user's claims on the GPUs of this machine."""
    return Path(tempfile.gettempdir()) / f"freezeout-{os.getuid()}" / "devices"


def claim(devices: Sequence[str], folder: Path) -> str:
    """Claim one of the devices for this process.

    Args:
        devices: Names as in CUDA_VISIBLE_DEVICES; in a tie the first is taken.
        folder: The folder of the claims.
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
    """The device of each claim whose process is alive; other claims are removed."""
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
