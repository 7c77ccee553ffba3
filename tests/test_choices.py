"""Measured choices: found by the plans of the runs that ask for them, and by no others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from configurations import plan_of, start
from made_records import find_records

from freezeout.cli.planning import Plans
from freezeout.run import choices, identity
from freezeout.run.config import ConfigError
from freezeout.run.plan import Plan

MEASURED = {"channels_last": None, "fold": None, "run_ahead": None, "measured": True}
CHOSEN = {"channels_last": False, "fold": True}


def planned(out: Path, **machine: Any) -> Plan:
    config = start("strategy", "freezeout") | {"out": str(out)}
    config["machine"] |= machine
    return plan_of(config)


def values(plan: Plan) -> tuple[bool, bool, int]:
    return plan.channels_last, plan.fold, plan.run_ahead


def test_a_run_that_asks_for_measured_choices_gets_them_and_no_other_run_does(tmp_path) -> None:
    own = identity.name(planned(tmp_path))
    choices.write(identity.choices_path(planned(tmp_path)), {"channels_last": False, "fold": False, "run_ahead": 5})
    assert values(planned(tmp_path, **MEASURED)) == (False, False, 5)
    assert values(planned(tmp_path)) == (True, True, 1)
    assert identity.name(planned(tmp_path)) == own, "what was measured renames no run that does not ask for it"
    given = planned(tmp_path, **{**MEASURED, "fold": True})
    assert values(given) == (False, True, 5), "a value that is given stands"
    assert values(planned(tmp_path, **{**MEASURED, "measured": False})) == (True, True, 1)


def test_without_a_measurement_the_written_values_hold_and_the_plan_says_so(tmp_path) -> None:
    plan = planned(tmp_path, **MEASURED)
    assert values(plan) == (True, True, 1)
    assert plan.unmeasured
    assert identity.name(plan) == identity.name(planned(tmp_path)), "it is the same run"
    assert not planned(tmp_path).unmeasured
    choices.write(identity.choices_path(plan), {"channels_last": True})
    assert not planned(tmp_path, **MEASURED).unmeasured


def test_choices_are_of_one_network_and_machine_whatever_they_are_and_whatever_torchs_version(
    tmp_path, monkeypatch
) -> None:
    path = identity.choices_path(planned(tmp_path))
    assert identity.choices_path(planned(tmp_path, channels_last=False, fold=False, run_ahead=5)) == path
    assert path.parent == identity.profile_path(planned(tmp_path)).parent
    for other in ({"precision": "bf16"}, {"threads": 2}):
        assert identity.choices_path(planned(tmp_path, **other)) != path
    monkeypatch.setattr(identity.torch, "__version__", "9.0")
    assert identity.choices_path(planned(tmp_path)) == path


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "holds no choices"),
        ("[]", "holds no choices"),
        ('{"choices": [1]}', "holds no choices"),
        ('{"choices": {"run_ahead": 3}}', "run_ahead=3 is not a choice"),
        ('{"choices": {"fold": 1}}', "fold=1 is not a choice"),
        ('{"choices": {"speed": true}}', "speed=True is not a choice"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path, text: str, part: str) -> None:
    path = identity.choices_path(planned(tmp_path))
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        planned(tmp_path, **MEASURED)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert part in line
    assert line.endswith("delete it; python -m freezeout.predict --measure rewrites it")
    assert "\n" not in line
    assert values(planned(tmp_path)) == (True, True, 1), "others do not read it"


WORDS = ("machine=measured", "machine.device=cpu", "model=wrn_10_1", "strategy=baseline", "epochs=1")


def test_a_record_says_what_was_chosen_and_its_command_makes_that_run_again(freezeout, tmp_path) -> None:
    first = freezeout(*WORDS)
    assert (
        first.err.count("runs/profiles has nothing that was measured here for wrn_10_1, so the default values apply")
        == 1
    )
    ((_, before),) = find_records(tmp_path / "runs")
    assert before["effective"]["machine"]["channels_last"] is True
    plan = plan_of(before["config"])
    choices.write(identity.choices_path(plan), CHOSEN)
    second = freezeout(*WORDS)
    assert "nothing that was measured" not in second.err
    found = {record["run_id"]: record for _, record in find_records(tmp_path / "runs")}
    (after,) = [record for run_id, record in found.items() if run_id != before["run_id"]]
    for section in (after["effective"]["machine"], after["config"]["machine"]):
        assert (section["channels_last"], section["fold"], section["run_ahead"]) == (False, True, 1)
    for record in (before, after):
        again = freezeout(*record["command"].split()[3:], "tracker=none", quick=False)
        assert again.out.startswith("done before: "), "whatever has been measured since"


def test_a_sweep_keeps_the_choices_that_it_began_with(freezeout, tmp_path, monkeypatch) -> None:
    """Its runs, like those of a launcher elsewhere, are planned anew, when somebody may have measured meanwhile."""
    from freezeout.cli import sweeper

    real = sweeper.launch

    def launch(jobs, *how, **more) -> None:
        choices.write(identity.choices_path(Plans().of(jobs[0])), CHOSEN)
        real(jobs, *how, **more)

    monkeypatch.setattr(sweeper, "launch", launch)
    said = freezeout("-m", *WORDS, "seed=0,1")
    assert said.code == 0, said.err
    assert said.err.count("nothing that was measured") == 1
    listed = json.loads(next((tmp_path / "runs/sweeps").glob("*.json")).read_text())["runs"]
    assert {record["run_id"] for _, record in find_records(tmp_path / "runs")} == {run["run_id"] for run in listed}
