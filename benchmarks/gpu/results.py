"""The results of a part, read from its files: what held, what was missed, what is still to do."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.gpu.parts import Part
from freezeout.naming import counted
from freezeout.records import is_finished, read_record, record_paths, run_folder, sweep_path

# A line of pytest -v, and one of its summary at the end (which has the reason).
TEST = re.compile(r"^(\S+::.+?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b", re.MULTILINE)
REASON = re.compile(r"^(?:FAILED|ERROR) (\S+::.+?)(?: - (.*))?$", re.MULTILINE)
SKIP = re.compile(r"^SKIPPED (\[\d+\] .*)$", re.MULTILINE)
UNCOLLECTED = re.compile(r"^ERROR (\S+\.py)(?: - (.*))?$", re.MULTILINE)
SWEEP = re.compile(r"^sweep (\S+): \d+ run", re.MULTILINE)
WARNING = re.compile(r"^.*\b(?:\w*Warning|warning): .*$", re.MULTILINE)


@dataclass
class Findings:
    """The findings in a part's files.

    Attributes:
        line: All of it in a few words.
        held: A line for each thing that held or was measured.
        missed: A line for each thing that did not hold.
        owed: A line for each thing that is still to do.
    """

    line: str = ""
    held: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    owed: list[str] = field(default_factory=list)


def log_path(out: Path, part: Part) -> Path:
    return out / "logs" / f"{part.name}.log"


def log_text(out: Path, part: Part) -> str:
    """What the part printed the last time it was begun; "" if it never was."""
    path = log_path(out, part)
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def last_line(text: str) -> str:
    """The last line that says anything: of a traceback, the exception."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def warnings(text: str) -> list[str]:
    """Each line of a log that warns, once."""
    return list(dict.fromkeys(line.strip()[:300] for line in WARNING.findall(text)))


def findings(part: Part, out: Path) -> Findings:
    """The findings of the part in the folder `out`, even if it was cut short."""
    read = {"tests": _tests, "benchmark": _benchmark, "epoch": _epoch, "profile": _profile, "sweep": _sweep}
    return read[part.kind](part, out)


def _tests(part: Part, out: Path) -> Findings:
    text = log_text(out, part)
    outcomes = dict(TEST.findall(text))
    if not outcomes and not UNCOLLECTED.search(text):
        return Findings()
    reasons = dict(REASON.findall(text))
    passed = sum(outcome == "PASSED" for outcome in outcomes.values())
    bad = [name for name, outcome in outcomes.items() if outcome in ("FAILED", "ERROR", "XPASS")]
    skipped = sum(outcome == "SKIPPED" for outcome in outcomes.values())
    missed = [f"{name}: {reasons.get(name) or 'see the log'}" for name in bad]
    missed += [f"{file}: cannot be collected: {reason or 'see the log'}" for file, reason in UNCOLLECTED.findall(text)]
    line = f"{passed} passed, {len(missed)} failed, {skipped} skipped"
    return Findings(line, [counted(passed, "test") + " passed"], missed, [f"skipped: {x}" for x in SKIP.findall(text)])


def _benchmark(part: Part, out: Path) -> Findings:
    path = out / "benchmark" / part.name / "benchmark.json"
    bounds: list[Mapping[str, Any]] = _json(path).get("bounds", [])
    if not bounds:
        return Findings()

    def said(bound: Mapping[str, Any]) -> str:
        return f"{bound['network']}: {bound['what']}: {bound['value']:.3f}, must be {bound['sense']} {bound['limit']:g}"

    missed = [said(bound) for bound in bounds if not bound["ok"]]
    aims = [said(bound) for bound in bounds if bound["ok"] and bound["sense"] == ">="]  # the others say "no worse"
    line = f"{counted(len(bounds), 'bound')}, {len(missed)} missed"
    return Findings(line, [f"{len(bounds) - len(missed)} of {counted(len(bounds), 'bound')} met", *aims], missed)


def _epoch(part: Part, out: Path) -> Findings:
    network = part.name.removeprefix("epoch-")
    records = {str(path): read_record(path) for path in record_paths(out / "epochs")}
    runs = _of_sweep(part, out, "epochs")
    done = {run: records[run] for run in runs if (records.get(run) or {}).get("status") == "done"}
    held = [f"{network}, {r['config']['strategy']['name']}: {_seconds(r)}" for r in done.values() if r]
    line = "; ".join(h.removeprefix(f"{network}, ") for h in held)
    return Findings(line, held)


def _seconds(record: Mapping[str, Any]) -> str:
    memory = record["peak_memory"]
    held = f", at most {memory / 2**20:.0f} MiB held" if memory else ""
    if record["device"]["type"] == "cuda":
        # So short a run is no measure of a long one's seconds: most of its prefixes end before a capture would pay.
        eager = sum(block["step_to"] - block["step_from"] for block in record["prefixes"] if "graph" not in block)
        held += f", {eager} of the steps at prefixes too short to be captured" if eager else ""
    return f"{record['steps']} steps in {record['seconds']['train']:.1f} s{held}"


def _profile(part: Part, out: Path) -> Findings:
    found = re.findall(r"^profile: (.+?) \((.+)\)$", log_text(out, part), re.MULTILINE)
    lines = [f"{Path(path).name}: {how}" for path, how in found]
    return Findings("; ".join(lines), lines)


def _sweep(part: Part, out: Path) -> Findings:
    runs = _of_sweep(part, out, "runs")
    if not runs:
        return Findings()
    records = [read_record(Path(run)) for run in runs]
    finished = sum(is_finished(record) for record in records)
    missed = [
        f"{run}: {record['reason']}"
        for run, record in zip(runs, records, strict=True)
        if record and record["status"] == "failed"
    ]
    line = f"{finished} of {counted(len(runs), 'run')} done"
    owed = [f"{counted(len(runs) - finished, 'run')} of {len(runs)}"] if finished < len(runs) else []
    return Findings(line, [line], missed, owed)


def _of_sweep(part: Part, out: Path, folder: str) -> list[str]:
    """The folders of the runs that the part's sweep consists of, begun or not."""
    names = SWEEP.findall(log_text(out, part))
    if not names:
        return []
    root = out / folder
    ids = [entry["run_id"].rpartition("-") for entry in _json(sweep_path(root, names[-1])).get("runs", [])]
    return [str(run_folder(root, name, int(seed))) for name, _, seed in ids]


def _json(path: Path) -> dict[str, Any]:
    """A document that a part wrote; {} if it has not come so far."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
