"""Checks of configuration fields: each raises a one-line ValueError (value, rule, remedy). Standard library only."""

from __future__ import annotations

import errno
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a word that is not one of a few.

    Args:
        name: Configuration key, as users type it: "strategy.bn".
        value: The word given.
        choices: The words allowed.

    Raises:
        ValueError: `value` is not one of `choices`.
    """
    if value not in choices:
        raise ValueError(f"{name}={value}: must be one of {', '.join(choices)}{_guess(str(value), choices, 0.6)}")


def check_share(name: str, value: float, *, zero: bool = False, one: bool = True, most: float = 1) -> None:
    """Refuse a number outside 0 to 1, NaN, and anything that is not a number.

    Args:
        name: Configuration key, as users type it.
        value: The number given.
        zero: Whether 0 itself is allowed.
        one: Whether 1 itself, or `most`, is allowed.
        most: Upper limit instead of 1, for shares that may be larger or are in per cent.

    Raises:
        ValueError: `value` is outside.
    """
    _check_number(name, value)
    if not (0 <= value <= most and (zero or value != 0) and (one or value != most)):
        raise ValueError(f"{name}={value}: must lie in {'[' if zero else '('}0, {most}{']' if one else ')'}")


def check_at_least(name: str, value: float, least: float, most: float = math.inf) -> None:
    """Refuse a number below `least` or above `most`, infinity, NaN, and anything that is not a number.

    Args:
        name: Configuration key, as users type it.
        value: The number given.
        least: The smallest number allowed.
        most: The largest number allowed, if a larger one must be a typing error: the program would never finish, or no
            library could count that far.

    Raises:
        ValueError: `value` is smaller, larger, infinite or not a number.
    """
    _check_number(name, value)
    if not least <= value < math.inf:
        raise ValueError(f"{name}={value}: must be at least {least}")
    if value > most:
        raise ValueError(f"{name}={value}: must be at most {most}")


def check_whole(name: str, value: Any, least: int, most: float = math.inf) -> None:
    """Refuse anything that is not an integer (12.5, infinity, text), and integers below `least` or above `most`.

    Args:
        name: Configuration key, as users type it.
        value: The value given.
        least: The smallest integer allowed.
        most: The largest; see `check_at_least`.

    Raises:
        ValueError: `value` is smaller, larger, or not an integer.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < least:
        raise ValueError(f"{name}={value}: must be a whole number, and at least {least}")
    if int(value) > most:
        raise ValueError(f"{name}={value}: must be at most {most}")


def _check_number(name: str, value: Any) -> None:
    if not isinstance(value, Real) or isinstance(value, bool):
        raise ValueError(f"{name}={value!r}: must be a number")


def check_flag(name: str, value: Any) -> None:
    """Refuse anything but true or false: a word such as "no" would count as true.

    Args:
        name: Configuration key, as users type it.
        value: The value given.

    Raises:
        ValueError: It is not a bool.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name}={value}: must be true or false")


def check_name(name: str, value: str) -> None:
    """Refuse anything but a plain file name: 1 to 100 letters, digits and `._-`, not beginning with a dot.

    Args:
        name: Configuration key, as users type it.
        value: The text given.

    Raises:
        ValueError: `value` is empty, too long, or contains another character, such as a path separator.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", value):
        raise ValueError(f"{name}={value}: must be up to 100 letters, digits, '.', '_' or '-', no leading dot")


def check_writable(name: str, folder: str | Path) -> None:
    """Refuse a folder for results that cannot be made or written to. Nothing is made.

    Args:
        name: What the folder was given as, for the message: "out=runs".
        folder: The folder, which may not exist yet.

    Raises:
        ValueError: The folder, or the nearest one above it that exists, is a file or does not allow it.
    """
    there = existing(folder)
    reason = None if os.access(there, os.W_OK | os.X_OK) else os.strerror(errno.EACCES)
    if not there.is_dir():
        reason = f"{there} is not a folder"
    if reason:
        raise ValueError(unwritable(name, reason))


def unwritable(name: str, reason: str | None) -> str:
    """The line on a folder, given as `name`, that cannot be written to."""
    return f"{name}: cannot write there ({reason}); choose another folder"


def existing(folder: str | Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    path = Path(folder).resolve()
    return next(above for above in (path, *path.parents) if above.exists())


def check_target(name: str, target: str) -> None:
    """Refuse anything not of the form `package.module:function`. Nothing is imported.

    Args:
        name: Configuration key, as users type it.
        target: The text given.

    Raises:
        ValueError: The module or the function is missing.
    """
    module, _, function = target.partition(":")
    if not module or not function:
        raise ValueError(f"{name}={target}: must be package.module:function")


def nearest(given: str, allowed: Iterable[str]) -> str:
    """The end of an error about an unknown name: the most similar known name, if any is similar, and all known names.

    Args:
        given: The unknown name.
        allowed: The known names.

    Returns:
        "; did you mean vgg? Available: vgg, wide_resnet", or ". Available: vgg, wide_resnet".
    """
    known = list(allowed)
    return f"{_guess(given, known, 0.5) or '.'} Available: {', '.join(known) or 'none'}"


def _guess(given: str, known: Sequence[str], cutoff: float) -> str:
    """`; did you mean vgg?`, or "" if no known name is similar enough."""
    close = get_close_matches(given, known, n=1, cutoff=cutoff)
    return f"; did you mean {close[0]}?" if close else ""


def lookup(key: str, table: Mapping[str, T], name: str) -> T:
    """The entry of a table of options.

    Args:
        key: Configuration key whose value is looked up, as users type it: "model".
        table: The options by name.
        name: The option asked for.

    Returns:
        `table[name]`.

    Raises:
        ValueError: There is no such option. One line, with the most similar option and all of them.
    """
    if name not in table:
        raise ValueError(f"{key}={name}: unknown{nearest(name, table)}")
    return table[name]
