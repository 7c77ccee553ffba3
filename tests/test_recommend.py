"""How much time can be saved at a tolerated increase of the error: one sentence, from panels whose truth is known."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from made_records import find_records, make_run, shortened, write_manifest
from made_verdicts import BETTER, BUDGETS, DATA, ON_CURVE, WORSE, curve, made_panel

from analysis.__main__ import main
from analysis.judging import judged_panels
from analysis.recommend import candidates, sentence
from freezeout.records import write_json_atomic

# At a saving of a quarter the curve costs this much of the full baseline's error.
COST = math.expm1(curve(0.75) - curve(1.0))


def answer(root: Path, tolerance: float) -> str:
    (one,) = judged_panels(root)
    return sentence(one, tolerance)


def test_the_largest_saving_inside_the_tolerance_is_named_with_its_interval(tmp_path):
    made_panel(tmp_path, [(BETTER, -COST), (WORSE, 0.06)])
    said = answer(tmp_path, 0.02)
    assert said.startswith(
        "made (wrn_10_1 on cifar10): FreezeOut cubic scaled t_0=0.5 saves 25 % of the training time "
    )
    assert "(profiled, ± 1.0 points) with an error at most 2 % above the full baseline's (" in said
    assert said.endswith(", n = 5, interval simultaneous over 7 ways to save time).")


def test_training_for_fewer_epochs_is_the_answer_where_it_saves_more(tmp_path):
    made_panel(tmp_path, [(WORSE, 0.06)])
    assert "training for 80% of the epochs saves 20 % " in answer(tmp_path, 0.055)
    assert "training for 90% of the epochs saves 10 % " in answer(tmp_path, 0.035)


@pytest.mark.parametrize(
    ("tolerance", "effect", "told"), [(2, -COST, BETTER), (9, 0.06, shortened(0.7)), (0.1, 0.06, None)]
)
def test_the_command_of_its_first_run_stands_below_it(tmp_path, capsys, tolerance, effect, told):
    made_panel(tmp_path, [(BETTER, effect), (WORSE, 0.1)])
    for folder, record in find_records(tmp_path):
        write_json_atomic(
            folder / "record.json", record | {"command": json.dumps([record["config"]["strategy"], record["seed"]])}
        )
    assert main(["recommend", "--runs", str(tmp_path), "--tolerance", f"{tolerance}%"]) == 0
    _, *commands = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in commands] == ([[told, 0]] if told else [])


def test_an_interval_that_leaves_the_tolerance_is_not_inside(tmp_path):
    made_panel(tmp_path, [(BETTER, -COST)])
    (one,) = judged_panels(tmp_path)
    high = next(way.high for way in candidates(one, 0.02) if way.name.startswith("FreezeOut"))
    assert "saves 25 %" in sentence(one, math.expm1(high) + 1e-9)
    assert "saves 25 %" not in sentence(one, math.expm1(high) - 1e-9)


def test_the_difference_from_the_full_baseline_is_the_truth(tmp_path):
    made_panel(tmp_path, [(WORSE, 0.06)])
    (one,) = judged_panels(tmp_path)
    found = {round(way.saving, 6): way.difference for way in candidates(one, 0.02)}
    expected = {round(1 - b, 6): curve(b) - curve(1.0) for b in BUDGETS[1:]}
    assert found.pop(0.25) == pytest.approx(curve(0.75) + 0.06 - curve(1.0), abs=0.005)
    assert found == pytest.approx(expected, abs=0.005)


def test_where_everything_costs_more_it_says_so(tmp_path):
    made_panel(tmp_path, [(WORSE, 0.06)])
    said = "nothing that was tried saves time with an error at most 0.1 % above the full baseline's"
    assert answer(tmp_path, 0.001).endswith(f"{said} (all 6 ways cost more).")


@pytest.mark.parametrize(("seeds", "why"), [(2, "fewer than 3 seeds"), (3, "cannot tell from 3 seeds ")])
def test_where_the_seeds_are_too_few_it_cannot_tell_and_says_how_many_would(tmp_path, seeds, why):
    made_panel(tmp_path, seeds=seeds, noise=0.05)
    said = answer(tmp_path, 0.03)
    assert "can be saved with an error at most 3 % above the full baseline's" in said
    assert why in said
    assert ("seeds would show it" in said) == (seeds == 3)


@pytest.mark.parametrize(("tolerance", "needed"), [(0.03, None), (1e-5, "more than 1,000")])
def test_numbers_of_seeds_that_nobody_trains_are_not_counted(tmp_path, tolerance, needed):
    made_panel(tmp_path, seeds=3, noise=0.05)
    (count,) = re.findall(r"; (.*) seeds would show it", answer(tmp_path, tolerance))
    assert count == needed if needed else 3 < int(count) <= 1000


def test_a_configuration_with_a_diverged_seed_is_not_recommended(tmp_path):
    entries = made_panel(tmp_path, [(BETTER, -COST)], without=[(BETTER, 4)])
    lost = make_run(tmp_path, BETTER, 4, status="failed", diverged=True, error=None, data=DATA)
    write_manifest(tmp_path, [*entries, lost], "made")
    assert "FreezeOut" not in answer(tmp_path, 0.02)


def test_fewer_epochs_of_which_a_seed_diverged_are_not_recommended(tmp_path):
    entries = made_panel(tmp_path, (), without=[(shortened(0.8), 4)])
    assert "training for 80% " in answer(tmp_path, 0.055)
    lost = make_run(tmp_path, shortened(0.8), 4, status="failed", diverged=True, error=None, data=DATA)
    write_manifest(tmp_path, [*entries, lost], "made")
    assert "training for 90% " in answer(tmp_path, 0.055)


def test_without_the_full_baseline_there_is_nothing_to_set_it_against(tmp_path):
    made_panel(tmp_path, budgets=(0.9, 0.8, 0.7, 0.6))
    assert answer(tmp_path, 0.03).endswith("there is no full baseline to compare with.")


def test_with_the_full_baseline_alone_nothing_is_known_to_save_time(tmp_path):
    made_panel(tmp_path, (), budgets=(1.0,))
    assert answer(tmp_path, 0.03).endswith("above the full baseline's: nothing else is known to save time.")


def test_a_budget_above_the_full_one_is_no_saving_and_no_reference(tmp_path):
    made_panel(tmp_path, [(ON_CURVE, 0.0)], budgets=(1.1, 1.0, 0.9, 0.8, 0.7))
    (one,) = judged_panels(tmp_path)
    assert one.cells.budgets[0] == pytest.approx(1.1)
    assert len(candidates(one, 0.03)) == 4
    assert all(way.saving > 0 for way in candidates(one, 0.03))


def test_the_command_prints_a_sentence_for_each_panel(tmp_path, capsys):
    made_panel(tmp_path)
    assert main(["recommend", "--runs", str(tmp_path), "--tolerance", "3%"]) == 0
    line, command = capsys.readouterr().out.splitlines()
    assert line.startswith("made (wrn_10_1 on cifar10): ")
    assert command.startswith("  python -m freezeout model=wrn_10_1 ")


def test_the_tolerance_has_no_default(capsys):
    with pytest.raises(SystemExit):
        main(["recommend"])
    assert "--tolerance" in capsys.readouterr().err
