"""python -m freezeout, and the console script: everything else is imported where Ctrl-C has an answer already."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import NoReturn

asked: list[int] = []  # the signals that came; a library may swallow the exception that they raise


class Interrupted(KeyboardInterrupt):
    """Of its own type: Python that meets a plain one in exec("...") dies of SIGINT at its end, whatever was asked."""


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    asked.append(number)
    raise Interrupted


def main() -> None:
    """Run the command line; exits with 0, 1 (a run failed), 2 (the user's mistake) or 128 + a signal."""
    asked.clear()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        from freezeout.cli import command

        code = command.main()
    except BaseException as error:
        # Stop is what a run raises that was asked to end while it trained.
        if type(error).__name__ == "Stop":
            asked.append(error.signal)  # type: ignore[attr-defined]
        if not asked:
            raise
    if asked:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # another one now would end the program without a word
        print("freezeout: interrupted; the same command goes on where it stopped", file=sys.stderr)
        code = 128 + asked[0]
    sys.exit(code)


if __name__ == "__main__":
    main()
