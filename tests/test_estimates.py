"""Means with intervals, and the verdict against the shortened curve."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from made_records import BASELINE, freezeout, make_run, make_sweep, shortened, write_manifest
from made_verdicts import made_panel
from scipy import stats

from analysis.comparisons import Panel, panels
from analysis.estimates import binomial_error, estimate
from analysis.load import load
from freezeout.records import sweep_path

NAN = math.nan


def test_a_few_seeds_have_students_interval():
    values = [3.1, 2.7, 3.4]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = estimate(values)
    assert (found.mean, found.low, found.high, found.n) == (
        pytest.approx(np.mean(values)),
        *map(pytest.approx, expected),
        3,
    )


def test_students_interval_of_three_seeds_holds_the_truth_95_times_in_100():
    draws = np.random.default_rng(1).normal(5, 1, (2000, 3))
    held = [found.low <= 5 <= found.high for found in (estimate(row) for row in draws)]
    assert 0.935 < np.mean(held) < 0.965


def test_twenty_seeds_have_it_too():
    values = np.random.default_rng(2).exponential(1, 20)
    t = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert estimate(values).low == pytest.approx(t.low)


def test_one_seed_is_a_point_without_an_interval():
    found = estimate([3.0])
    assert (found.mean, found.n) == (3.0, 1)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_missing_values_do_not_count_and_none_left_is_missing_not_zero():
    assert estimate([3.0, NAN, 5.0]).n == 2
    assert math.isnan(estimate([NAN]).mean)


@pytest.mark.parametrize("n", [3, 25])
def test_equal_values_have_an_interval_of_no_width(n):
    found = estimate([2.0] * n)
    assert (found.low, found.high) == (2.0, 2.0)


def judged(root: Path, differences: dict[int, float], saving: float = 0.25, longer: list[dict] | None = None) -> Panel:
    """A sweep whose curve is 3 to 5 % error over 0 to 50 % saving, times a luck that the seed's runs share, and a
    FreezeOut at `saving` whose error is the curve's times 1 + the seed's difference. Runs `longer` are listed too."""
    entries = [*(longer or [])]
    for seed, difference in differences.items():
        luck = 1.0 + seed
        entries.append(make_run(root, BASELINE, seed, error=3 * luck, seconds={"train": 10.0}))
        entries.append(make_run(root, shortened(0.5), seed, error=5 * luck, seconds={"train": 5.0}))
        at = 3 * (5 / 3) ** (math.log(max(1 - saving, 0.5)) / math.log(0.5))
        error, seconds = at * luck * (1 + difference), 10 * (1 - saving)
        entries.append(make_run(root, freezeout(0.5), seed, error=error, seconds={"train": seconds}))
    write_manifest(root, entries)
    (panel,) = panels(load(root))
    return panel


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([-0.15, -0.16, -0.14], "better"),
        ([0.15, 0.16, 0.14], "worse"),
        ([-0.15, 0.16, 0.05], "cannot tell"),
        ([-0.5, -0.5], "under 3 seeds"),
    ],
)
def test_the_verdict_pairs_each_seed_with_its_own_curve_at_its_own_saving(tmp_path, differences, verdict):
    point = judged(tmp_path, dict(enumerate(differences))).points.set_index("strategy").loc["freezeout"]
    assert point["verdict"] == verdict
    ratio = math.exp(np.mean(np.log1p(differences))) - 1
    level = point["against_curve"] / ratio  # the curve's error there, a geometric mean over seeds
    assert 3 < level / math.exp(np.mean(np.log1p(range(len(differences))))) < 5
    assert point["against_curve_n"] == len(differences)


def test_the_table_has_the_verdict_of_each_arm_of_the_family_and_calls_the_others_controls(tmp_path):
    freeze_only = {"name": "freeze_only", "t_0": 0.5, "how_scale": "cubic"}
    arms = [(freezeout(0.5), 0.0), ({**freezeout(0.5), "name": "lr_only"}, 0.0), (freeze_only, -0.3)]
    made_panel(tmp_path, arms)
    (panel,) = panels(load(tmp_path))
    verdicts = panel.points.set_index("strategy")["verdict"]
    assert verdicts[["freezeout", "lr_only", "freeze_only"]].tolist() == ["cannot tell", "control", "better"]


@pytest.mark.parametrize("saving", [-0.1, 0.7])
def test_a_saving_that_the_curve_does_not_reach_is_outside_it(tmp_path, saving):
    points = judged(tmp_path, {0: -0.2, 1: -0.2, 2: -0.2}, saving).points.set_index("strategy")
    assert points.loc["freezeout", "verdict"] == "outside the curve"


def test_a_budget_above_1_is_the_rival_of_what_saves_nothing(tmp_path):
    """The curve goes on to the left of no saving, so that an arm that costs time has a rival there."""
    longer = [make_run(tmp_path, shortened(1.1), s, error=2.8 * (1 + s), seconds={"train": 11.0}) for s in range(3)]
    points = judged(tmp_path, dict.fromkeys(range(3), -0.3), -0.05, longer).points.set_index(["strategy", "swept"])
    assert points.loc[("shortened", "budget=1.1"), ["measured_saving", "verdict"]].tolist() == [
        pytest.approx(-0.1),
        "the curve",
    ]
    assert points.loc[("freezeout", "t_0=0.5"), "verdict"] == "better"


def test_the_baseline_and_its_shortened_runs_are_the_curve(tmp_path):
    points = judged(tmp_path, {0: 0.0, 1: 0.1}).points.set_index("strategy")
    assert points.loc[["baseline", "shortened"], "verdict"].tolist() == ["the curve"] * 2


def test_a_configuration_with_a_diverged_seed_is_never_better(tmp_path):
    differences = dict(enumerate([-0.15, -0.16, -0.14]))
    judged(tmp_path, differences)
    lost = make_run(tmp_path, freezeout(0.5), 3, status="failed", diverged=True, error=None)
    manifest = json.loads(sweep_path(tmp_path, "smoke").read_text())
    write_manifest(tmp_path, [*manifest["runs"], lost])
    (panel,) = panels(load(tmp_path))
    point = panel.points.set_index("strategy").loc["freezeout"]
    assert (point["n"], point["diverged_seeds"]) == (3, 1)
    assert point["verdict"] == "cannot tell"
    assert point["against_curve_high"] < 0


def test_a_configuration_that_diverged_throughout_has_a_row_and_no_point(tmp_path):
    lost = [make_run(tmp_path, freezeout(0.5), s, status="failed", diverged=True, error=None) for s in (0, 1)]
    write_manifest(tmp_path, [make_run(tmp_path, BASELINE), *lost])
    (panel,) = panels(load(tmp_path))
    point = panel.points.set_index("strategy").loc["freezeout"]
    assert (point["n"], point["diverged_seeds"], point["verdict"]) == (0, 2, "diverged")
    assert panel.seeds == "1 seed"
    assert len(panel.runs) == 1


def test_a_configuration_is_a_label_without_its_seed(tmp_path):
    make_sweep(tmp_path)
    (panel,) = panels(load(tmp_path))
    assert len(panel.points) == 10
    assert set(panel.points["n"]) == {3}
    assert panel.seeds == "3 seeds"


def test_the_paired_difference_is_narrower_than_the_seeds_luck(tmp_path):
    point = judged(tmp_path, {0: 0.15, 1: 0.16, 2: 0.14}).points.set_index("strategy").loc["freezeout"]
    assert point["against_curve_high"] - point["against_curve_low"] < 5
    assert point["error_high"] - point["error_low"] > 20


def test_configurations_of_several_lengths_are_told_apart(tmp_path):
    long, short = make_run(tmp_path, BASELINE), make_run(tmp_path, {**BASELINE, "of": 1}, steps=280)
    short["label"] = {"strategy": BASELINE, "epochs": 10}
    write_manifest(tmp_path, [long, short])
    (panel,) = panels(load(tmp_path))
    assert panel.points["swept"].tolist() == ["20 epochs", "10 epochs"]


def test_a_sweep_of_several_settings_has_a_panel_and_a_file_name_for_each(tmp_path):
    def run(group: str, model: str, device: str) -> dict:
        changes = {"setting_id": group, "device": {"type": "cuda", "model": device}}
        entry = make_run(tmp_path, BASELINE, config={"model": {"name": model}}, **changes)
        return entry

    write_manifest(tmp_path, [run("g1", "vgg", "H200"), run("g2", "densenet_bc", "H200")], "a")
    write_manifest(tmp_path, [run("g1", "vgg", "H200"), run("g3", "vgg", "A 100")], "b")
    write_manifest(tmp_path, [run("g1", "vgg", "H200"), run("g4", "vgg", "H200")], "c")
    names = [panel.name for panel in panels(load(tmp_path))]
    assert names[:4] == ["a_vgg-digits", "a_densenet_bc-digits", "b_vgg-digits-H200", "b_vgg-digits-A-100"]
    assert names[4:] == ["c_vgg-digits-g1", "c_vgg-digits-g4"]


def test_the_binomial_standard_error_of_three_per_cent_on_360_images():
    assert binomial_error(3.0, 360) == pytest.approx(0.899, abs=1e-3)
