"""Verdicts from records: what a panel says of arms whose truth is known, and of panels that lack something."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_records import BASELINE, make_run, shortened, write_manifest
from made_verdicts import BETTER, DATA, IMAGES, ON_CURVE, WORSE, curve, made_panel

from analysis.__main__ import main
from analysis.judging import judged_panels
from analysis.panel_verdicts import PanelVerdicts, document
from analysis.verdict_text import HEADER, row
from freezeout.records import sweep_path


def panel(root: Path, **options: Any) -> PanelVerdicts:
    (found,) = judged_panels(root, **options)
    return found


def said(root: Path, **options: Any) -> dict[float, dict]:
    """What the document says of each arm, by t_0."""
    arms = document(panel(root, **options))["arms"]
    return {json.loads(arm["label"])["strategy"]["t_0"]: arm for arm in arms}


def words(root: Path, **options: Any) -> list[str]:
    return [arm["verdict"] for _, arm in sorted(said(root, **options).items())]


def test_arms_of_known_truth_get_their_words(tmp_path):
    made_panel(tmp_path)
    assert words(tmp_path, margin=0.03) == ["better", "worse", "as good"]
    assert words(tmp_path) == ["better", "worse", "cannot tell"]


def test_the_difference_is_given_in_per_cent_of_the_error_and_in_points(tmp_path):
    made_panel(tmp_path)
    arm = said(tmp_path)[WORSE["t_0"]]
    assert arm["difference"] == pytest.approx(100 * math.expm1(0.06), abs=0.5)
    assert arm["difference_points"] == pytest.approx(arm["curve_error"] * arm["difference"] / 100)
    assert arm["low"] < arm["difference"] < arm["high"]


@pytest.mark.parametrize(("seeds", "word"), [(1, "under 3 seeds"), (2, "under 3 seeds"), (3, "better")])
def test_no_verdict_under_three_seeds(tmp_path, seeds, word):
    made_panel(tmp_path, seeds=seeds)
    assert words(tmp_path)[0] == word


def test_unequal_seeds_are_those_that_an_arm_shares_with_the_curve(tmp_path):
    made_panel(tmp_path, without=[(BETTER, 4), (shortened(0.8), 0)])
    found = said(tmp_path)
    assert [found[arm["t_0"]]["n"] for arm in (BETTER, WORSE, ON_CURVE)] == [4, 5, 5]


def test_what_a_strategy_saves_may_differ_by_seed_and_each_run_is_set_against_the_curve_where_it_stands(tmp_path):
    """Errors between 20.8 and 22.8 %, of which the budgets explain all but the effect."""
    made_panel(tmp_path / "adaptive", saving=(0.15, 0.45, 0.2, 0.4, 0.3), noise=0.0005)
    found = said(tmp_path / "adaptive", margin=0.03)
    assert [found[arm["t_0"]]["verdict"] for arm in (BETTER, WORSE, ON_CURVE)] == ["better", "worse", "as good"]
    assert [found[arm["t_0"]]["saving"] for arm in (BETTER, WORSE, ON_CURVE)] == pytest.approx([0.3] * 3)
    same = tmp_path / "same"
    made_panel(same, saving=0.3, noise=0.0005)
    for t_0, arm in said(same, margin=0.03).items():
        assert found[t_0]["difference"] == pytest.approx(arm["difference"], abs=0.1)
        reach, own = (one["high"] - one["low"] for one in (found[t_0], arm))
        assert reach == pytest.approx(own, rel=0.25), "savings that scatter make the interval no wider"


def test_by_the_clocks_whose_noise_is_no_saving_all_seeds_stand_at_the_mean(tmp_path):
    made_panel(tmp_path, saving=(0.15, 0.45, 0.2, 0.4, 0.3), noise=0.0005, profiled=False)
    assert panel(tmp_path).cells.own_savings is None


def test_a_budget_that_few_seeds_have_is_left_out_of_the_curve_and_named(tmp_path, capsys):
    made_panel(tmp_path, without=[(shortened(0.5), seed) for seed in range(3)])
    assert said(tmp_path)[WORSE["t_0"]]["n"] == 5
    assert main(["verdicts", "--runs", str(tmp_path)]) == 0
    assert "left out for too few seeds: budgets 0.5" in " ".join(capsys.readouterr().out.split())


def test_without_a_baseline_there_is_a_curve_and_no_gap(tmp_path):
    made_panel(tmp_path, budgets=(0.9, 0.8, 0.7, 0.6, 0.5))
    assert words(tmp_path)[:2] == ["better", "worse"]
    assert said(tmp_path)[WORSE["t_0"]]["free_fraction"] is None


def test_without_any_rival_there_is_no_curve(tmp_path, capsys):
    made_panel(tmp_path, budgets=())
    assert words(tmp_path) == ["no curve"] * 3
    assert main(["verdicts", "--runs", str(tmp_path)]) == 0
    assert "there is no curve to beat" in capsys.readouterr().out


@pytest.mark.parametrize("budgets", [(1.0, 0.5), (0.8, 0.7)])
def test_two_budgets_are_joined_by_a_straight_line_and_it_is_said(tmp_path, budgets, capsys):
    made_panel(tmp_path, budgets=budgets)
    assert document(panel(tmp_path))["curve"]["kind"] == "straight lines"
    main(["verdicts", "--runs", str(tmp_path)])
    assert "fewer than 3 budgets: no quadratic" in " ".join(capsys.readouterr().out.split())


def test_an_arm_beyond_the_curves_budgets_is_outside_it(tmp_path):
    made_panel(tmp_path, saving=0.55)
    assert words(tmp_path) == ["outside the curve"] * 3


def test_one_arm_is_a_paired_t_test_widened_by_the_bound_on_time(tmp_path):
    made_panel(tmp_path, [(WORSE, 0.06)])
    found = panel(tmp_path).judgement
    assert found.pooled.nu == pytest.approx(4)
    assert found.pooled.critical == pytest.approx(2.776, abs=1e-3)


def test_a_diverged_seed_is_shown_and_forbids_better(tmp_path, capsys):
    entries = made_panel(tmp_path, without=[(BETTER, 4)])
    lost = make_run(tmp_path, BETTER, 4, status="failed", diverged=True, error=None, data=DATA)
    write_manifest(tmp_path, [*entries, lost], "made")
    arm = said(tmp_path)[BETTER["t_0"]]
    assert (arm["verdict"], arm["diverged_seeds"], arm["n"]) == ("cannot tell", 1, 4)
    assert arm["high"] < 0
    main(["verdicts", "--runs", str(tmp_path)])
    assert "1 diverged" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("seeds", "told"), [([4], "1 seed"), ([*range(5)], "5 seeds")])
def test_a_diverged_seed_of_the_curve_is_shown_too(tmp_path, capsys, seeds, told):
    entries = made_panel(tmp_path, without=[(shortened(0.5), seed) for seed in seeds])
    lost = [make_run(tmp_path, shortened(0.5), s, status="failed", diverged=True, error=None, data=DATA) for s in seeds]
    write_manifest(tmp_path, [*entries, *lost], "made")
    main(["verdicts", "--runs", str(tmp_path)])
    assert f"; diverged: {told} of budget 0.5 placebos, " in " ".join(capsys.readouterr().out.split())


def test_runs_that_failed_are_counted_though_no_arm_is_left_to_show_it(tmp_path, capsys):
    entries = made_panel(tmp_path, [(WORSE, 0.06)])
    lost = [make_run(tmp_path, BETTER, s, status="failed", reason="out of memory", error=None) for s in range(5)]
    write_manifest(tmp_path, [*entries, *lost], "made")
    main(["verdicts", "--runs", str(tmp_path)])
    assert "35 runs, 5 seeds (5 of the sweep missing)" in capsys.readouterr().out


def test_an_arm_of_which_every_seed_diverged_is_said_to_have(tmp_path):
    entries = made_panel(tmp_path, [(WORSE, 0.06)])
    lost = [make_run(tmp_path, BETTER, s, status="failed", diverged=True, error=None, data=DATA) for s in range(3)]
    write_manifest(tmp_path, [*entries, *lost], "made")
    assert words(tmp_path) == ["diverged", "worse"]


def test_no_error_at_all_counts_as_half_an_image(tmp_path):
    made_panel(tmp_path, [(BETTER, 0.0)], error=0.0)
    found = panel(tmp_path).cells
    assert np.allclose(found.arm_z, math.log(100 * 0.5 / IMAGES))
    assert words(tmp_path) == ["cannot tell"]


def test_runs_from_another_device_enter_no_contrast(tmp_path):
    entries = made_panel(tmp_path)
    other = {"type": "cuda", "model": "H200"}  # CPUs share a panel: tests/test_pooled_panels.py
    make_run(tmp_path, BETTER, 0, error=1.0, device=other, data=DATA, saving={"predicted": 0.25, "profiled": 0.25})
    write_manifest(tmp_path, entries, "made")
    found = said(tmp_path)
    assert found[BETTER["t_0"]]["n"] == 4
    assert found[WORSE["t_0"]]["n"] == 5


def test_the_clocks_error_is_the_bound_on_time_where_the_clocks_are_the_axis(tmp_path):
    entries = made_panel(tmp_path, profiled=False)
    assert panel(tmp_path).judgement.time_bound == pytest.approx(0.01)
    for seed in range(5):  # shortened runs that take 3 points longer than their budget
        error = math.exp(curve(0.7))
        made = {"error": error, "data": DATA, "seconds": {"train": 73.0}}
        make_run(tmp_path, shortened(0.7), seed, **made, saving={"predicted": 0.0, "profiled": None})
    write_manifest(tmp_path, entries, "made")
    found = panel(tmp_path)
    assert found.judgement.time_bound == found.clocks == pytest.approx(0.03)


def test_profiled_savings_are_not_held_to_the_clocks_but_the_clocks_are_shown(tmp_path, capsys):
    made_panel(tmp_path, seconds={"train": 80.0})
    found = panel(tmp_path)
    assert found.judgement.time_bound == pytest.approx(0.01)
    assert found.clocks == pytest.approx(0.5)
    main(["verdicts", "--runs", str(tmp_path)])
    assert "miss their budgets by up to 50.0 points" in " ".join(capsys.readouterr().out.split())


def test_clocks_that_say_nothing_are_not_said_to_be_exact(tmp_path, capsys):
    made_panel(tmp_path, shared_device=True)
    assert document(panel(tmp_path))["time"] == {
        "saving": "profiled_saving",
        "bound": pytest.approx(0.01),
        "calibration": pytest.approx(0, abs=1e-9),
        "clocks": None,
    }
    main(["verdicts", "--runs", str(tmp_path)])
    assert " points; no shortened run has a saving measured by its clock arm" in " ".join(
        capsys.readouterr().out.split()
    )


def bits(wrong: np.ndarray) -> dict[str, str]:
    return {"test": base64.b64encode(np.packbits(~wrong)).decode()}


def test_a_second_interval_is_over_seeds_and_images_where_it_is_known_which_were_wrong(tmp_path, capsys):
    made_panel(tmp_path)
    assert said(tmp_path)[WORSE["t_0"]]["low_images"] is None
    rng = np.random.default_rng(0)
    hard = {key: rng.random(IMAGES) < 0.2 for key in ("curve", "arm")}
    for path in tmp_path.glob("*/*/record.json"):
        record = json.loads(path.read_text())
        kind = "curve" if record["config"]["strategy"]["name"] in ("baseline", "shortened") else "arm"
        path.write_text(json.dumps({**record, "correct": bits(hard[kind] ^ (rng.random(IMAGES) < 0.01))}))
    arm = said(tmp_path)[WORSE["t_0"]]
    assert arm["high_images"] - arm["low_images"] > 1.5 * (arm["high"] - arm["low"])
    main(["verdicts", "--runs", str(tmp_path)])
    assert "over seeds and images: FreezeOut cubic scaled t_0=0.65 [" in " ".join(capsys.readouterr().out.split())


def fix(root: Path, margin: Any) -> None:
    path = sweep_path(root, "made")
    path.write_text(json.dumps({**json.loads(path.read_text()), "margin": margin}))


def test_the_margin_is_the_sweeps_own_unless_one_is_given(tmp_path, capsys):
    made_panel(tmp_path)
    main(["verdicts", "--runs", str(tmp_path)])
    assert "no margin was fixed" in " ".join(capsys.readouterr().out.split())
    fix(tmp_path, 3)
    assert words(tmp_path) == ["better", "worse", "as good"]
    assert words(tmp_path, margin=0.001) == ["better", "worse", "cannot tell"]
    assert panel(tmp_path).margin_of == "the sweep"


def test_the_table_has_the_words_of_the_verdicts(tmp_path, capsys):
    made_panel(tmp_path)
    fix(tmp_path, 3)
    assert sorted(panel(tmp_path).panel.points["verdict"]) == ["as good", "better", *["the curve"] * 6, "worse"]
    main(["table", "--runs", str(tmp_path)])
    out = " ".join(capsys.readouterr().out.split())
    assert "as good if it lies within the sweep's margin of 3 % of the error" in out


def test_of_two_sweeps_that_are_compared_the_smaller_margin_counts(tmp_path):
    made_panel(tmp_path)
    fix(tmp_path, 3)
    first = sweep_path(tmp_path, "made")
    other = json.loads(first.read_text()) | {"sweep": "other", "margin": 0.1}
    sweep_path(tmp_path, "other").write_text(json.dumps(other))
    assert panel(tmp_path, sweeps=["made", "other"]).margin == pytest.approx(0.001)
    assert words(tmp_path, sweeps=["made", "other"]) == ["better", "worse", "cannot tell"]


@pytest.mark.parametrize("margin", [0, -1, "1.5%"])
def test_a_margin_that_is_none_is_one_line(tmp_path, capsys, margin):
    made_panel(tmp_path)
    fix(tmp_path, margin)
    assert main(["verdicts", "--runs", str(tmp_path)]) == 2
    assert capsys.readouterr().err.strip().endswith(f"margin={margin}: must be per cent of the error, as in 1.5")


def test_the_text_has_a_row_for_each_arm_and_says_how_many_seeds_would_tell(tmp_path, capsys):
    made_panel(tmp_path, noise=0.02)
    assert main(["verdicts", "--runs", str(tmp_path), "--margin", "3%"]) == 0
    out = capsys.readouterr().out
    rows = [line for line in out.splitlines() if line.startswith("FreezeOut")]
    assert len(rows) == 3
    tells = said(tmp_path, margin=0.03)[ON_CURVE["t_0"]]["seeds_that_tell"]
    assert tells > 5
    assert f" {tells} " in rows[-1]
    found = (
        "curve: n = 5, budgets 1, 0.9, 0.8, 0.7, 0.6, 0.5; log error quadratic in log budget (fits: lack of fit p = "
    )
    assert found in " ".join(out.split())


def needed(root: Path, **options: Any) -> list[str]:
    """The cells of `n to tell`, by t_0."""
    at = HEADER.index("n to tell")
    return [row(arm, options.get("margin") is not None)[at] for _, arm in sorted(said(root, **options).items())]


def test_seeds_that_would_tell_are_shown_where_it_cannot_be_told_and_more_of_them_are_needed(tmp_path):
    made_panel(tmp_path / "told")
    assert words(tmp_path / "told", margin=0.03) == ["better", "worse", "as good"]
    assert needed(tmp_path / "told", margin=0.03) == ["-"] * 3
    assert all(arm["seeds_that_tell"] == 3 for arm in said(tmp_path / "told", margin=0.03).values())
    made_panel(tmp_path / "open", [(ON_CURVE, 0.0)], noise=0.04)
    (arm,) = said(tmp_path / "open", margin=0.03).values()
    assert (arm["verdict"], needed(tmp_path / "open", margin=0.03)) == ("cannot tell", [str(arm["seeds_that_tell"])])
    assert needed(tmp_path / "open", margin=0.0001) == ["never"]
    assert needed(tmp_path / "open") == ["-"]


def test_no_number_is_shown_where_as_many_seeds_are_there_already(tmp_path):
    entries = made_panel(tmp_path, [(BETTER, 0.0)], without=[(BETTER, 4)])
    lost = make_run(tmp_path, BETTER, 4, status="failed", diverged=True, error=None, data=DATA)
    write_manifest(tmp_path, [*entries, lost], "made")
    (arm,) = said(tmp_path, margin=0.03).values()
    assert (arm["verdict"], arm["seeds_that_tell"], arm["n"]) == ("cannot tell", 3, 4)
    assert needed(tmp_path, margin=0.03) == ["-"]


def test_the_document_is_json_without_nan(tmp_path, capsys):
    made_panel(tmp_path, seeds=1)
    assert main(["verdicts", "--runs", str(tmp_path), "--json"]) == 0

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found = json.loads(capsys.readouterr().out, parse_constant=refuse)
    (one,) = found["panels"]
    assert one["arms"][0]["low"] is None
    assert one["arms"][0]["verdict"] == "under 3 seeds"


@pytest.mark.parametrize("words", [("verdicts", "--margin"), ("recommend", "--tolerance")])
@pytest.mark.parametrize("given", ["3", "0%", "-1%", "100%", "x%", "inf%", "nan%"])
def test_a_share_that_is_no_per_cent_is_refused(capsys, words, given):
    with pytest.raises(SystemExit):
        main([*words[:1], f"{words[1]}={given}"])
    assert f"{given}: must be per cent of the error, above 0 and below 100, as in 3%" in capsys.readouterr().err


def test_records_without_any_run_to_judge_are_one_line(tmp_path, capsys):
    write_manifest(tmp_path, [make_run(tmp_path, BASELINE, status="failed", error=None)])
    assert main(["verdicts", "--runs", str(tmp_path)]) == 2
    assert "no run may enter a verdict: left out: 1 run, failed" in capsys.readouterr().err
