"""The final page: bounds that held, bounds MISSED, and work still to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.gpu.archive import LIMIT
from benchmarks.gpu.parts import Part
from benchmarks.gpu.results import Findings, findings, log_text, warnings
from benchmarks.gpu.state import State

FILE = "page.md"
MOST = 20  # warnings shown
REHEARSED = "**A rehearsal on a CPU: it shows that the parts run, and nothing about a GPU.**"


def text(parts: Sequence[Part], state: State, out: Path, left_out: Sequence[str]) -> str:
    """The page, in Markdown.

    Args:
        parts: All parts.
        state: Their outcomes.
        out: The folder of their results.
        left_out: The files that are not in the archive, a line each.
    """
    held, missed, owed, warned = [], [], [], []
    for part in parts:
        found, status = _found(part, out), state.status(part)
        outcome = state.parts.get(part.name)
        held += [f"{part.name}: {line}" for line in found.held]
        missed += [f"{part.name}: {line}" for line in found.missed]
        owed += [f"{part.name}: {line}" for line in found.owed]
        if outcome and status == "failed" and not found.missed:
            missed.append(f"{part.name}: {outcome.line} (logs/{part.name}.log); it is tried again")
        if status in ("owed", "begun", "cut") and not (part.open_ended and found.owed):
            before = f", {outcome.line} after {outcome.minutes:.1f}" if outcome and status == "cut" else ""
            needed = f"about {state.needed(part, parts):.1f} minutes"
            owed.append(f"{part.name}: {'as many minutes as are left' if part.open_ended else needed}{before}")
        warned += [f"{part.name}: {line}" for line in warnings(log_text(out, part))]
    owed += [f"not in the archive, which holds at most {LIMIT / 2**20:g} MiB: {line}" for line in left_out]
    done = sum(state.status(part) == "done" for part in parts)
    sections = [
        "# The GPU's first half hour",
        *([REHEARSED] if state.rehearsal else []),
        f"{done} of {len(parts)} parts are done; logs, results and records lie beside this page.",
        "\n".join(_calls(state)),
        _section("Held", held, "Nothing so far."),
        _section("MISSED", missed, "Nothing."),
        _section("Still owed", owed, "Nothing."),
        *([_section("Warnings in the logs", warned[:MOST], "")] if warned else []),
    ]
    return "\n\n".join(sections) + "\n"


def _found(part: Part, out: Path) -> Findings:
    try:
        return findings(part, out)
    except (ValueError, KeyError, TypeError, OSError) as error:
        return Findings(missed=[f"its results cannot be read: {type(error).__name__}: {error}"])


def _section(title: str, lines: Iterable[str], none: str) -> str:
    return f"## {title}\n\n" + ("\n".join(f"- {line}" for line in lines) or none)


def _calls(state: State) -> list[str]:
    """A table of the calls: when, how long, on what and of which commit."""
    rows = ["| call | minutes | device | versions | commit | command |", "| --- | --- | --- | --- | --- | --- |"]
    for call in state.calls:
        machine = call["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        commit = (machine["commit"] or "unknown")[:12] + (", changed" if machine["dirty"] else "")
        cells = (call["started"], f"{call['minutes']:g}", machine["device"], versions, commit, f"`{call['command']}`")
        rows.append(f"| {' | '.join(cells)} |")
    return rows
