"""What the report tells of a run's steps: what each freeze saved, seconds by prefix, and rates between the epochs."""

from __future__ import annotations

import pytest
from made_records import freezeout
from made_traces import BASE, MILLISECONDS, STAGES, STEPS, traced

from analysis.report.rates import rates
from analysis.report.steps import stage_savings, step_times


def test_what_freezes_saved_adds_up_to_what_the_run_saved():
    strategy = freezeout(0.5)
    record = {"steps": STEPS, "config": {"strategy": strategy}, **traced(strategy)}
    events = stage_savings(record)
    seconds = sum(block["seconds"] for block in record["prefixes"])
    assert sum(event["share"] for event in events) == pytest.approx(1 - seconds / (STEPS * MILLISECONDS[0] / 1000))
    assert [(event["first"], event["last"]) for event in events] == [(0, 0), (1, 1), (2, 2), (3, 3)]
    first = events[0]
    assert first["share"] == pytest.approx((1 - record["freeze_steps"][0] / STEPS) * 0.1)
    assert (first["before"], first["after"]) == pytest.approx((10.0, 9.0))


def test_stages_that_freeze_together_are_one_event():
    blocks = [(0, 0, 40, 0.4), (3, 40, 100, 0.3)]
    prefixes = [{"prefix": k, "step_from": a, "step_to": b, "seconds": s} for k, a, b, s in blocks]
    (event,) = stage_savings({"steps": 100, "prefixes": prefixes, "config": {}})
    assert (event["first"], event["last"], event["share"]) == (0, 2, pytest.approx(0.3))


def test_step_times_are_medians_over_runs_with_their_range():
    strategy = freezeout(0.5)
    base = {"steps": STEPS, "config": {"strategy": strategy}}
    runs = [{**base, **traced(strategy, slower=slower)} for slower in (1.0, 1.1, 1.5)]
    found = step_times(runs)
    assert [row["ms"] for row in found] == pytest.approx([1.1 * ms for ms in MILLISECONDS])
    assert (found[0]["low"], found[0]["high"], found[0]["runs"]) == (pytest.approx(10), pytest.approx(15), 3)


def test_remembered_prefixes_and_batch_statistics_are_steps_of_their_own_kind():
    strategy = freezeout(0.5)
    plain = {"steps": STEPS, "config": {"strategy": strategy}, **traced(strategy)}
    cached = {**plain, "effective": {"cache": "what pays", "views": {"count": 2}}}
    batch = {**plain, "config": {"strategy": {**strategy, "bn": "train"}}}
    kinds = {row["kind"] for row in step_times([plain, cached, batch])}
    assert kinds == {"prefix computed at every step", "its outputs remembered, 2 views", "bn=train"}
    assert [row["runs"] for row in step_times([plain, cached, batch]) if row["prefix"] == 0] == [3]


def test_rates_between_the_epochs_are_the_strategys_formula_where_it_gives_the_recorded_ones():
    strategy = freezeout(0.5)
    record = {"steps": STEPS, "config": {"strategy": strategy, "optimizer": {"lr": BASE}}, **traced(strategy)}
    found = rates(record)
    assert found["is_formula"]
    assert found["rates"][0][0] == pytest.approx(BASE / record["freeze_times"][0], rel=1e-3)
    frozen = [s / STEPS for s in record["freeze_steps"] if s is not None]
    for i, t_i in enumerate(frozen):
        assert all((rate is None) == (t >= t_i - 1e-5) for t, rate in zip(found["t"], found["rates"][i], strict=True))
    assert len(found["rates"]) == len(STAGES)


def test_rates_that_no_formula_gives_are_the_recorded_ones():
    strategy = freezeout(0.5)
    record = {"steps": STEPS, "config": {"strategy": strategy, "optimizer": {"lr": BASE}}, **traced(strategy)}
    record["epochs"][0]["learning_rates"] = [0.001] * len(STAGES)  # a warm-up
    found = rates(record)
    assert not found["is_formula"]
    assert (len(found["t"]), found["rates"][-1][0]) == (len(record["epochs"]), 0.001)
