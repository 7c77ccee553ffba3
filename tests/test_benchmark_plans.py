"""The benchmark's runs are planned like any user's."""

from __future__ import annotations

import pytest
from made_benchmarks import SMALL

from benchmarks import plans
from freezeout.run.config import ConfigError
from freezeout.strategies import Baseline


def test_a_plan_is_a_baseline_of_the_length_that_was_asked_for() -> None:
    planned = plans.plan_of(SMALL, "wrn_10_1", epoch=3, steps=20)
    assert planned.strategy == Baseline()
    assert planned.steps == 20
    assert planned.source.sizes["train"] == 3 * SMALL.batch
    assert planned.source.image == (SMALL.image, SMALL.image)
    assert planned.threads == SMALL.threads


def test_what_cannot_be_run_is_one_line() -> None:
    with pytest.raises(ConfigError, match="wrn_10_2: unknown"):
        plans.plan_of(SMALL, "wrn_10_2", epoch=3, steps=20)


def test_a_frozen_schedule_has_a_prefix_from_the_first_step_and_the_rates_of_the_baseline() -> None:
    schedule = plans.frozen_schedule(2, 5)
    assert [schedule.prefix(step, 100) for step in (0, 1, 99)] == [2, 2, 2]
    for step in (0, 50, 99):
        assert schedule.factors(step, 100) == Baseline().schedule(5).factors(step, 100)
