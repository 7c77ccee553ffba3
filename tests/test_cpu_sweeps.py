"""The sweeps that two cores can train: what they compose to, and that their headers count and cost them rightly."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from freezeout.cli import forecast
from freezeout.data.schema import CIFAR_IMAGES, Npz
from freezeout.data.source import InMemory
from freezeout.run import identity
from freezeout.run.overrides import compose_all
from freezeout.run.resolve import make_plan

SWEEPS = Path(__file__).parent.parent / "sweeps"
NAMES = [path.stem for path in sorted(SWEEPS.glob("cpu_*.yaml"))]
HEADER = ("Question", "Command", "Runs", "Core-hours", "Time axis", "n", "Margin", "Pixels", "Figure")


def as_large_as(name: str, fields: Npz) -> InMemory:
    """CIFAR's sizes under the fields of a sweep, and no images."""
    (train,), (test,) = fields.train, fields.test
    assert Path(train).parent == Path(test).parent == Path("elsewhere"), "in data_dir"
    classes, held_out = 100 if "cifar100" in train else 10, fields.held_out(CIFAR_IMAGES)
    side = fields.size or 32
    sizes = {"train": fields.kept(CIFAR_IMAGES - held_out, classes), "validation": held_out, "test": 10_000}
    nothing = (torch.empty(0, 3, side, side, dtype=torch.uint8), torch.empty(0, dtype=torch.int64))
    return InMemory(
        name=name,
        classes=classes,
        image=(side, side),
        sizes=sizes,
        fingerprint=f"{name} {sizes}",  # of other images where others are trained on
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        tensors=dict.fromkeys(sizes, nothing),
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_header_says_all_that_is_fixed_before_the_runs_and_counts_them(name: str) -> None:
    text = (SWEEPS / f"{name}.yaml").read_text()
    found = re.findall(r"^# ([A-Z][\w ,-]*|n):", text.partition("\ncommon:")[0], re.M)
    assert [key for key in found if key in HEADER] == [*HEADER]
    assert f"python -m freezeout -m sweeps={name}\n" in text
    content = yaml.safe_load(text)
    count, common = 0, content["common"]
    for arm in content["arms"]:
        count += math.prod(len(word.split(",")) for word in [*common, *arm])
    runs, rates, arms, seeds = re.findall(
        r"^# Runs:     (\d+) = (?:(\d) rates x )?(\d+) arms x (\d+) seeds", text, re.M
    )[0]
    assert (int(runs), int(seeds)) == (count * len(content["seeds"]), len(content["seeds"]))
    assert int(rates or 1) * int(arms) == count


@pytest.fixture
def plans(freezeout, monkeypatch) -> Any:
    """The plans of a sweep's runs, without its data and without running any."""
    found: list[Any] = []
    for module in ("plan", "resolve"):
        monkeypatch.setattr(f"freezeout.run.{module}.load_data", as_large_as)
    monkeypatch.setattr("freezeout.cli.forecast.forecast", lambda plans, *known: found.extend(plans))
    monkeypatch.setattr("freezeout.cli.sweeper.Arms.launch", lambda self, todo, *rest: None)
    monkeypatch.setattr("freezeout.cli.sweeper.report_failures", lambda folders: None)

    def of(name: str) -> list[Any]:
        said = freezeout(
            "-m", f"sweeps={name}", "data_dir=elsewhere", "tracker=none", "machine.device=cpu", quick=False
        )
        assert said.code == 0, said.err
        assert "duplicates" not in said.err
        return found

    return of


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_sweep_composes_to_its_runs_and_its_predicted_cost(plans, name: str) -> None:
    text, found = (SWEEPS / f"{name}.yaml").read_text(), plans(name)
    assert f"# Runs:     {len(found)} = " in text
    assert {plan.threads for plan in found} == {1}
    hours, milliseconds = map(float, re.findall(r"# Core-hours: (\S+) predicted.*: (\d+) ms a step", text)[0])
    steps = sum(forecast.steps_of(plan) for plan in found)
    assert hours == pytest.approx(steps * milliseconds / 3.6e6, abs=0.06)
    if "Time axis: python" in text:
        command = text.partition("--measure ")[2].partition("# n:")[0].replace("#", " ").split(" and ")[0].split()
        (config,) = compose_all([*command, "tracker=none", "strategy=baseline"])
        times = identity.profile_conditions(make_plan(config))
        assert times in [identity.profile_conditions(plan) for plan in found], "the profile is that of the runs"
    budgets = {plan.steps / plan.full_steps for plan in found}
    assert {1.0, 0.9, 0.8, 0.7, 0.6} <= {round(budget, 6) for budget in budgets}
