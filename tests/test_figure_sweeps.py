"""The sweeps behind the paper's figures: what they compose to, and that their headers count and cost them rightly."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from made_data import as_large_as

from freezeout.run import identity
from freezeout.savings import cost
from freezeout.train.schema import Machine

ROOT = Path(__file__).parent.parent
RUNS = {"figure2": 126, "figure3": 126, "figure4": 72, "figure5": 126}


@pytest.fixture
def plans(freezeout, monkeypatch):
    """The plans of a sweep's runs (with one seed unless said), without its data and without running any."""
    found = []
    monkeypatch.setattr("freezeout.run.plan.load_data", as_large_as)
    # It is given every plan that is not done.
    monkeypatch.setattr("freezeout.cli.forecast.forecast", lambda plans, *known: found.extend(plans))
    monkeypatch.setattr("freezeout.cli.sweeper.Arms.launch", lambda self, todo, *rest: None)
    monkeypatch.setattr("freezeout.cli.sweeper.report_failures", lambda folders: None)

    def of(sweep: str, *, seeds: bool = False):
        one = [] if seeds else ["seed=0"]
        said = freezeout("-m", f"sweeps={sweep}", *one, "tracker=none", "machine=cpu", quick=False)
        assert said.code == 0, said.err
        assert "duplicates" not in said.err, "an arm's own key takes the place of a common one, and is no second run"
        return found

    return of


@pytest.mark.parametrize("sweep", RUNS)
def test_a_figure_sweep_trains_in_the_precision_that_its_header_says(sweep: str) -> None:
    text = (ROOT / "sweeps" / f"{sweep}.yaml").read_text()
    assert re.findall("^# Precision: (.*)$", text, re.M)[0].startswith("tf32 on a GPU that has it, else fp32 (null)")
    assert not re.search(r"machine\W", text.partition("common:")[2]), "left to the default, which is null"
    assert Machine().precision is None


@pytest.mark.slow
@pytest.mark.parametrize("sweep", RUNS)
def test_a_figure_sweep_composes_and_its_header_says_its_runs_and_its_predicted_cost(plans, sweep: str) -> None:
    text = (ROOT / "sweeps" / f"{sweep}.yaml").read_text()
    seeds = len(yaml.safe_load(text)["seeds"])
    found = plans(sweep)
    assert len(found) * seeds == RUNS[sweep]
    assert f"# Runs:     {RUNS[sweep]} = " in text
    flops = seeds * sum(cost.run_cost(plan.costs, plan.schedule, plan.steps) for plan in found)
    predicted = r"# GPU-hours: (\d+) predicted, not yet measured: (\S+) counted FLOPs at an assumed (\d+) TFLOP/s"
    hours, counted, rate = map(float, re.search(predicted, text).groups())
    assert counted == pytest.approx(flops, rel=0.01)
    assert hours == pytest.approx(flops / (rate * 1e12) / 3600, abs=1)


@pytest.mark.parametrize("sweep", [*RUNS, "quick"])
def test_the_number_of_runs_in_a_header_is_that_of_its_arms(sweep: str) -> None:
    """By counting commas, so that it is checked in no time; that they compose is tested above."""
    text = (ROOT / "sweeps" / f"{sweep}.yaml").read_text()
    content = yaml.safe_load(text)
    count = 0
    for arm in content["arms"]:
        own = {word.partition("=")[0]: word.partition("=")[2].split(",") for word in [*content["common"], *arm]}
        seeds = len(own.pop("seed", content["seeds"]))
        count += seeds * math.prod(len(values) for values in own.values())
    assert f"# Runs:     {count} = " in text


def test_quick_is_36_runs_of_three_small_networks_on_digits_mostly_with_three_seeds(plans) -> None:
    found = plans("quick", seeds=True)
    assert len({identity.run_id(plan) for plan in found}) == len(found) == 36
    assert {plan.config.seed for plan in found} == {0, 1, 2}
    assert {plan.source.name for plan in found} == {"digits"}
    by_network = Counter(plan.config_dict["model"]["name"] for plan in found)
    assert by_network == {"densenet_bc": 14, "wide_resnet": 13, "vgg": 9}
    of_a_configuration = Counter(identity.name(plan) for plan in found)
    assert Counter(of_a_configuration.values()) == {3: 11, 1: 3}


def test_the_paper_sweeps_hold_baseline_rival_and_the_papers_four_strategies() -> None:
    for sweep in ("figure2", "figure3", "figure5"):
        arms = yaml.safe_load((ROOT / "sweeps" / f"{sweep}.yaml").read_text())["arms"]
        words = " ".join(word for arm in arms for word in arm)
        for part in ("baseline", "shortened", "how_scale=linear,cubic", "scale_lr=true,false"):
            assert part in words
        assert "t_0=0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9" in words
