"""One call: part after part, each in a process of its own with a time limit, until the minutes are over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.gpu import archive as archives
from benchmarks.gpu import page
from benchmarks.gpu.parts import Part
from benchmarks.gpu.results import findings, last_line, log_path, log_text
from benchmarks.gpu.state import Outcome, State
from freezeout.records import write_text_atomic

ROOT = Path(__file__).parents[2]
LAST = 25.0  # seconds reserved at the end of a call: for the grace of its last part and the final writes
GRACE = 15.0  # seconds that an interrupted part has to end by itself
HANGS = 3.0  # multiple of its expected time after which a part is taken to hang
PATIENCE = 2.0  # minutes that every part has before it is taken to hang
STOPPED = "stopped"  # the exit code's place where we ended the part


class Session:
    """One call of the half hour.

    Args:
        parts: All parts, in order of worth.
        state: What became of them before; changed and written as parts end.
        out: The folder of the results.
        archive: Rewritten after every part.
        environment: Of the parts' processes.
        deadline: When the call has to be over, in seconds of `time.monotonic`.
        say: Called with every line.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        state: State,
        out: Path,
        archive: Path,
        *,
        environment: Mapping[str, str],
        deadline: float,
        say: Callable[[str], None] = print,
    ) -> None:
        self._parts, self._state, self._out, self._archive = parts, state, out, archive
        self._environment, self._end, self._say = environment, deadline - LAST, say

    def run(self) -> bool:
        """Run as many parts as fit into the time.

        Returns:
            Whether every part is done.

        Raises:
            KeyboardInterrupt: Interrupted; the part is ended, and everything has been written.
        """
        self.write()
        for part in self._state.waiting(self._parts):
            needed = self._state.needed(part, self._parts)
            if needed > self._left:
                self._say(f"{part.name}: owed, it needs about {needed:.1f} minutes and {self._left:.1f} are left")
                continue
            self._do(part, needed)
        return not self._state.waiting(self._parts)

    @property
    def _left(self) -> float:
        return max(0.0, (self._end - time.monotonic()) / 60)

    def _do(self, part: Part, needed: float) -> None:
        began, minutes = time.monotonic(), self._left
        if not part.open_ended:
            minutes = min(minutes, max(PATIENCE, HANGS * needed))
        outcome = Outcome("begun", datetime.now(UTC).isoformat(timespec="seconds"), expected=part.minutes)
        self._state.parts[part.name] = outcome
        self._state.write(self._out)
        self._say(f"{part.name}: begun, about {minutes if part.open_ended else needed:.1f} minutes")
        code: int | str = STOPPED
        try:
            code = self._process(part, minutes)
        except KeyboardInterrupt:
            outcome.status, outcome.line = "cut", "interrupted"
            raise
        else:
            self._judge(part, outcome, code)
        finally:
            outcome.minutes = (time.monotonic() - began) / 60
            self._say(f"{part.name}: {outcome.status} after {outcome.minutes:.1f} minutes: {outcome.line}")
            self.write()

    def _judge(self, part: Part, outcome: Outcome, code: int | str) -> None:
        """Set the outcome of a part that has ended. Errors in its files do not stop the parts after it."""
        try:
            found = findings(part, self._out)
        except (ValueError, KeyError, TypeError, OSError) as error:
            outcome.status, outcome.line = "failed", f"its results cannot be read: {type(error).__name__}: {error}"
            return
        if code == STOPPED:
            over = self._left <= 0
            outcome.status = "cut" if over else "failed"
            outcome.line = (
                "the minutes were over" if over else f"hung: stopped after {HANGS:g} times what it should take"
            )
        elif code != 0:
            outcome.status = "failed"
            outcome.line = found.line or last_line(log_text(self._out, part))
        elif found.owed and part.open_ended:
            outcome.status, outcome.line = "cut", found.line
        else:
            outcome.status, outcome.line = "done", found.line or "done"

    def _process(self, part: Part, minutes: float) -> int | str:
        """Run a part with its output in its log; its exit code, or STOPPED where it had to be ended."""
        words = [*part.words, f"limit={60 * minutes - GRACE:.0f}"] if part.open_ended else [*part.words]
        log = log_path(self._out, part)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, *words],
                cwd=ROOT,
                env=dict(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that it can be ended with all of its own processes
            )
            try:
                return process.wait(60 * minutes)
            except subprocess.TimeoutExpired:
                return STOPPED
            finally:
                end(process)

    def write(self) -> None:
        """Write the state, the page and the archive, which would be lost if the machine went away now."""
        self._state.write(self._out)
        choice = archives.choose(self._out)
        text = page.text(self._parts, self._state, self._out, choice.left_out)
        write_text_atomic(self._out / page.FILE, text)
        archives.write(self._out, self._archive, sorted({*choice.kept, Path(page.FILE)}))


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that is still there, with all that it started: interrupted first, so that it can save its work."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
