"""How times are said: durations, and what is left of them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """`40 s`, `4.2 min`, `7.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def time_left(seconds: float) -> str:
    """`less than a minute left`, `about 4 min left`, `about 7.5 h left`."""
    if seconds < 60:
        return "less than a minute left"
    return f"about {seconds / 60:.0f} min left" if seconds < 5400 else f"about {seconds / 3600:.1f} h left"
