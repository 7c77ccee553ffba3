"""Runs one command of `python -m analysis`; nothing is trained."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from .parser import parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The words after the program's name; None takes those of the command line.

    Returns:
        The exit code: 0; 2 after one line on stderr if there is nothing to show or the request is wrong.
    """
    chosen = parser().parse_args(arguments)
    from .commands import COMMANDS  # late: a wrong word is answered before pandas, scipy and matplotlib are imported

    try:
        COMMANDS[chosen.command](chosen)
    except (ValueError, OSError) as error:
        reason = str(error)
        if isinstance(error, OSError) and error.filename:  # the system's own text begins with a number
            reason = f"{error.filename}: {error.strerror}"
        print(f"analysis: {reason}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `... | head` ends it silently
    sys.exit(main())
