"""`limit=25m` of a sweep: what fits is done, what does not is left, said and done by the same command later."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from launched import comparable
from test_forecast import plan
from test_launching import Launcher, jobs

from freezeout import records
from freezeout.cli import launching
from freezeout.cli.deadline import Deadline
from freezeout.cli.forecast import Rates, steps_of
from freezeout.cli.launching import Left
from freezeout.run import limit

WORDS = ["-m", "strategy=baseline,freezeout", "seed=0,1", "epochs=1"]


def found(root: Path) -> dict[str, dict]:
    """What the records and checkpoints of a sweep say, but for what differs by nature."""
    kept = {}
    for path in sorted(root.glob("*/*/record.json")):
        weights = torch.load(path.with_name("checkpoint.pt"), weights_only=True)["model"]
        numbers = torch.cat([w.flatten().double() for w in weights.values()]).tolist()
        kept[str(path.relative_to(root))] = comparable(json.loads(path.read_text())) | {"weights": numbers}
    return kept


@pytest.mark.slow
def test_a_limited_sweep_given_again_leaves_what_an_undisturbed_one_leaves(freezeout, tmp_path, ticking) -> None:
    first = freezeout(*WORDS, "limit=20")
    assert first.code == 0, first.err
    assert re.search(r"\[1/4\] .*: interrupted: limit reached at step 1\d of 28$", first.err, re.MULTILINE)
    last = first.err.splitlines()[-1]
    half = r"1 started \((baseline|freezeout cubic scaled t_0=0.8) seed=0 at step 1\d of 28\)"
    assert re.fullmatch(
        rf"limit=20: 4 of 4 runs left, 3 not begun, {half}: no forecast yet; the same command resumes", last
    )
    assert "0 of 2, 1 interrupted, 1 not done yet" in first.out, "the table is shown"

    second = freezeout(*WORDS, "limit=60s")
    assert second.code == 0, second.err
    assert "0 done before, 4 to do (1 resumed)" in second.err
    assert len(re.findall(r"^\[./4\] .*: error", second.err, re.MULTILINE)) == 2, (
        "12 steps, then 28; 28 more do not fit"
    )
    last = second.err.splitlines()[-1]
    assert re.fullmatch(
        r"limit=60s: 2 of 4 runs left, 2 not begun: about \d+ s by the forecast; the same command resumes", last
    )
    assert freezeout(*WORDS).code == 0
    assert freezeout(*WORDS, "out=whole").code == 0
    assert found(tmp_path / "runs") == found(tmp_path / "whole") != {}
    lists = [list((tmp_path / out / "sweeps").glob("*.json")) for out in ("runs", "whole")]
    assert [len(own) for own in lists] == [1, 1], "the limit makes no sweep of its own"
    assert lists[0][0].name == lists[1][0].name


def test_nothing_is_said_of_a_limit_that_suffices(freezeout) -> None:
    for given in ("limit=1h", "limit=0.001"):  # the second time there is nothing to do
        said = freezeout("-m", "strategy=baseline", "epochs=1", given)
        assert said.code == 0
        assert "limit" not in said.err


def test_a_sweep_has_one_limit(freezeout, tmp_path) -> None:
    said = freezeout("-m", "limit=5m,10m", "epochs=1")
    assert (said.code, said.err) == (2, "freezeout: limit=5m,10m: must be the same in all runs\n")
    assert not list(tmp_path.iterdir())


def test_a_run_that_failed_is_a_failure_beside_those_that_are_left(freezeout, ticking, monkeypatch) -> None:
    monkeypatch.setattr("freezeout.run.runner.conclude", lambda *_: 1 / 0)
    said = freezeout("-m", "epochs=1", "strategy=baseline", "seed=0,1,2,3", "limit=40")
    assert said.code == 1
    assert re.search(r"^limit=40: \d of 4 runs left, ", said.err, re.MULTILINE)
    failed, left = (int(re.search(p, said.err)[1]) for p in (r"(\d) of 4 runs failed", r"(\d) of 4 runs left"))
    assert failed + left == 4


class Known:
    """Seconds of runs as a table gives them; plans are names here."""

    def __init__(self, **seconds: float | None) -> None:
        self.known = seconds

    def seconds(self, name: str, done: int) -> float | None:
        return self.known[name]

    def work(self, name: str, done: int) -> float:
        return 1.0


@pytest.fixture
def at(monkeypatch) -> SimpleNamespace:
    """The clock; jobs set it forward."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(limit, "now", lambda: clock.now)
    return clock


