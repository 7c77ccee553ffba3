"""`limit=25m`: until when a command may run, by the clock on the wall, which the processes of a sweep share."""

from __future__ import annotations

import math
import re
import time

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def now() -> float:
    """Seconds since the epoch."""
    return time.time()


def end_of(limit: str | None, began: float) -> float:
    """The moment at which a command has to be done.

    Args:
        limit: The time that it may take: `90s`, `25m`, `1.5h` or plain seconds; None for any. Or the moment itself, as
            a sweep hands it to its runs: `@` and the seconds since the epoch.
        began: When the command began.

    Returns:
        Seconds since the epoch; infinity where there is no limit.

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
    """The override that gives a run of a sweep the moment at which the whole sweep has to be done."""
    return f"limit=@{end:.3f}"
