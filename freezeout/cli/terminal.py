"""Lines above progress bars: what is printed while bars are shown must not be written into them."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from tqdm import tqdm

MOVES = re.compile(r"(\n|\x1b\[A)*")  # how bars move the cursor to their line and back


class LinesAboveBars:
    """A terminal's stream on which whole lines go above the bars that are shown there.

    Bars write to it too: what they write begins with a carriage return or only moves the cursor, and goes through as it
    is. Other text is kept until its line is whole.

    Args:
        terminal: The stream to write to.
        bars: The stream on which the bars are shown; this one by default.
    """

    def __init__(self, terminal: TextIO, bars: LinesAboveBars | None = None) -> None:
        self._terminal, self._bars, self._pending = terminal, bars or self, ""

    def write(self, text: str) -> int:
        if text.startswith("\r") or (not self._pending and MOVES.fullmatch(text)):
            return self._terminal.write(text)
        whole, newline, rest = (self._pending + text).rpartition("\n")
        self._pending = ""
        if newline:
            with tqdm.external_write_mode(file=self._bars):
                self._terminal.write(f"{whole}\n")
                self._terminal.flush()
        self._pending = rest
        return len(text)

    def finish(self) -> None:
        """Write the last, unfinished line."""
        self._terminal.write(self._pending)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._terminal, name)


@contextlib.contextmanager
def lines_above_bars() -> Iterator[None]:
    """While this runs, lines that anything prints to a terminal go above the bars on standard error."""
    if not sys.stderr.isatty():
        yield
        return
    error = LinesAboveBars(sys.stderr)
    streams = [error]
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stderr(error))
        if sys.stdout.isatty():
            streams.append(LinesAboveBars(sys.stdout, error))
            stack.enter_context(contextlib.redirect_stdout(streams[-1]))
        try:
            yield
        finally:
            for stream in streams:
                stream.finish()