def deadline(given: str, todo: list, **seconds: float | None) -> Deadline:
    return Deadline(given, 1000.0, {job.run_id: job.run_id[0] for job in todo}, Known(**seconds))


def test_a_run_that_does_not_fit_is_passed_over_for_a_shorter_one(tmp_path, at, capsys) -> None:
    todo = jobs(tmp_path, names="abcd", seeds=(0,))

    def half_a_minute() -> None:
        at.now += 30

    launcher = Launcher("fine", "fine", "fine", first=half_a_minute)
    launching.launch(todo, launcher, deadline("80s", todo, a=30, b=60, c=40, d=None), here=True)
    assert launcher.launched == [["name=a"], ["name=c"], ["name=d"]], "d: nobody knows, and there is time"
    assert [job.left for job in todo] == [False, True, False, False]
    assert "[3/4] fine; less than a minute left" in capsys.readouterr().err


def test_no_run_is_begun_after_the_limit_also_where_nobody_knows_how_long_it_takes(tmp_path, at) -> None:
    todo = jobs(tmp_path, names="a", seeds=(0,))
    at.now += 60
    launcher = Launcher()
    launching.launch(todo, launcher, deadline("1m", todo, a=None), here=True)
    assert launcher.launched == []
    assert todo[0].left


def test_processes_elsewhere_are_handed_what_fits_and_the_moment_of_the_end(tmp_path, at) -> None:
    todo = jobs(tmp_path, names="abc", seeds=(0,))
    launcher = Launcher("fine", Left("interrupted: limit reached at step 3 of 9"))
    end = deadline("1m", todo, a=30, b=70, c=50)
    launching.launch(todo, launcher, end, here=False)
    assert launcher.launched == [["name=a"], ["name=c"]]
    assert [job.left for job in todo] == [False, True, True]
    assert end.handed_on == ["limit=@1060.000"]


def test_a_sweep_hands_its_runs_the_moment_at_which_it_has_to_be_done(freezeout, monkeypatch, at) -> None:
    seen = []
    monkeypatch.setattr("freezeout.cli.sweeper.Arms.launch", lambda self, todo, *rest: seen.extend(todo))
    monkeypatch.setattr("freezeout.cli.sweeper.report_failures", lambda jobs: None)
    freezeout(*WORDS, "limit=25m")
    assert {job.overrides[-1] for job in seen} == {"limit=@2500.000"}
    seen.clear()
    freezeout(*WORDS)
    assert not [o for job in seen for o in job.overrides if o.startswith("limit")]


def test_a_run_that_needs_more_than_the_limit_is_said_to(tmp_path, at) -> None:
    todo = jobs(tmp_path, names="abc", seeds=(0,))

    def half_a_minute() -> None:
        at.now += 30

    end = deadline("1m", todo, a=30, b=80, c=50)
    launching.launch(todo, Launcher("fine", first=half_a_minute), end, here=True)
    assert end.left(todo) == (
        "limit=1m: 2 of 3 runs left, 2 not begun: about 2.2 min by the forecast; "
        "one run alone needs about 80 s, more than the limit leaves for it; the same command resumes"
    )


def test_a_command_that_would_never_begin_what_is_left_is_not_said_to_go_on(tmp_path, at) -> None:
    todo = jobs(tmp_path, names="abc", seeds=(0,))
    launching.launch(todo, Launcher("fine"), end := deadline("1m", todo, a=30, b=80, c=70), here=True)
    assert end.left(todo) == (
        "limit=1m: 2 of 3 runs left, 2 not begun: about 2.5 min by the forecast; "
        "one run alone needs about 80 s, more than the limit leaves for it; none of them fits: give a longer limit"
    )


