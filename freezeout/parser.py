"""Command-line parsing that reports a mistake in one line, with the nearest valid flag, command or word."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any, NoReturn

from freezeout.checks import nearest


class Parser(argparse.ArgumentParser):
    """An argument parser that reports a mistake in one line and exits with code 2.

    The line begins with the last part of the program's name. Flags cannot be abbreviated, so that a new flag never
    changes the meaning of an existing command. Flags whose help is argparse.SUPPRESS are never suggested.
    """

    def __init__(self, **named: Any) -> None:
        super().__init__(allow_abbrev=False, **named)

    def parse_args(self, args: Iterable[str] | None = None, namespace: Any = None) -> Any:
        options, unknown = self.parse_known_args(None if args is None else [*args], namespace)
        if unknown:
            asked = self._asked(options)
            flag = unknown[0].partition("=")[0]
            asked.error(f"{flag}: unknown{nearest(flag, asked.flags)}")
        return options

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.name}: {message.removeprefix('argument ')}\n")

    @property
    def name(self) -> str:
        """The beginning of its messages: `analysis table` for `python -m freezeout.analysis table`."""
        return self.prog.removeprefix("python -m ").rpartition(".")[2]

    @property
    def flags(self) -> list[str]:
        """The flags that may be suggested; of an option with several, the longest."""
        shown = [action for action in self._actions if action.help != argparse.SUPPRESS and action.dest != "help"]
        return [max(action.option_strings, key=len) for action in shown if action.option_strings]

    def _asked(self, options: argparse.Namespace) -> Parser:
        """The parser of the command that was given; this parser if it has no commands."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                found: Parser = action.choices[getattr(options, action.dest)]
                return found._asked(options)
        return self

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            given = " ".join([*action.option_strings[:1], str(value)])
            raise argparse.ArgumentError(None, f"{given}: unknown{nearest(str(value), map(str, action.choices))}")
