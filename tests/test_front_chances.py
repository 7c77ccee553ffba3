"""The probability of being on the Pareto front: what is worse than shortening is not on it, wherever it lies."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_families import ARMS, Family, draw
from made_families import BUDGETS as CURVE_BUDGETS
from made_records import freezeout, make_run, write_manifest
from made_verdicts import BETTER, DATA, ON_CURVE, WORSE, made_panel
from scipy import stats

from analysis.cells import Cells
from analysis.front_chances import LIKELY, front_chances
from analysis.judging import judged_panels
from analysis.pareto import Point, front


def chances(root: Path, seed: int = 0, draws: int = 4000) -> dict[tuple[str, float], float]:
    """By (`t_0` or `budget`, its value)."""
    (one,) = judged_panels(root)
    found = {}
    for label, chance in front_chances(one, np.random.default_rng(seed), draws).items():
        strategy = json.loads(label)["strategy"]
        key = "t_0" if "t_0" in strategy else "budget"
        found[key, strategy.get(key, 1.0)] = chance
    return found


def test_better_arms_are_on_it_and_worse_ones_are_not(tmp_path):
    made_panel(tmp_path)
    found = chances(tmp_path)
    assert found["t_0", BETTER["t_0"]] > 0.99
    assert found["t_0", WORSE["t_0"]] < 0.01


@pytest.mark.parametrize("effect", [-0.01, 0.0, 0.01])
def test_one_arm_is_on_it_as_probably_as_it_lies_below_the_curve(tmp_path, effect):
    """By Student's t of its contrast: the draws are of the model that the intervals are of."""
    made_panel(tmp_path, [(ON_CURVE, effect)], noise=0.01)
    (one,) = judged_panels(tmp_path)
    pooled = one.judgement.pooled
    t = pooled.estimate[0] / (pooled.s[0] * np.sqrt(pooled.variance[0]))
    below = stats.t.cdf(-t, pooled.nu)
    assert 0.001 < below < 0.999
    assert chances(tmp_path, draws=20_000)["t_0", ON_CURVE["t_0"]] == pytest.approx(below, abs=0.015)


def test_an_arm_that_is_worse_is_not_on_it_because_no_shortened_run_saves_as_much(tmp_path):
    """Between two budgets the front of the means has room for an arm that the curve itself beats."""
    made_panel(tmp_path, [(WORSE, 0.01)], noise=0.0005)
    (one,) = judged_panels(tmp_path)
    points = [Point(p["label"], p["profiled_saving"], p["error"]) for p in one.panel.points.to_dict("records")]
    on_front = [json.loads(p.name)["strategy"].get("t_0") for p in front(points).members]
    assert WORSE["t_0"] in on_front
    assert chances(tmp_path)["t_0", WORSE["t_0"]] < 0.05


def test_an_arm_takes_the_place_of_a_shortened_run_that_saves_less_at_more_error(tmp_path):
    made_panel(tmp_path, [(BETTER, -0.06)])
    found = chances(tmp_path)
    assert found["budget", 0.8] < 0.01
    assert found["budget", 1.0] > 0.99
    assert found["budget", 0.5] > 0.99


def test_an_arm_beaten_by_another_one_is_not_on_it(tmp_path):
    made_panel(tmp_path, [(BETTER, -0.06), (ON_CURVE, -0.02)])
    assert chances(tmp_path)["t_0", ON_CURVE["t_0"]] < 0.01


def test_the_callers_generator_decides(tmp_path):
    made_panel(tmp_path, [(ON_CURVE, 0.0)], noise=0.01)
    assert chances(tmp_path, 1, 500) == chances(tmp_path, 1, 500)
    assert chances(tmp_path, 1, 500) != chances(tmp_path, 2, 500)
    assert chances(tmp_path, 1) == pytest.approx(chances(tmp_path, 2), abs=0.05)


@pytest.mark.parametrize(
    ("worse", "by_means", "by_chance"), [(0.0, (0.85, 1.0), (0.4, 0.6)), (0.015, (0.5, 0.8), (0.0, 0.06))]
)
def test_the_front_of_the_means_misleads_where_the_probability_does_not(worse, by_means, by_chance):
    """Simulated, at 5 seeds: an arm that is worse than shortening seldom is likely on the front (docs/verdicts.md)."""
    rng, found = np.random.default_rng(0), []
    labels = [json.dumps({"strategy": {"name": "freezeout", "t_0": arm}}) for arm in range(len(ARMS))]
    names = [f"budget {b:g}" for b in CURVE_BUDGETS]
    points = pd.DataFrame({"label": [*names, *labels], "predicted_saving": 1 - np.append(CURVE_BUDGETS, ARMS)})
    points["strategy"] = ["shortened"] * len(names) + ["freezeout"] * len(labels)
    for _ in range(60):
        z = draw(Family(slope=-0.25, bend=0.15), 5, rng)[0] + math.log(20)
        z[:, len(names) :] += worse
        curve_z, arm_z = z[:, : len(names)], z[:, len(names) :]
        cells = Cells([*range(5)], CURVE_BUDGETS, curve_z, labels, [*(1 - ARMS)], arm_z, [0] * len(ARMS))
        one: Any = SimpleNamespace(cells=cells, judgement=cells.judged(), panel=SimpleNamespace(points=points))
        likely = front_chances(one, rng, 500)
        marks = zip(points["label"], points["predicted_saving"], np.exp(z).mean(axis=0), strict=True)
        members = {point.name for point in front([Point(*mark) for mark in marks]).members}
        found.append([np.mean([label in members for label in labels]), np.mean([likely[a] >= LIKELY for a in labels])])
    means, chance = np.mean(found, axis=0)
    assert by_means[0] < means <= by_means[1]
    assert by_chance[0] <= chance < by_chance[1]


def test_one_seed_has_no_probabilities_and_neither_has_a_panel_without_a_curve(tmp_path):
    made_panel(tmp_path / "one", seeds=1)
    made_panel(tmp_path / "none", budgets=())
    assert chances(tmp_path / "one") == chances(tmp_path / "none") == {}


def test_an_arm_beyond_the_curve_has_no_rival_there(tmp_path):
    entries = made_panel(tmp_path, budgets=(1.0, 0.9, 0.8, 0.7))
    saved = {"saving": {"predicted": 0.45, "profiled": 0.45}, "error": 90.0, "data": DATA}
    beyond = [make_run(tmp_path, freezeout(0.3), seed, **saved) for seed in range(5)]
    write_manifest(tmp_path, [*entries, *beyond], "made")
    found = chances(tmp_path)
    assert found["t_0", 0.3] == 1.0
    assert found["budget", 0.7] > 0.99