def test_what_the_command_itself_takes_is_not_counted_as_time_for_a_run(tmp_path, at) -> None:
    todo = jobs(tmp_path, names="a", seeds=(0,))
    end = deadline("1m", todo, a=55)
    at.now += 10
    launching.launch(todo, Launcher(), end, here=True)
    assert todo[0].left
    assert end.left(todo).endswith("more than the limit leaves for it; none of them fits: give a longer limit")


def test_the_forecast_is_mended_by_the_runs_that_end(tmp_path, at) -> None:
    first, second = jobs(tmp_path, names="ab", seeds=(0,))
    plans = {first.run_id: plan("strategy=baseline"), second.run_id: plan("t_0=0.5")}
    rates = Rates()
    rates.expect(plans[first.run_id], 1.0, 1)

    def trained() -> None:
        at.now += 60
        record = {"schema_version": records.SCHEMA_VERSION, "status": "done", "segments": [{"step_to": 56}]}
        records.write_json_atomic(first.folder / "record.json", record)

    assert rates.seconds(plans[second.run_id]) == steps_of(plans[second.run_id])
    end = Deadline("2h", 1000.0, plans, rates)
    with end.mended(first):
        trained()
    share = steps_of(plans[second.run_id]) / steps_of(plans[first.run_id])
    assert rates.seconds(plans[second.run_id]) == pytest.approx(60 * share)
    assert not Deadline(f"{(1060 - 1000) + 59 * share}", 1000.0, plans, rates).lets_begin(second)
    assert Deadline(f"{(1060 - 1000) + 61 * share}", 1000.0, plans, rates).lets_begin(second)


def test_a_run_that_goes_on_needs_and_tells_what_is_left_of_it() -> None:
    frozen, rates = plan("t_0=0.5", "epochs=10"), Rates()
    whole, half, end = (steps_of(frozen, done) for done in (0, 140, 280))
    assert whole - half > 1.2 * (half - end), "with stages frozen a step takes less"
    assert end > 0, "of what is measured once, after the last step"
    rates.mend(frozen, 10.0, done=140)
    assert rates.seconds(frozen, done=140) == pytest.approx(10)
    assert rates.seconds(frozen) == pytest.approx(10 * whole / half)
    assert rates.seconds(plan("t_0=0.5", "epochs=10", "model=densenet_bc_16_4")) is None


def test_one_run_in_which_the_machine_slept_does_not_make_all_runs_long() -> None:
    whole, rates = plan("strategy=baseline", "epochs=10"), Rates()
    for seconds in (10.0, 12.0, 1800.0):
        rates.expect(whole, seconds, steps_of(whole))
    assert rates.seconds(whole) == pytest.approx(12)


def test_what_is_left_of_a_run_is_its_work(tmp_path, monkeypatch) -> None:
    (job,) = jobs(tmp_path, names="a", seeds=(0,))
    frozen = plan("t_0=0.5", "epochs=10")
    end = Deadline(None, 0.0, {job.run_id: frozen}, Rates())
    assert end.work(job) == steps_of(frozen)
    monkeypatch.setattr("freezeout.cli.deadline.steps_done", lambda job: 140)
    assert end.work(job) == steps_of(frozen, 140)


def test_runs_that_were_done_before_tell_how_long_others_take(freezeout, ticking, monkeypatch) -> None:
    freezeout("-m", "strategy=baseline", "epochs=1")
    hasty = freezeout("-m", "strategy=baseline", "epochs=1", "seed=0,1", "sweep=mine", "limit=1")
    assert re.search(r"1 not begun: about \d+ s by the forecast", hasty.err), "by the record's own clock"
    monkeypatch.setattr("freezeout.cli.forecast.WORTH", 1)
    said = freezeout("-m", "strategy=baseline", "epochs=1", "seed=0,1", "sweep=mine")
    assert re.search(
        r"^about \d+ s for 1 run, one after another \(from the runs that are done\)", said.err, re.MULTILINE
    )
