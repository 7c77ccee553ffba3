"""strategy.depth: how deep a stage lies, by its place or by cost, from the words typed to the steps that freeze."""

from __future__ import annotations

import json

import pytest
from configurations import plan_of, start
from made_records import find_records

from freezeout.naming import label_of, run_title, series
from freezeout.run import expected, identity
from freezeout.run.config import ConfigError
from freezeout.schedule import cost_depths

OF_DEPTH = pytest.mark.parametrize("name", ["freezeout", "lr_only", "freeze_only"])


def planned(name: str, **fields):
    config = start("strategy", name)
    config["strategy"] |= {"how_scale": "linear"} | fields
    return plan_of(config)


@OF_DEPTH
def test_by_cost_a_stage_lies_behind_the_counted_flops_of_those_before_it(name: str) -> None:
    plan = planned(name, depth="cost")
    whole = [cost.forward + cost.backward_own + cost.backward_input for cost in plan.costs]
    times = plan.schedule.anneal if name == "lr_only" else plan.schedule.freeze
    assert times == pytest.approx([0.5 + 0.5 * depth for depth in cost_depths(whole)])
    assert times != planned(name).schedule.freeze
    assert planned(name, depth=whole).schedule == plan.schedule, "the same numbers, written down"


@OF_DEPTH
def test_the_depth_by_index_leaves_names_and_labels_as_they_were(name: str) -> None:
    plan, by_cost = planned(name), planned(name, depth="cost")
    effective = identity.effective(plan)
    assert effective["strategy"].pop("depth") == "index"
    assert identity.records.digest(effective) == identity.name(plan) != identity.name(by_cost)
    assert "depth" not in label_of(plan.config_dict)["strategy"]
    assert "depth" not in run_title(plan.config_dict)
    assert label_of(by_cost.config_dict)["strategy"]["depth"] == "cost"
    assert "depth=cost" in run_title(by_cost.config_dict)
    assert "depth=cost" in series(label_of(by_cost.config_dict))


def test_equal_cost_a_step_saves_otherwise_than_equal_count() -> None:
    index, cost = planned("freezeout"), planned("freezeout", depth="cost")
    saved = [expected.saving(plan, plan.steps)["predicted"] for plan in (index, cost)]
    assert abs(saved[0] - saved[1]) > 0.01
    assert expected.saving(cost, cost.steps)["estimated"] is None


def test_a_run_by_cost_freezes_as_predicted_and_its_command_makes_it_again(freezeout, tmp_path) -> None:
    words = ["t_0=0.3", "strategy.how_scale=linear", "strategy.scale_lr=false"]
    for depth in ("cost", "[4,2,1,1,1]", "index"):
        said = freezeout(*words, f"strategy.depth={depth}")
        assert said.code == 0, said.err
    found = {json.dumps(record["config"]["strategy"]["depth"]): record for _, record in find_records(tmp_path / "runs")}
    assert {*found} == {'"cost"', "[4, 2, 1, 1, 1]", '"index"'}
    numbers = found["[4, 2, 1, 1, 1]"]
    assert numbers["freeze_times"] == pytest.approx([0.3, 0.65, 0.825, 0.9125, 1.0])
    assert "'strategy.depth=[4,2,1,1,1]'" in numbers["command"]
    assert len({tuple(record["freeze_steps"]) for record in found.values()}) == 3
    for record in found.values():
        assert [block["prefix"] for block in record["prefixes"]] == sorted(b["prefix"] for b in record["prefixes"])
        first = {b["prefix"]: b["step_from"] for b in reversed(record["prefixes"])}
        assert [first[i + 1] for i in range(4)] == record["freeze_steps"][:4]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("strategy.depth=price", "strategy.depth=price: must be one of index, cost"),
        ("strategy.depth=[1,2]", "strategy.depth=[1, 2]: 2 costs for 5 stages; give one each"),
        ("strategy.depth=cost compat=original", "set strategy.depth=index"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_folder(freezeout, tmp_path, words: str, line: str) -> None:
    said = freezeout(*words.split())
    assert said.code == 2
    assert line in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_network_whose_stages_cannot_be_costed_takes_numbers(monkeypatch) -> None:
    from freezeout.run import resolve

    monkeypatch.setattr(resolve, "counted", lambda *_: (3, None))
    assert planned("freezeout", depth=[1, 2, 3]).schedule.freeze == pytest.approx([0.5, 0.5 + 0.5 / 3, 1.0])
    with pytest.raises(ConfigError, match=r"^strategy\.depth=cost: this network's stages cannot be costed"):
        planned("freezeout", depth="cost")
