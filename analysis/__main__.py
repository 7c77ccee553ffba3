"""`python -m analysis pareto | timeline | table | status | figures | keep`: from records only; nothing is trained."""

from __future__ import annotations

import argparse
import difflib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from .archive import keep
from .claims import claims_text
from .comparisons import Panel, on, panels
from .figure1 import draw_schedules
from .figures import draw_figure
from .load import NothingToDrawError, load, write_runs
from .paper import FIGURES, runs_of
from .plots import AXES, draw
from .presets import PRESETS, RECORDS, choose, loaded, paper_cost, to_train
from .profiles import read_profile
from .summary import left_out_text, next_text, panel_text, status_text
from .timeline import timeline

RUNS = Path("runs")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0; 2 after one line on stderr when there is nothing to show or the request is wrong."""
    chosen = _parser().parse_args(arguments)
    try:
        if chosen.command == "figures":
            _figures(chosen)
            return 0
        if chosen.command == "keep":
            print("\n".join(f"wrote {path}" for path in keep(chosen.runs, chosen.sweep, chosen.out)))
            return 0
        if chosen.command == "timeline":
            print(timeline(chosen.run, chosen.out))
            return 0
        profile = read_profile(chosen.profile) if chosen.profile else None
        if chosen.runs is None:
            chosen.runs = RECORDS if profile else RUNS
        table = _of_sweep(load(chosen.runs, profile), chosen.sweep)
        if chosen.command == "status":
            print(status_text(table))
            return 0
        device = profile.device if profile else None
        drawn = panels(table, device)
        if not drawn and profile:
            why = left_out_text(table).replace("\n", "; ")
            raise NothingToDrawError(f"--profile {chosen.profile}: nothing in {chosen.runs} can be redrawn: {why}")
        if not drawn:
            print(left_out_text(table))
            raise NothingToDrawError(
                f"--runs {chosen.runs}: all {len(table)} runs are left out, so nothing can be drawn"
            )
        _show(table, drawn, chosen, device)
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
        default = "runs; with --profile the kept records" if name == "pareto" else "runs"
        command.add_argument("--runs", type=Path, help=f"the folder of records (default: {default})")
        command.add_argument("--sweep", help="this sweep only (default: all)")
        command.set_defaults(profile=None)
        if name == "pareto":
            command.add_argument(
                "--out", type=Path, default=Path("figures"), help="where figures go (default: figures)"
            )
            command.add_argument("--x", choices=[*AXES, "both"], default="both", help="what error is drawn against")
            command.add_argument(
                "--profile",
                type=Path,
                metavar="FILE",
                help="seconds of your device, from `freezeout.predict --measure`: redraw the errors with them",
            )
    text = "draw where the seconds of one run went, part by part over t"
    command = commands.add_parser("timeline", help=text, description=text)
    command.add_argument("run", type=Path, metavar="RUN", help="the run's folder, or its record.json")
    command.add_argument("--out", type=Path, default=Path("figures"), help="where figures go (default: figures)")
    command = commands.add_parser("figures", help="redraw the paper's figures, and print its claims beside the runs")
    command.add_argument("--runs", type=Path, default=Path("runs"), help="the folder of records (default: runs)")
    command.add_argument("--out", type=Path, default=Path("figures/paper"), help="default: figures/paper")
    command.add_argument("--preset", choices=PRESETS, help="default: cached where records are kept, else quick")
    command.add_argument("--sweeps", action="store_true", help="draw nothing: print the sweeps that are to be trained")
    command = commands.add_parser("keep", help="keep the records of a finished sweep for the preset cached")
    command.add_argument("--runs", type=Path, default=Path("runs"), help="the folder of records (default: runs)")
    command.add_argument("--sweep", required=True, help="its name")
    command.add_argument("--out", type=Path, default=RECORDS, help="default: analysis/records")
    return parser


def _figures(chosen: argparse.Namespace) -> None:
    """Draw before printing, as the other commands; with --sweeps say what there is to train and for which preset."""
    sources = [choose(figure, chosen.preset, chosen.runs) for figure in FIGURES]
    if chosen.sweeps:
        for figure, source in zip(FIGURES, sources, strict=True):
            print(f"figure {figure.number}: {source.preset}, sweep {source.sweep} in {source.root}", file=sys.stderr)
        print(paper_cost([*FIGURES], chosen.runs), file=sys.stderr)
        print("\n".join(to_train(sources)))
        return
    tables = {root: loaded(root) for root in {source.root for source in sources}}
    paths = draw_schedules(chosen.out)
    runs = {}
    for figure, source in zip(FIGURES, sources, strict=True):
        paths += draw_figure(figure, tables[source.root], source, chosen.out)
        runs[figure.number] = runs_of(figure, tables[source.root], source.sweep)
    print(*(f"wrote {path}" for path in paths), claims_text(runs), sep="\n")


def _of_sweep(table: pd.DataFrame, sweep: str | None) -> pd.DataFrame:
    if sweep is None:
        return table
    names = [str(name) for name in table["sweep"].unique()]
    if sweep not in names:
        near = difflib.get_close_matches(sweep, names, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"--sweep {sweep}: no such sweep in the records; {hint}there are {', '.join(names)}")
    return table[table["sweep"] == sweep]


def _show(table: pd.DataFrame, drawn: list[Panel], chosen: argparse.Namespace, device: str | None) -> None:
    """Draw before printing, so that the last lines on the screen are the ones to read."""
    paths = []
    if chosen.command == "pareto":
        for panel in drawn:
            for x in AXES if chosen.x == "both" else [chosen.x]:
                made = draw(panel, x, chosen.out)
                paths += made
                if not made:
                    print(f"{panel.name}: no run has a measured {x}, so that figure is not drawn")
        paths.append(write_runs(table, chosen.out, "_".join(filter(None, ["runs", on(device)]))))
    print("\n\n".join(panel_text(panel) for panel in drawn))
    shared = int((table["shared_device"] == True).sum())  # noqa: E712 (null is not False)
    if shared:
        print(f"{shared} runs shared their device with others: their seconds, and the savings from them, are not clean")
    for text in (left_out_text(table), "\n".join(f"wrote {path}" for path in paths)):
        if text:
            print(text)
    print(next_text(chosen.runs, set(table["sweep"])))


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `... | head` ends it without a word
    sys.exit(main())
