"""python -m freezeout, and the console script: everything else is imported where Ctrl-C has an answer already."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import NoReturn


def terminated(number: int, frame: FrameType | None) -> NoReturn:
    print("freezeout: terminated; the same command goes on where it stopped", file=sys.stderr)
    sys.exit(128 + number)


def main() -> None:
    """Run the command line; exits with 0, 1 (a run failed), 2 (the user's mistake) or 128 + a signal."""
    signal.signal(signal.SIGTERM, terminated)
    try:
        from freezeout import command

        code = command.main()
    except BaseException as error:
        number = getattr(error, "signal", None) or signal.SIGINT
        if type(error).__name__ not in ("Stop", "KeyboardInterrupt"):
            raise
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # another one now would end the program without a word
        print("freezeout: interrupted; the same command goes on where it stopped", file=sys.stderr)
        code = 128 + number
    sys.exit(code)


if __name__ == "__main__":
    main()
