"""The ideal saving is what frozen steps would have taken, and each stage is charged with its own work."""

from __future__ import annotations

import pytest
from made_benchmarks import plan, slow_down, slow_second_stage

from benchmarks import ideal
from freezeout.run.plan import Plan
from freezeout.savings.cost import StageCost, predicted_saving
from freezeout.strategies import Baseline, FreezeOut

SCHEDULE = FreezeOut(t_0=0.5, how_scale="linear", scale_lr=False).schedule(5)
OWN = [0.05, 0.2, 0.2, 0.15, 0.1]
FORWARD = (1 - sum(OWN)) / 5


def test_the_ideal_is_what_frozen_steps_would_have_taken() -> None:
    by_hand = sum(sum(OWN[: SCHEDULE.prefix(s, 400)]) for s in range(400)) / 400
    assert ideal.ideal_saving(OWN, SCHEDULE, 400) == pytest.approx(by_hand)
    assert ideal.ideal_saving(OWN, Baseline().schedule(5), 400) == 0


def test_the_ideal_is_the_predicted_saving_where_costs_are_seconds() -> None:
    costs = [StageCost(forward=FORWARD, backward_own=s, backward_input=0.0) for s in OWN]
    assert ideal.ideal_saving(OWN, SCHEDULE, 400) == pytest.approx(predicted_saving(costs, SCHEDULE, 400))
    inputs = [0.5, 0.02, 0.04, 0.06, 0.01]  # the first is never paid
    costs = [
        StageCost(forward=FORWARD, backward_own=s - h, backward_input=h)
        for s, h in zip(OWN, [0.0, *inputs[1:]], strict=True)
    ]
    saving = ideal.ideal_saving(OWN, SCHEDULE, 400, inputs)
    assert saving == pytest.approx(predicted_saving(costs, SCHEDULE, 400))


def test_shares_of_another_network_are_refused() -> None:
    with pytest.raises(ValueError, match="5 shares and a schedule for 4"):
        ideal.ideal_saving(OWN, Baseline().schedule(4), 400)


def test_a_stages_backward_lies_between_the_gradients_at_its_two_ends() -> None:
    # Arrivals at the outputs of stages 2, 1, 0 and the optimizer's beginning, in two steps.
    moments = [0.0, 1.0, 3.0, 7.0, 10.0, 11.0, 13.0, 19.0]
    assert ideal.own_backward(moments, 3) == [5.0, 2.0, 1.0]
    with pytest.raises(RuntimeError, match="not all were seen"):
        ideal.own_backward(moments[:-1], 3)


def test_clocked_stages_charge_a_slow_backward_to_its_stage(monkeypatch) -> None:
    monkeypatch.setattr(ideal, "Engine", slow_second_stage)
    own, step = ideal.ClockedStages(plan()).own_seconds()
    assert own[1] >= 0.02
    assert sum(own) - own[1] < own[1]
    assert step > sum(own[i] for i in range(4))


def test_work_for_the_input_alone_is_charged_to_the_stage_that_does_it(monkeypatch) -> None:
    build = Plan.build

    def slow_at_its_input(planned):
        chain = build(planned)
        slow_down(chain[2])  # only a gradient of its input goes through it
        return chain

    monkeypatch.setattr(Plan, "build", slow_at_its_input)
    inputs = ideal.ClockedStages(plan()).input_seconds()
    assert inputs[2] >= 0.015
    assert all(0 <= seconds < 0.01 for i, seconds in enumerate(inputs) if i != 2)
