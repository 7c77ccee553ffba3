"""The commands of `python -m analysis` and their arguments."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path

from freezeout.checks import check_writable
from freezeout.parser import Parser

from . import PROGRAM, RECORDS
from .axes import AXES

PRESETS = ("quick", "paper", "cached")
SORTS = ("error", "seconds")
JUDGING = ("pareto", "table", "verdicts", "recommend", "methods", "report", "overview", "figures")  # give verdicts
TOLERANCE = 0.03  # default tolerated increase of the error for the page's advice
ABOUT = "Reads records, and shows, draws or compares what is in them; nothing is trained."


def parser() -> Parser:
    """The parser of the command line; its result's `command` is the name of the chosen command."""
    found = Parser(prog=PROGRAM, description=ABOUT)
    commands = found.add_subparsers(dest="command", required=True)

    def add(name: str, text: str, *, out: str | None = None, runs: str = "runs") -> Parser:
        command = commands.add_parser(name, help=text, description=text)
        if runs:
            command.add_argument("--runs", type=_folder, help=f"the folder of records (default: {runs})")
        if out:
            command.add_argument("--out", type=_written, default=Path(out), help=f"where to write (default: {out})")
        return command

    kept = "runs; with --profile the kept records"
    several = "these sweeps only (default: all); --sweep A --sweep B compares two in one plot"
    command = add(
        "pareto",
        "draw each sweep's Pareto plots, verdicts and savings, and print its table",
        out="figures",
        runs=kept,
    )
    command.add_argument("--sweep", action="append", default=[], metavar="NAME", help=several)
    command.add_argument("--x", choices=[*AXES, "both"], default="both", help="what the error is plotted against")
    measured = "step times of your device, from `freezeout.predict --measure`: recompute training times from them; "
    measured += "one file per network, and another for strategy.bn=train"
    command.add_argument("--profile", type=Path, nargs="+", default=[], metavar="FILE", help=measured)
    command = add("table", "print the table without drawing")
    command.add_argument("--sweep", action="append", default=[], metavar="NAME", help=several)
    command.add_argument("--latex", action="store_true", help="as LaTeX, one booktabs table per panel")
    command.set_defaults(profile=[])
    text = "compare the error of every arm with that of the plain network trained for as long, with intervals"
    command = add("verdicts", text, runs=kept)
    command.add_argument("--json", action="store_true", help="print the same as JSON")
    command.add_argument("--out", type=_written, metavar="FOLDER", help="also draw them into this folder")
    text = "say in one sentence how much time can be saved within a tolerated increase of the error"
    advice = add("recommend", text, runs=kept)
    tolerated = "tolerated increase of the error, relative to the full baseline's"
    advice.add_argument("--tolerance", type=_share, required=True, metavar="P%", help=f"{tolerated}, as in 3%%")
    text = "write a methods paragraph for each panel from its records: how its runs were trained and judged"
    written = add("methods", text, runs=kept)
    written.add_argument("--latex", action="store_true", help="with LaTeX's special characters escaped")
    text = "write everything as one interactive page, report.html, that works offline"
    page = add("report", text, out="figures", runs="runs; the kept records with --profile or where there are no runs")
    words = f"{tolerated} (default: 3%%)"
    page.add_argument("--tolerance", type=_share, default=TOLERANCE, metavar="P%", help=words)
    for judged in (command, advice, written, page):
        if judged is not advice:
            words = "a relative difference of the error that counts as equal, as in 1.5%%"
            judged.add_argument("--margin", type=_share, metavar="P%", help=words)
        judged.add_argument("--sweep", action="append", default=[], metavar="NAME", help=several)
        judged.add_argument("--profile", type=Path, nargs="+", default=[], metavar="FILE", help=measured)
    command = add(
        "overview", "draw the verdicts of all panels in one figure, each sweep judged by itself", out="figures"
    )
    command.add_argument(
        "--sweep", action="append", default=[], metavar="NAME", help="these sweeps only, in this order"
    )
    text = (
        "count the runs of every sweep: done, running (where, time left), failed, diverged (why), missing; time spent"
    )
    command = add("status", text, runs="")
    folders = "the folders of records (default: runs)"
    command.add_argument("--runs", type=_folder, nargs="+", action="extend", default=[], help=folders)
    anew = "print it again every SECONDS (default: 5) until all runs have ended, or Ctrl-C"
    command.add_argument("--watch", type=_count, nargs="?", const=5, metavar="SECONDS", help=anew)
    command.add_argument("--sweep", action="append", default=[], metavar="NAME", help="these sweeps only")
    command = add("runs", "list the runs that match some conditions, and the commands that repeat them")
    asked = "conditions on keys of the configuration, sweep, status, ..., as in strategy=freezeout t_0=0.5,0.8"
    command.add_argument("--where", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=asked)
    command.add_argument("--sort", choices=SORTS, help="smallest first")
    command.add_argument("--limit", type=_count, metavar="N", help="show N runs at most")
    command = add("diff", "list the keys that make the names of two runs differ")
    where = "a run's folder, its record.json, or its id"
    command.add_argument("first", type=Path, metavar="RUN", help=where)
    command.add_argument("second", type=Path, metavar="RUN", help=where)
    text = "draw how the training time of one run divides into parts, over t"
    command = add("timeline", text, out="figures", runs="")
    command.add_argument("run", type=Path, metavar="RUN", help="the run's folder, or its record.json")
    command = add("rates", "draw the learning rates of a strategy; needs no records", out="figures", runs="")
    command.add_argument("words", nargs="*", metavar="KEY=VALUE", help="as in strategy=freezeout t_0=0.5")
    command.add_argument(
        "--stages", type=_count, default=5, metavar="N", help="number of stages of the network (default: 5)"
    )
    command.add_argument("--base", type=_rate, default=0.1, metavar="RATE", help="the base rate (default: 0.1)")
    command = add("figures", "redraw the paper's figures, and compare its claims with the runs", out="figures/paper")
    command.add_argument("--preset", choices=PRESETS, help="default: cached where records are kept, else quick")
    command.add_argument("--sweeps", action="store_true", help="draw nothing; print the sweeps that must be trained")
    text = "keep the records of a sweep's finished runs, for --preset cached and for sweep files with packed: true"
    command = add("archive", text)
    command.add_argument("--sweep", required=True, help="name of the sweep")
    command.add_argument(
        "--out", type=_written, default=RECORDS, help="default: the records that come with the program"
    )
    whole = "leave out seeds that have unfinished runs, so that all arms of a seed are trained on one machine"
    command.add_argument("--whole-seeds", action="store_true", help=whole)
    text = "judge although runs of a sweep are still to do: for one that will not be finished (stopping for another "
    text += "reason than its errors is no peeking)"
    for name in JUDGING:
        commands.choices[name].add_argument("--unfinished", action="store_true", help=text)
    commands.metavar = f"{{{','.join(commands.choices)}}}"  # shown by the error of a call without a command
    return found


def _folder(text: str) -> Path:
    """A folder of records, which may not exist yet."""
    path = Path(text)
    if path.is_file():
        up = "../../.." if path.name == "record.json" else ".."  # runs/NAME/SEED/record.json
        raise argparse.ArgumentTypeError(f"{text}: is a file; give its folder: --runs {os.path.normpath(path / up)}")
    return path


def _written(text: str) -> Path:
    """A folder to write to, which may not exist yet."""
    try:
        check_writable(text, text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return Path(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number of at least 1")
    return int(text)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: must be a number above 0")
    return rate


def _share(text: str) -> float:
    """0.03 of `3%`."""
    try:
        share = float(text.removesuffix("%")) / 100 if text.endswith("%") else math.nan
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be per cent of the error, above 0 and below 100, as in 3%")
    return share
