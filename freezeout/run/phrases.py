"""Wording of the time left."""

from __future__ import annotations


def time_left(seconds: float) -> str:
    """`less than a minute left`, `about 4 min left`, `about 7.5 h left`."""
    if seconds < 60:
        return "less than a minute left"
    return f"about {seconds / 60:.0f} min left" if seconds < 5400 else f"about {seconds / 3600:.1f} h left"
