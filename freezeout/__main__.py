"""python -m freezeout, and the console script: everything large is imported where Ctrl-C has an answer already."""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from freezeout.run.signals import Stop

arrived: list[int] = []  # the signals that came; a library may swallow the exception that they raise


class Interrupted(KeyboardInterrupt):
    """Of its own type: Python that meets a plain one in exec("...") dies of SIGINT at its end, whatever was asked."""


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Remember a signal, and leave what is being done. The signal handler while no run trains."""
    arrived.append(number)
    raise Interrupted


def main() -> None:
    """Run the command line, and exit.

    Raises:
        SystemExit: With 0, 1 (a run failed), 2 (a mistake of the user's) or 128 + the number of a signal: one that
            came, or SIGPIPE where the reader of the output has gone (`... | head`).
    """
    arrived.clear()
    logging.raiseExceptions = False  # a log line whose reader has gone is no error
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        from freezeout.cli import command

        try:
            code = command.main()
        finally:  # Hydra exits by itself after --help
            sys.stdout.flush()
    except BrokenPipeError:
        code = 128 + signal.SIGPIPE
        mute()
    except BaseException as error:
        if isinstance(error, Stop) and error.signal is not None:  # the run was asked to stop while it trained
            arrived.append(error.signal)
        if not arrived:
            raise
    if arrived:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # another one now would end the program without a word
        print("freezeout: interrupted; the same command goes on where it stopped", file=sys.stderr)
        code = 128 + arrived[0]
    sys.exit(code)


def mute() -> None:
    """Let both streams write to nothing: Python would name the broken one when it flushes them at its end."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nothing, stream.fileno())


if __name__ == "__main__":
    main()
