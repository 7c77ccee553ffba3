"""`limit=25m`: how it is written, and a single run that stops at it and goes on."""

from __future__ import annotations

import math
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from launched import WORDS, comparable, only_run

from freezeout import records
from freezeout.cli import command
from freezeout.run import limit
from freezeout.run.signals import Stop
from freezeout.run.state import Run


@pytest.mark.parametrize(
    ("given", "seconds"), [("90s", 90), ("25m", 1500), ("1.5h", 5400), (".5m", 30), ("90", 90), ("0.5", 0.5)]
)
def test_a_time_is_written_with_its_unit_or_as_seconds(given: str, seconds: float) -> None:
    assert limit.end_of(given, began=1000.0) == 1000 + seconds


def test_a_run_of_a_sweep_is_handed_the_moment_itself() -> None:
    assert limit.end_of(None, began=1000.0) == math.inf
    key, _, given = limit.handed_on(1764012214.5).partition("=")
    assert (key, limit.end_of(given, began=1000.0)) == ("limit", 1764012214.5)


@pytest.mark.parametrize("given", ["", "0", "0s", "-5m", "5 m", "25x", "1h30m", "inf", "nan", "m", "@", "9" * 400])
def test_what_is_no_time_is_refused_with_what_is(given: str) -> None:
    with pytest.raises(ValueError, match=f"^limit={given}: must be a time above 0: 90s, 25m, 1.5h or plain seconds$"):
        limit.end_of(given, began=0.0)


def test_a_run_pauses_at_the_limit_and_goes_on_to_the_same_bits(through: Path, freezeout, tmp_path, ticking) -> None:
    words = [*WORDS, "out=parts"]
    said = freezeout(*words, "limit=1m")
    folder = only_run(tmp_path / "parts")
    record = records.read_record(folder)
    stopped = record["segments"][-1]["step_to"]
    assert 40 < stopped <= 60
    assert (said.code, record["status"], record["error"]) == (0, "interrupted", None)
    assert record["reason"] == f"limit reached at step {stopped} of 140"
    assert said.out.endswith(f"interrupted: {record['reason']}; the same command resumes it\n")
    again = freezeout(*words)
    assert f"resumes from step {stopped} of 140" in again.err
    assert comparable(records.read_record(folder)) == comparable(records.read_record(through))
    a, b = (torch.load(f / "checkpoint.pt", weights_only=True)["model"] for f in (folder, through))
    assert all(torch.equal(a[key], b[key]) for key in b)


def test_the_limit_is_in_neither_the_record_nor_the_name_of_a_run(freezeout, tmp_path) -> None:
    freezeout("epochs=1", "limit=1h")
    record = records.read_record(only_run(tmp_path / "runs"))
    assert "limit" not in record["config"]
    assert "limit" not in record["command"]
    assert freezeout("epochs=1", "limit=2h").out.startswith("done before: ")


def test_a_run_stops_early_enough_for_what_it_may_have_to_do_first(freezeout, tmp_path, ticking, monkeypatch) -> None:
    def stopped(pause: float) -> int:
        monkeypatch.setattr(Run, "pause", pause)
        freezeout(*WORDS, f"out=pause{pause}", "limit=25s")
        return records.read_record(only_run(tmp_path / f"pause{pause}"))["segments"][-1]["step_to"]

    assert stopped(0) - stopped(10) == 10


def test_that_is_an_evaluation_a_checkpoint_and_a_step() -> None:
    training = SimpleNamespace(clock=SimpleNamespace(seconds=10.0), step=20)
    seconds = {"compile": 100.0, "evaluation": 6.0, "checkpoint": 2.0}
    begun = SimpleNamespace(seconds=seconds, epochs=[{}, {}], training=training)
    assert Run.pause.fget(begun) == (6 + 2) / 2 + 10 / 20


def test_a_signal_after_the_limit_is_the_first_one() -> None:
    stop = Stop(end=0.0)
    assert (stop.asked, str(stop)) == (True, "limit reached")
    with stop.on_signals():
        signal.raise_signal(signal.SIGTERM)
    assert str(stop) == "SIGTERM"


def test_a_run_of_a_sweep_that_comes_too_late_is_not_begun(monkeypatch) -> None:
    """In a launcher's process: the sweep itself hands over no such run."""
    config = SimpleNamespace(limit="@1000.0", sweep="mine")
    monkeypatch.setattr(command.configuration, "parse", lambda composed: config)
    left = command.task({"sweep": "mine"})
    assert isinstance(left, command.Left)
    assert left == "not begun within the limit"
