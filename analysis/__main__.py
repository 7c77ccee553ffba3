"""Runs one command of `python -m analysis`; nothing is trained."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from .parser import parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The words after the program's name; None takes those of the command line.

    Returns:
        The exit code: 0; 2 after one line on stderr if there is nothing to show or the request is wrong; 130 when
        interrupted.
    """
    chosen = parser().parse_args(arguments)
    try:
        from .commands import COMMANDS  # late: a wrong word is answered before pandas and matplotlib are imported

        COMMANDS[chosen.command](chosen)
    except (ValueError, OSError) as error:
        reason, out = str(error), getattr(chosen, "out", None)
        if isinstance(error, OSError) and error.filename:  # the system's own text begins with a number
            path = Path(error.filename)
            reason = f"{path}: {error.strerror}"
            if out in (path, *path.parents):
                reason = f"--out {out}: cannot write {path} ({error.strerror})"
        print(f"analysis: {reason}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("analysis: interrupted; files that were written are whole", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `... | head` ends it silently
    sys.exit(main())
