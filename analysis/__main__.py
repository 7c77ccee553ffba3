"""Reads records, and shows, draws or compares what is in them; nothing is trained."""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from freezeout.naming import counted

from . import PROGRAM
from .archive import archive
from .claims import claims_text
from .collect import find_record
from .comparisons import Panel, on, panels
from .figure1 import draw_schedules
from .figures import draw_figure
from .judging import judged_panels
from .load import NothingToDrawError, load, write_runs
from .panel_verdicts import document
from .paper import FIGURES, runs_of
from .plots import AXES, draw
from .presets import PRESETS, RECORDS, RUNS, choose, loaded, paper_cost, to_train
from .profiles import Profile, read_profiles
from .rates import draw_rates
from .recommend import sentence
from .run_diff import diff_text
from .run_list import SORTS, runs_text
from .status import show
from .summary import left_out_text, next_text, panel_text
from .timeline import timeline
from .verdict_text import verdict_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The words after the program's name; None takes those of the command line.

    Returns:
        The exit code: 0; 2 after one line on stderr where there is nothing to show or the request is wrong.
    """
    chosen = _parser().parse_args(arguments)
    try:
        chosen.does(chosen)
    except (ValueError, OSError) as error:
        print(f"analysis: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, does, text: str, *, out: str | None = None, runs: str = "runs") -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(does=does)
        if runs:
            command.add_argument("--runs", type=Path, help=f"the folder of records (default: {runs})")
        if out:
            command.add_argument("--out", type=Path, default=Path(out), help=f"where to write (default: {out})")
        return command

    kept = "runs; with --profile the kept records"
    several = "these sweeps only (default: all); --sweep A --sweep B compares two in one plot"
    command = add(
        "pareto",
        _table,
        "draw the speedup-versus-error Pareto plot of every sweep, and print its table",
        out="figures",
        runs=kept,
    )
    command.add_argument("--sweep", action="append", default=[], metavar="NAME", help=several)
    command.add_argument("--x", choices=[*AXES, "both"], default="both", help="what error is drawn against")
    measured = "seconds of your device, from `freezeout.predict --measure`: redraw the errors with them; "
    measured += "a file for each network, and for strategy.bn=train one more"
    command.add_argument("--profile", type=Path, nargs="+", default=[], metavar="FILE", help=measured)
    command = add("table", _table, "print the table without drawing")
    command.add_argument("--sweep", action="append", default=[], metavar="NAME", help=several)
    command.set_defaults(profile=[])
    text = "say of every arm whether its error beats the plain network's trained for as long, with intervals"
    command = add("verdicts", _verdicts, text, runs=kept)
    command.add_argument("--margin", type=_share, metavar="P%", help="a difference of the error that does not matter")
    command.add_argument("--json", action="store_true", help="the same as a document")
    text = "say in one sentence how much time can be saved at an increase of the error that you tolerate"
    advice = add("recommend", _recommend, text, runs=kept)
    advice.add_argument("--tolerance", type=_share, required=True, metavar="P%", help="of the error, as in 3%%")
    for judged in (command, advice):
        judged.add_argument("--sweep", action="append", default=[], metavar="NAME", help=several)
        judged.add_argument("--profile", type=Path, nargs="+", default=[], metavar="FILE", help=measured)
    text = (
        "count the runs of every sweep: done, running (where, time left), failed, diverged (why), missing; time spent"
    )
    command = add("status", _status, text, runs="")
    folders = "the folders of records (default: runs)"
    command.add_argument("--runs", type=Path, nargs="+", action="extend", default=[], help=folders)
    anew = "print it anew every so many seconds (default: 5) until all runs have ended, or Ctrl-C"
    command.add_argument("--watch", type=_count, nargs="?", const=5, metavar="SECONDS", help=anew)
    command.add_argument("--sweep", action="append", default=[], metavar="NAME", help="these sweeps only")
    command = add("runs", _runs, "list runs by what they are, and the commands that make them again")
    asked = "what they are: keys of the configuration, sweep, status, ..., as in strategy=freezeout t_0=0.5,0.8"
    command.add_argument("--where", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=asked)
    command.add_argument("--sort", choices=SORTS, help="the least first")
    command.add_argument("--limit", type=_count, metavar="N", help="show N runs at most")
    command = add("diff", _diff, "say which keys make the names of two runs differ")
    where = "a run's folder, its record.json, or its id"
    command.add_argument("first", type=Path, metavar="RUN", help=where)
    command.add_argument("second", type=Path, metavar="RUN", help=where)
    text = "draw where the seconds of one run went, part by part over t"
    command = add("timeline", _timeline, text, out="figures", runs="")
    command.add_argument("run", type=Path, metavar="RUN", help="the run's folder, or its record.json")
    command = add("rates", _rates, "draw the learning rates that a strategy makes; no records", out="figures", runs="")
    command.add_argument("words", nargs="*", metavar="KEY=VALUE", help="as in strategy=freezeout t_0=0.5")
    command.add_argument("--stages", type=_count, default=5, metavar="N", help="of the network (default: 5)")
    command.add_argument("--base", type=float, default=0.1, metavar="RATE", help="the base rate (default: 0.1)")
    command = add(
        "figures", _figures, "redraw the paper's figures, and print its claims beside the runs", out="figures/paper"
    )
    command.add_argument("--preset", choices=PRESETS, help="default: cached where records are kept, else quick")
    command.add_argument("--sweeps", action="store_true", help="draw nothing: print the sweeps that are to be trained")
    text = "keep the records of a sweep's finished runs, for the preset cached and for sweep files with packed: true"
    command = add("archive", _archive, text)
    command.add_argument("--sweep", required=True, help="its name")
    command.add_argument("--out", type=Path, default=RECORDS, help="default: the records that come with the program")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number of at least 1")
    return int(text)


def _share(text: str) -> float:
    """0.03 of `3%`."""
    try:
        share = float(text.removesuffix("%")) / 100 if text.endswith("%") else math.nan
    except ValueError:
        share = math.nan
    if not 0 < share < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: must be per cent of the error, as in 3%")
    return share


def _verdicts(chosen: argparse.Namespace) -> None:
    found = judged_panels(chosen.runs, chosen.profile, chosen.sweep, chosen.margin)
    if chosen.json:
        print(json.dumps({"panels": [document(one) for one in found]}, indent=2))
    else:
        print("\n\n".join(verdict_text(one) for one in found))


def _recommend(chosen: argparse.Namespace) -> None:
    found = judged_panels(chosen.runs, chosen.profile, chosen.sweep)
    print("\n".join(sentence(one, chosen.tolerance) for one in found))


def _archive(chosen: argparse.Namespace) -> None:
    kept = archive(chosen.runs or RUNS, chosen.sweep, chosen.out)
    print(f"sweep {chosen.sweep}: {kept.done} of {counted(kept.runs, 'run')} kept")
    print("\n".join(f"wrote {path}" for path in kept.paths))


def _timeline(chosen: argparse.Namespace) -> None:
    print(timeline(chosen.run, chosen.out))


def _rates(chosen: argparse.Namespace) -> None:
    print("\n".join(f"wrote {path}" for path in draw_rates(chosen.words, chosen.stages, chosen.base, chosen.out)))


def _status(chosen: argparse.Namespace) -> None:
    show(chosen.runs or [RUNS], chosen.sweep, chosen.watch)


def _runs(chosen: argparse.Namespace) -> None:
    root = chosen.runs or RUNS
    print(runs_text(load(root), root, chosen.where, chosen.sort, chosen.limit))


def _diff(chosen: argparse.Namespace) -> None:
    print(diff_text(*(find_record(run, chosen.runs or RUNS) for run in (chosen.first, chosen.second))))


def _table(chosen: argparse.Namespace) -> None:
    profiles = read_profiles(chosen.profile)
    root = chosen.runs or (RECORDS if profiles else RUNS)
    table = load(root, profiles, chosen.sweep)
    drawn = panels(table, profiles[0].device if profiles else None)
    if not drawn and profiles:
        why, files = left_out_text(table).replace("\n", "; "), " ".join(map(str, chosen.profile))
        raise NothingToDrawError(f"--profile {files}: nothing in {root} can be redrawn: {why}")
    if not drawn:
        print(left_out_text(table))
        runs = f"all {len(table)} runs are" if len(table) > 1 else "the only run is"
        raise NothingToDrawError(f"--runs {root}: {runs} left out, so nothing can be drawn")
    # Draw before printing, so that the last lines on the screen are the ones to read.
    paths = _draw(table, drawn, chosen, profiles) if chosen.command == "pareto" else []
    print("\n\n".join(panel_text(panel) for panel in drawn))
    shared = int((table["shared_device"] == True).sum())  # noqa: E712 (null is not False)
    if shared:
        print(f"{counted(shared, 'run')} shared a device with others: seconds, and savings from them, are not clean")
    for text in (left_out_text(table), "\n".join(f"wrote {path}" for path in paths)):
        if text:
            print(text)
    print(next_text(root, set(table["sweep"])))


def _draw(table: pd.DataFrame, drawn: list[Panel], chosen: argparse.Namespace, profiles: list[Profile]) -> list[Path]:
    """The figures of all panels and the table of runs; gives the paths written."""
    paths = []
    for panel in drawn:
        for x in AXES if chosen.x == "both" else [chosen.x]:
            made = draw(panel, x, chosen.out)
            paths += made
            if not made:
                print(f"{panel.name}: no run has a measured {x}, so that figure is not drawn")
    device = profiles[0].device if profiles else None
    return [*paths, write_runs(table, chosen.out, "_".join(filter(None, ["runs", on(device)])))]


def _figures(chosen: argparse.Namespace) -> None:
    """Draw before printing, as the other commands; with --sweeps say what there is to train and for which preset."""
    runs = chosen.runs or RUNS
    sources = [choose(figure, chosen.preset, runs) for figure in FIGURES]
    if chosen.sweeps:
        for figure, source in zip(FIGURES, sources, strict=True):
            print(f"figure {figure.number}: {source.preset}, sweep {source.sweep} in {source.root}", file=sys.stderr)
        print(paper_cost([*FIGURES], runs), file=sys.stderr)
        print("\n".join(to_train(sources)))
        return
    tables = {root: loaded(root) for root in {source.root for source in sources}}
    paths = draw_schedules(chosen.out)
    found = {}
    for figure, source in zip(FIGURES, sources, strict=True):
        paths += draw_figure(figure, tables[source.root], source, chosen.out)
        found[figure.number] = runs_of(figure, tables[source.root], source.sweep)
    print(*(f"wrote {path}" for path in paths), claims_text(found), sep="\n")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `... | head` ends it without a word
    sys.exit(main())
