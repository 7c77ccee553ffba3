"""Which memory format, run-ahead and folding are faster here: measured shortly, kept in a file."""

from __future__ import annotations

import json
from typing import Any

import pytest
from configurations import plan_of, start

from freezeout.run import choices, choosing, identity
from freezeout.run.plan import Plan
from freezeout.run.profiling import EachPrefix, time_prefixes
from freezeout.savings.profile import Profile


@pytest.fixture
def plan(tmp_path) -> Plan:
    """Of a network of five stages."""
    config = start("strategy", "baseline") | {"out": str(tmp_path)}
    config["machine"] |= {"channels_last": False, "run_ahead": 5}  # of no concern to what is measured
    return plan_of(config)


@pytest.fixture
def timed(monkeypatch) -> list[tuple[Any, ...]]:
    """Invented seconds of a step in place of timed ones; one entry per visit."""
    visits: list[tuple[Any, ...]] = []

    def time_prefixes(plan: Plan, steps: int, *, prefixes) -> Profile:
        visits.append((plan.channels_last, plan.run_ahead, plan.fold, tuple(prefixes)))
        burst = 5.0 if len(visits) == 3 else 1.0  # somebody else's work falls into one visit
        format_, folded = 0.8 if not plan.channels_last else 1.0, 1.0 if plan.fold else FOLDED[0]
        return Profile([burst * format_ * folded * WINDOW[plan.run_ahead] for _ in prefixes])

    monkeypatch.setattr(choosing, "time_prefixes", time_prefixes)
    return visits


FOLDED = [1.5]
WINDOW = {1: 1.0, 2: 0.9, 5: 0.7, 10: 0.9}


def test_the_faster_values_are_chosen_written_and_said(plan, timed) -> None:
    said: list[str] = []
    choosing.choose(plan, said.append)
    path = identity.choices_path(plan)
    assert choices.read(path) == {"channels_last": False, "fold": True}
    written = json.loads(path.read_text())
    assert written["seconds"]["channels_last"] == pytest.approx({"true": 1.0, "false": 0.8})
    assert written["seconds"]["fold"] == pytest.approx({"true": 1.6, "false": 2.4})
    words = "channels_last=false (true 1.25 times as long), fold=true (false 1.50 times as long)"
    assert said == [f"choices: {words}: {path}; machine=measured trains with them"]


def test_candidates_take_turns_and_each_field_is_measured_under_the_values_chosen_before(plan, timed) -> None:
    choosing.choose(plan, lambda line: None)
    format_, fold = (0,), (2, 4)
    assert timed[1:] == [
        *((False, 1, True, format_), (True, 1, True, format_)),
        *((True, 1, True, format_), (False, 1, True, format_)),
        *((False, 1, True, format_), (True, 1, True, format_)),
        *((False, 1, False, fold), (False, 1, True, fold)),
        *((False, 1, True, fold), (False, 1, False, fold)),
        *((False, 1, False, fold), (False, 1, True, fold)),
    ]


def test_where_memory_allows_windows_the_fastest_is_chosen(plan, timed, monkeypatch) -> None:
    monkeypatch.setattr(Plan, "run_ahead", property(lambda self: self.config.machine.run_ahead or 10))  # as on CUDA
    said: list[str] = []
    choosing.choose(plan, said.append)
    assert choices.read(identity.choices_path(plan))["run_ahead"] == 5
    assert "run_ahead=5 (10 1.29, 1 1.43, 2 1.29 times as long)" in said[0]


def test_what_was_chosen_once_stands_until_its_file_is_deleted(plan, timed, monkeypatch) -> None:
    choosing.choose(plan, lambda line: None)
    before, visits, said = choices.read(identity.choices_path(plan)), len(timed), []
    monkeypatch.setattr("test_choosing.FOLDED", [0.5])
    choosing.choose(plan, said.append)
    assert len(timed) == visits
    assert "measured before; delete" in said[0]
    identity.choices_path(plan).unlink()
    choosing.choose(plan, lambda line: None)
    assert choices.read(identity.choices_path(plan)) == before | {"fold": False}


@pytest.mark.parametrize(("other", "chosen"), [(0.97, "other"), (0.99, "written"), (1.2, "written")])
def test_the_written_value_stands_unless_it_is_clearly_beaten(other: float, chosen: str) -> None:
    times = {True: 1.0, False: other}
    assert choosing.fastest(times) is (chosen == "written")


def test_measuring_ends_with_its_budget(plan, timed, monkeypatch) -> None:
    monkeypatch.setattr(choosing, "BUDGET", 0.0)
    choosing.choose(plan, lambda line: None)
    assert len(timed) == 1 + 2 + 2, "one round of each field"


def test_compiled_candidates_are_not_measured(plan, timed) -> None:
    plan.config.machine.compile = True
    said: list[str] = []
    choosing.choose(plan, said.append)
    assert "not measured with machine.compile=true" in said[0]
    assert not timed
    assert not identity.choices_path(plan).exists()


def test_a_network_that_runs_as_a_whole_has_a_memory_format_alone(plan) -> None:
    plan.counts = None
    assert [one.field for one in choosing.questions(plan)] == ["channels_last"]


@pytest.mark.parametrize(("prefixes", "held"), [((2, 4), (2, 2, 2, 4, 4, 4)), ((0, 3), (0, 0, 0, 3, 3, 3))])
def test_any_prefixes_can_be_timed(plan, prefixes, held) -> None:
    schedule = EachPrefix(prefixes=prefixes, each=3).schedule(5)
    assert tuple(schedule.prefix(step, 6) for step in range(6)) == held
    assert len(time_prefixes(plan, 2, prefixes=prefixes).seconds) == 2


def test_predict_measures_the_choices_and_then_the_profile_of_what_asked_for_them(
    monkeypatch, capsys, tmp_path, timed
) -> None:
    from freezeout import predict
    from freezeout.run import expected, profiling

    monkeypatch.chdir(tmp_path)
    seconds = [1.0, 0.9, 0.7, 0.5, 0.4]
    monkeypatch.setattr(profiling, "time_prefixes", lambda *_, **how: Profile(seconds, [0.0] * 5))
    words = ["model=wrn_10_1", "machine.device=cpu", "machine.threads=1", "t_0=0.5"]
    for asked in (["machine=measured"], []):
        predict.predict([*words, *asked], measure=True)
        assert "channels_last=false" in capsys.readouterr().out
    found = [json.loads(path.read_text()) for path in (tmp_path / "runs/profiles").glob("*.json")]
    profiles = [one for one in found if "stages" in one]
    assert len(found) == 3, "with the choices"
    assert {one["conditions"]["machine"]["channels_last"] for one in profiles} == {True, False}
    for asked, chosen in (("measured", False), ("auto", True)):
        config = start("strategy", "baseline") | {"out": "runs"}
        config["machine"] |= {"channels_last": None, "fold": None, "measured": True} if asked == "measured" else {}
        plan = plan_of(config)
        assert plan.channels_last is chosen
        assert expected.stored_profile(plan).seconds == seconds
