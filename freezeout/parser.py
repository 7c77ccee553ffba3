"""The command lines that Hydra does not read: a mistake is one line, with the nearest flag that there is."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from freezeout.checks import nearest


class Parser(argparse.ArgumentParser):
    """An argument parser that answers a mistake in one line.

    Args:
        module: What `python -m` is given; the line begins with its last part.
        description: For --help.
    """

    def __init__(self, module: str, description: str | None) -> None:
        super().__init__(prog=f"python -m {module}", description=description, allow_abbrev=False)
        self._name = module.rpartition(".")[2]

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self._name}: {message}\n")

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """The options; a flag that is not known ends the program, and is answered with those that --help shows."""
        options, unknown = self.parse_known_args(words)
        if unknown:
            known = [
                flag.option_strings[0]
                for flag in self._actions
                if flag.option_strings and flag.dest != "help" and flag.help != argparse.SUPPRESS
            ]
            self.error(f"{unknown[0]}: unknown{nearest(unknown[0], known)}")
        return options
