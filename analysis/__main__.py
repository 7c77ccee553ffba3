"""`python -m analysis pareto | table | status`: from records only; nothing is trained."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.load import NothingToDrawError, load, write_runs
from analysis.panels import Panel, panels
from analysis.plots import AXES, draw
from analysis.summary import left_out_text, next_text, panel_text, status_text


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0; 2 after one line on stderr when there is nothing to show or the request is wrong."""
    chosen = _parser().parse_args(arguments)
    try:
        table = _of_sweep(load(chosen.runs), chosen.sweep)
        if chosen.command == "status":
            print(status_text(table))
            return 0
        drawn = panels(table)
        if not drawn:
            print(left_out_text(table))
            raise NothingToDrawError(
                f"--runs {chosen.runs}: all {len(table)} runs are left out, so nothing can be drawn"
            )
        _show(table, drawn, chosen)
    except (ValueError, OSError) as error:
        print(f"analysis: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m analysis", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("pareto", "draw the speedup-versus-error Pareto plot of every sweep, and print its table"),
        ("table", "print the table without drawing"),
        ("status", "count the runs of every sweep: done, failed (with the reason), interrupted, missing"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--runs", type=Path, default=Path("runs"), help="the folder of records (default: runs)")
        command.add_argument("--sweep", help="this sweep only (default: all)")
        if name == "pareto":
            command.add_argument(
                "--out", type=Path, default=Path("figures"), help="where figures go (default: figures)"
            )
            command.add_argument("--x", choices=[*AXES, "both"], default="both", help="what error is drawn against")
    return parser


def _of_sweep(table: pd.DataFrame, sweep: str | None) -> pd.DataFrame:
    if sweep is None:
        return table
    names = [str(name) for name in table["sweep"].unique()]
    if sweep not in names:
        near = difflib.get_close_matches(sweep, names, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"--sweep {sweep}: no such sweep in the records; {hint}there are {', '.join(names)}")
    return table[table["sweep"] == sweep]


def _show(table: pd.DataFrame, drawn: list[Panel], chosen: argparse.Namespace) -> None:
    """Draw before printing, so that the last lines on the screen are the ones to read."""
    paths = []
    if chosen.command == "pareto":
        for panel in drawn:
            for x in AXES if chosen.x == "both" else [chosen.x]:
                made = draw(panel, x, chosen.out)
                paths += made
                if not made:
                    print(f"{panel.name}: no run has a measured {x}, so that figure is not drawn")
        paths.append(write_runs(table, chosen.out))
    print("\n\n".join(panel_text(panel) for panel in drawn))
    shared = int((table["shared_device"] == True).sum())  # noqa: E712 (null is not False)
    if shared:
        print(f"{shared} runs shared their device with others: their seconds, and the savings from them, are not clean")
    for text in (left_out_text(table), "\n".join(f"wrote {path}" for path in paths)):
        if text:
            print(text)
    print(next_text(chosen.runs, set(table["sweep"])))


if __name__ == "__main__":
    sys.exit(main())
