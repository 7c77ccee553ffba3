"""python -m freezeout, and the console script: large imports come after the handler for Ctrl-C is installed."""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from freezeout.run.signals import Stop

arrived: list[int] = []  # signals received; a library may swallow the exception that they raise


class Interrupted(KeyboardInterrupt):
    """A type of its own: after a plain KeyboardInterrupt in exec("..."), Python exits by SIGINT, whatever the code."""


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """The signal handler while no run is training: records the signal and interrupts the program."""
    arrived.append(number)
    raise Interrupted


def main() -> None:
    """Run the command line, and exit.

    Raises:
        SystemExit: With 0, 1 (a run failed), 2 (a mistake of the user's) or 128 + the number of a signal: one that was
            received, or SIGPIPE if the reader of the output has exited (`... | head`).
    """
    arrived.clear()
    logging.raiseExceptions = False  # a log line without a reader is not an error
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        from freezeout.cli import command

        try:
            code = command.main()
        finally:  # also after --help, when Hydra exits by itself
            sys.stdout.flush()
    except BrokenPipeError:
        code = 128 + signal.SIGPIPE
        mute()
    except BaseException as error:
        if isinstance(error, Stop) and error.signal is not None:  # received while a run was training
            arrived.append(error.signal)
        if not arrived:
            raise
    if arrived:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # another one now would end the program silently
        print("freezeout: interrupted; the same command resumes where it stopped", file=sys.stderr)
        code = 128 + arrived[0]
    sys.exit(code)


def mute() -> None:
    """Redirect both streams to the null device: on exit, Python would report the broken one when it flushes them."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nothing, stream.fileno())


if __name__ == "__main__":
    main()
