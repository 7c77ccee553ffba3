"""The commands of `python -m analysis`, by name; nothing is trained."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

from freezeout.naming import counted

from . import RECORDS, RUNS
from .archive import archive
from .claims import claims_text, panel_of
from .collect import collect, find_record
from .comparisons import on, panels
from .drawing import draw_panels
from .figure1 import draw_schedules
from .figures import draw_figure
from .judging import judged_panel, judged_panels, judged_table
from .latex import escaped, latex_table
from .load import NothingToDrawError, load, write_runs
from .methods import paragraph
from .overview import draw_overview
from .panel_verdicts import document
from .paper import FIGURES
from .presets import choose, loaded, paper_cost, to_train
from .profiles import read_profiles
from .rates import draw_rates
from .recommend import command, sentence
from .report.page import write_report
from .run_diff import diff_text
from .run_list import runs_text
from .status import show
from .summary import left_out_text, next_text, panel_text
from .text import from_here, wrapped
from .timeline import timeline
from .verdict_plot import draw_verdicts
from .verdict_text import verdict_text


def _verdicts(chosen: argparse.Namespace) -> None:
    table, found = judged_table(chosen.runs, chosen.profile, chosen.sweep, chosen.margin, unfinished=chosen.unfinished)
    if chosen.json:
        print(json.dumps({"panels": [document(one) for one in found]}, indent=2))
    else:
        print("\n\n".join(verdict_text(one) for one in found))
        if reasons := left_out_text(table):
            print(reasons)
    for path in [path for one in found if chosen.out for path in draw_verdicts(one, chosen.out)]:
        print(f"wrote {path}", file=sys.stderr if chosen.json else sys.stdout)


def _overview(chosen: argparse.Namespace) -> None:
    root = chosen.runs or RUNS
    records = collect(root)
    wanted = [[name] for name in chosen.sweep] or [[]]
    anyway = chosen.unfinished
    found = [one for own in wanted for one in judged_panels(root, sweeps=own, records=records, unfinished=anyway)]
    paths = draw_overview(found, chosen.out)
    print("\n".join(f"wrote {path}" for path in paths) or "nothing to draw: no arm can be set against a curve")


def _recommend(chosen: argparse.Namespace) -> None:
    found = judged_panels(chosen.runs, chosen.profile, chosen.sweep, unfinished=chosen.unfinished)
    for one in found:
        print(sentence(one, chosen.tolerance))
        if told := command(one, chosen.tolerance):
            print(f"  {told}")


def _report(chosen: argparse.Namespace) -> None:
    there = RUNS.is_dir()  # a fresh checkout has no runs, and still a page to show
    root = chosen.runs or (RECORDS if chosen.profile or not there else RUNS)
    path = write_report(
        root,
        chosen.out,
        profile=chosen.profile,
        sweeps=chosen.sweep,
        margin=chosen.margin,
        tolerance=chosen.tolerance,
        unfinished=chosen.unfinished,
    )
    kept = "kept " if root == RECORDS else ""
    why = "" if chosen.runs or there else f", as there is no folder {RUNS}"
    print(f"wrote {path} from the {kept}records in {from_here(root)}{why}")


def _methods(chosen: argparse.Namespace) -> None:
    root = chosen.runs or (RECORDS if chosen.profile else RUNS)
    records = collect(root)
    given = (root, chosen.profile, chosen.sweep, chosen.margin, records)
    found = [paragraph(one, records) for one in judged_panels(*given, unfinished=chosen.unfinished)]
    print("\n\n".join(escaped(text) if chosen.latex else "\n".join(wrapped(text)) for text in found))


def _archive(chosen: argparse.Namespace) -> None:
    kept = archive(chosen.runs or RUNS, chosen.sweep, chosen.out, whole_seeds=chosen.whole_seeds)
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
    if chosen.command == "table" and chosen.latex:
        found = judged_panels(chosen.runs, chosen.profile, chosen.sweep, unfinished=chosen.unfinished)
        print("\n\n".join(latex_table(one) for one in found))
        return
    profiles = read_profiles(chosen.profile)
    root = chosen.runs or (RECORDS if profiles else RUNS)
    table = load(root, profiles, chosen.sweep)
    drawn = panels(table, profiles[0].device if profiles else None, unfinished=chosen.unfinished)
    if not drawn and profiles:
        why, files = left_out_text(table).replace("\n", "; "), " ".join(map(str, chosen.profile))
        raise NothingToDrawError(f"--profile {files}: nothing in {root} can be redrawn: {why}")
    if not drawn:
        print(left_out_text(table))
        runs = f"all {len(table)} runs are" if len(table) > 1 else "the only run is"
        raise NothingToDrawError(f"--runs {root}: {runs} left out, so nothing can be drawn")
    # Draw before printing, so that the last lines on the screen are the ones to read.
    paths = []
    if chosen.command == "pareto":
        paths = draw_panels([judged_panel(one) for one in drawn], chosen.x, chosen.out, root)
        stem = "_".join(filter(None, ["runs", on(profiles[0].device if profiles else None)]))
        paths.append(write_runs(table, chosen.out, stem))
    print("\n\n".join(panel_text(panel) for panel in drawn))
    for text in (left_out_text(table), "\n".join(f"wrote {path}" for path in paths)):
        if text:
            print(text)
    print(next_text(root, set(table["sweep"])))


def _figures(chosen: argparse.Namespace) -> None:
    """Draw, then print the claims; with --sweeps only print the sweeps to train and the preset of each figure."""
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
        paths += draw_figure(figure, tables[source.root], source, chosen.out, unfinished=chosen.unfinished)
        found[figure.number] = panel_of(figure, tables[source.root], source.sweep, unfinished=chosen.unfinished)
    print(*(f"wrote {path}" for path in paths), claims_text(found), sep="\n")


COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    "pareto": _table,
    "table": _table,
    "verdicts": _verdicts,
    "overview": _overview,
    "recommend": _recommend,
    "methods": _methods,
    "status": _status,
    "runs": _runs,
    "diff": _diff,
    "timeline": _timeline,
    "rates": _rates,
    "figures": _figures,
    "archive": _archive,
    "report": _report,
}
