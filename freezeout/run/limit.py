"""`limit=25m`: until when a command may run, by wall-clock time, which the processes of a sweep share."""

from __future__ import annotations

import math
import re
import time

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def now() -> float:
    """Seconds since the epoch."""
    return time.time()


def end_of(limit: str | None, began: float) -> float:
    """The time by which a command must be done.

    Args:
        limit: The time that it may take: `90s`, `25m`, `1.5h` or plain seconds; None for any. Or the end itself, as a
            sweep passes it to its runs: `@` and the seconds since the epoch.
        began: When the command began.

    Returns:
        Seconds since the epoch; infinity if there is no limit.

    Raises:
        ValueError: It is none of these. One line.
    """
    if limit is None:
        return math.inf
    if moment := re.fullmatch(r"@(\d+(?:\.\d+)?)", limit):
        return float(moment[1])
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)([smh]?)", limit)
    seconds = float(found[1]) * UNITS[found[2]] if found else 0.0
    if not 0 < seconds < math.inf:
        raise ValueError(f"limit={limit}: must be a time above 0: 90s, 25m, 1.5h or plain seconds")
    return began + seconds


def handed_on(end: float) -> str:
    """The override that tells a run of a sweep when the whole sweep must be done."""
    return f"limit=@{end:.3f}"
