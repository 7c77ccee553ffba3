"""Plain text that fits the terminal: tables and paragraphs."""

from __future__ import annotations

import math
import re
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PAPER = 100  # columns if the output is no terminal, and the widest running text, for readability
NARROWEST = 60  # columns; narrower terminals wrap lines themselves
JOINED = "\N{NO-BREAK SPACE}"  # stands for a space at which lines must not be broken; replaced before printing


def width() -> int:
    """Columns of the output: those of the terminal (or COLUMNS), 100 if it is no terminal, and at least 60."""
    return max(NARROWEST, shutil.get_terminal_size((PAPER, 24)).columns)


def number(value: float, digits: int, sign: str = "") -> str:
    """A number with this many decimals, `-` for NaN; never -0.0. sign: "+" also shows the sign of positive numbers."""
    return "-" if math.isnan(value) else f"{round(value, digits) + 0.0:{sign}.{digits}f}"


def typed(value: Any) -> str:
    """A value of a configuration as users type it: null, true, 0.05."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def from_here(path: Path) -> Path:
    """The path as users type it here: relative if it is below the working directory."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def wrapped(text: str, indent: str = "") -> list[str]:
    """The lines of a paragraph; all but the first begin with `indent`. Words longer than a line stay whole."""
    options = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.wrap(text, min(width(), PAPER), subsequent_indent=indent, **options)  # type: ignore[arg-type]


def text_table(header: Sequence[str], rows: Sequence[Sequence[str] | str], optional: Sequence[str] = ()) -> str:
    """A table that fits `width()`: cells are wrapped at spaces, then columns are dropped.

    Args:
        header: The columns' names.
        rows: Their cells, or a line of text across all columns. The first column is flush left, the others
            are flush right. Text in brackets is never broken.
        optional: Names of columns that may be dropped, least important first. A last line names the dropped ones.
    """
    rows = [row if isinstance(row, str) else [_joined(cell) for cell in row] for row in rows]
    shown = [*header]
    dropped: list[str] = []
    full = [row for row in rows if not isinstance(row, str)]
    while _least(header, full, shown) > width() and len(dropped) < len(optional):
        dropped.append(optional[len(dropped)])
        shown = [name for name in header if name not in dropped]
    at = [list(header).index(name) for name in shown]
    widths = _widths([[row[i] for i in at] for row in (header, *full)])
    lines = []
    for row in (header, *rows):
        if isinstance(row, str):
            lines += wrapped(row)
            continue
        cells = [row[i] for i in at]
        parts = [textwrap.wrap(cell, columns) or [""] for cell, columns in zip(cells, widths, strict=True)]
        for i in range(max(map(len, parts))):
            line = [part[i] if i < len(part) else "" for part in parts]
            first, *more = (word.rjust(columns) for word, columns in zip(line, widths, strict=True))
            lines.append(" ".join([line[0].ljust(len(first)), *more]).rstrip().replace(JOINED, " "))
        if row is header:
            lines.append("-" * (sum(widths) + len(widths) - 1))
    if dropped:
        lines += wrapped(f"(too narrow for: {', '.join(dropped)})")
    return "\n".join(lines)


def _joined(cell: str) -> str:
    """The cell with `[1.0, 2.0]` as one word."""
    return re.sub(r"\[[^]]*\]", lambda found: found[0].replace(" ", JOINED), cell)


def _widths(cells: Sequence[Sequence[str]]) -> list[int]:
    """The width of each column: that of its longest cell; the widest columns are narrowed until all fit."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    narrowest = [_longest_word(column, i == 0) for i, column in enumerate(zip(*cells, strict=True))]
    while sum(widths) + len(widths) - 1 > width():
        room = [i for i, columns in enumerate(widths) if columns > narrowest[i]]
        if not room:
            break
        widths[max(room, key=lambda i: (i == 0 and widths[0] > 16, widths[i]))] -= 1
    return widths


def _least(header: Sequence[str], rows: Sequence[Sequence[str]], shown: Sequence[str]) -> int:
    """The smallest width of the shown part of a table, in characters."""
    kept = [list(header).index(name) for name in shown]
    return sum(_longest_word([row[i] for row in (header, *rows)], i == 0) for i in kept) + len(kept) - 1


def _longest_word(column: Sequence[str], is_first: bool) -> int:
    """The longest word of a column's cells; in the first column, whose words may be broken, at most 10."""
    longest = max(len(word) for cell in column for word in (cell.split(" ") if cell else [""]))
    return min(longest, 10) if is_first else longest
