"""The profiles beside records, in <root>/profiles; they time the runs there without being given as arguments.

`freezeout.predict --measure` leaves them there, and `archive` keeps those of the runs that it keeps.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from freezeout.records import digest, setting_anywhere
from freezeout.savings.profile import Profile

from .profiles import differences, read_profile

Trained = Counter[tuple[str | None, str | None]]  # runs by setting, whatever the machine, and by device model
ANY_CPU = ("device", "threads")  # keys of the engine that may differ on a CPU: a profile names its own device


def files(root: Path) -> list[Path]:
    """The files of profiles beside the records below `root`, without other measurements there (choices-*)."""
    return sorted(path for path in (root / "profiles").glob("*.json") if not path.name.startswith("choices-"))


def beside(root: Path) -> dict[Path, Profile]:
    """The profiles beside the records below `root`, by file; unreadable ones are reported on stderr."""
    found = {}
    for path in files(root):
        try:
            found[path] = read_profile(path)
        except ValueError as error:
            print(f"analysis: left aside: {error}", file=sys.stderr)
    return found


def trained(records: Iterable[dict[str, Any]]) -> Trained:
    """How many runs each device has trained, by setting; runs of one setting share panels."""
    return Counter((setting_anywhere(one), one["device"].get("model")) for one in records if one.get("device"))


def own_profile(record: dict[str, Any], profiles: Sequence[Profile], among: Trained | None = None) -> Profile | None:
    """The profile that times a run: one of its own device or, if a CPU trained it, of another CPU.

    Args:
        record: The run's record.
        profiles: Those at hand.
        among: Runs of each setting and device. Of several other CPUs, the one that trained most runs of this setting
            is chosen: a panel then has one time axis if it can, and a profile from elsewhere does not change it.

    Returns:
        None if none has timed such steps with the same engine (precision, memory format, ...).
    """
    device = record.get("device") or {}
    fitting = [one for one in profiles if _same_engine(record, one) and not differences(record, one)]
    same = [one for one in fitting if one.device == device.get("model")]
    if same or device.get("type") != "cpu" or not fitting:
        return same[0] if same else None
    counts, setting = among or Counter(), setting_anywhere(record) if among else None
    return max(fitting, key=lambda one: counts[setting, one.device])  # the first of equals


def _same_engine(record: dict[str, Any], profile: Profile) -> bool:
    """Whether the run's steps were executed as the profile's, apart from the device and its threads."""
    machines = (record.get("effective") or {}).get("machine"), profile.conditions.get("machine")
    run, timed = ({k: v for k, v in (machine or {}).items() if k not in ANY_CPU} for machine in machines)
    return bool(run) and digest(run) == digest(timed)
