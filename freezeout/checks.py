"""The rules that configuration fields obey, each a one-line ValueError: value, rule, remedy. Standard library only."""

from __future__ import annotations

import math
import traceback


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}={value}: must be one of {', '.join(choices)}")


def check_share(name: str, value: float, *, zero: bool = False, one: bool = True) -> None:
    """A number between 0 and 1; `zero` and `one` say whether the ends belong. NaN fails every comparison."""
    if not ((value >= 0 if zero else value > 0) and (value <= 1 if one else value < 1)):
        raise ValueError(f"{name}={value}: must lie in {'[' if zero else '('}0, 1{']' if one else ')'}")


def check_at_least(name: str, value: float, least: float) -> None:
    if not (value >= least and math.isfinite(value)):
        raise ValueError(f"{name}={value}: must be at least {least}")


def raised(error: BaseException, module: str) -> str:
    """What code of the user's own raised, in one line: its type, its first line and the last line run in `module`."""
    lines = [n for frame, n in traceback.walk_tb(error.__traceback__) if frame.f_globals.get("__name__") == module]
    what = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
    return f"{what} (in its line {lines[-1]})" if lines else what
