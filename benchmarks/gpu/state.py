"""The outcomes of the parts over all calls: a JSON file that stays readable after a kill at any moment."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.gpu.parts import Part
from freezeout.records import write_json_atomic

FILE = "state.json"
LEAST = 0.5  # a part that was quicker than this share of what it was taken to need says little of the others
AGAIN = 1.5  # what a part that was stopped after some minutes may need, in those minutes


@dataclass
class Outcome:
    """The outcome of a part the last time it was started.

    Attributes:
        status: "begun" (and killed, where no process runs it any more), "done", "failed" or "cut".
        started: ISO 8601.
        minutes: Minutes that it took.
        expected: Minutes that it was expected to take on an H100.
        line: One line on the outcome.
    """

    status: str
    started: str
    minutes: float = 0.0
    expected: float = 0.0
    line: str = ""


@dataclass
class State:
    """The state of a half hour.

    Attributes:
        rehearsal: Whether it is a rehearsal.
        parts: The outcome of each part that was ever begun, by its name.
        calls: Each call's "started", "minutes", "command" and "machine".
    """

    rehearsal: bool
    parts: dict[str, Outcome] = field(default_factory=dict)
    calls: list[dict[str, Any]] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        write_json_atomic(folder / FILE, asdict(self))

    def status(self, part: Part) -> str:
        """The status of a part; "owed" if it was never begun."""
        return self.parts[part.name].status if part.name in self.parts else "owed"

    def waiting(self, parts: Iterable[Part]) -> list[Part]:
        """The parts that are not done, in the order in which a call tries them.

        Failed parts come after the others. Last come those that take all the time left, always in their order: a
        failed run of the first must not give its minutes to the second.
        """
        todo = [part for part in parts if self.status(part) != "done"]
        return sorted(todo, key=lambda part: (part.open_ended, not part.open_ended and self.status(part) == "failed"))

    def needed(self, part: Part, parts: Iterable[Part]) -> float:
        """Minutes that a part should take here, from the times of its kind and its own progress so far."""
        if part.open_ended:
            return part.minutes
        alike = [self.parts[p.name] for p in parts if p.kind == part.kind and self.status(p) == "done"]
        pace = max(LEAST, statistics.median(o.minutes / o.expected for o in alike)) if alike else 1.0
        before = self.parts.get(part.name)
        stopped = AGAIN * before.minutes if before and before.status == "cut" else 0.0
        return max(part.minutes * pace, stopped)


def read(folder: Path, *, rehearsal: bool) -> State:
    """The state in `folder`; a new one where there is none.

    Raises:
        ValueError: In one line: the file is damaged, or of a rehearsal where none is asked for, or the other way.
    """
    path = folder / FILE
    if not path.exists():
        return State(rehearsal)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        parts = {name: Outcome(**outcome) for name, outcome in found["parts"].items()}
        state = State(bool(found["rehearsal"]), parts, list(found["calls"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not the state of a GPU session ({error}); name another folder with --out") from error
    if state.rehearsal != rehearsal:
        what = "a rehearsal's" if state.rehearsal else "a GPU's"
        raise ValueError(f"{path}: {what} results; name another folder and archive with --out and --archive")
    for outcome in state.parts.values():
        if outcome.status == "begun":
            outcome.status, outcome.line = "cut", "killed"
    return state
