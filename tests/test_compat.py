"""compat=original: each habit of the original, and that it is off unless asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freezeout import records
from freezeout.compat import Original, applied, check_compat
from freezeout.naming import name_of
from freezeout.savings.cost import StageCost, predicted_saving
from freezeout.schedule import POWERS
from freezeout.strategies import STRATEGIES, Baseline, FreezeOut, Geometric, LayerFreezing, Shortened

PAPER = FreezeOut(t_0=0.8, how_scale="cubic", scale_lr=True)
strategies = st.builds(FreezeOut, t_0=st.floats(0.05, 1.0), how_scale=st.sampled_from(sorted(POWERS)))


def test_with_900_steps_an_epoch_the_schedule_outlasts_the_run() -> None:
    total = 100 * 900
    schedule = Original(strategy=PAPER, steps_per_epoch=900).schedule(40)
    steps = schedule.freeze_steps(total)
    assert steps[0] / total == pytest.approx(0.569, abs=5e-4)
    assert PAPER.schedule(40).freeze_steps(total)[0] / total == pytest.approx(0.512, abs=1e-4)
    assert None in steps[:-1], "the last stages never freeze"
    assert schedule.factors(total - 1, total)[-1] > 0.02, "and the final rate is not 0"


def test_with_1800_steps_an_epoch_every_rate_is_0_before_the_end_and_the_head_is_not_frozen() -> None:
    total = 10 * 1800
    schedule = Original(strategy=PAPER, steps_per_epoch=1800).schedule(40)
    assert all(schedule.factors(10_001, total)[i] == 0 for i in range(40))
    assert schedule.prefix(total - 1, total) == 39


def test_a_stage_freezes_one_step_past_its_time_and_that_step_runs_at_rate_0() -> None:
    schedule = Original(strategy=FreezeOut(t_0=0.5, how_scale="linear"), steps_per_epoch=1000).schedule(20)
    assert (schedule.prefix(500, 1000), schedule.prefix(501, 1000)) == (0, 1)
    assert schedule.factors(499, 1000)[0] > 0
    assert schedule.factors(500, 1000)[0] == 0


def test_vgg_never_anneals_and_never_freezes() -> None:
    schedule = applied("original", PAPER, "vgg", 900).schedule(14)
    assert schedule.freeze_steps(1800) == [None] * 14
    assert schedule.factors(1799, 1800) == schedule.factors(0, 1800) == [1 / t for t in schedule.anneal]
    assert predicted_saving([StageCost(1, 1, 1)] * 14, schedule, 1800) == 0


@given(strategies, st.integers(1, 30), st.integers(1, 3000), st.integers(1, 200), st.booleans())
def test_freeze_steps_and_segments_say_what_the_prefix_does(strategy, n, per_epoch, total, advances) -> None:
    schedule = Original(strategy=strategy, steps_per_epoch=per_epoch, advances=advances).schedule(n)
    for i, step in enumerate(schedule.freeze_steps(total)):
        frozen = [s for s in range(total) if schedule.prefix(s, total) > i]
        assert step == (frozen[0] if frozen else None)
    for prefix, first, end in schedule.segments(total):
        assert all(schedule.prefix(s, total) == prefix for s in range(first, end))


def test_only_vggs_clock_stands_still_and_without_the_mode_nothing_is_changed() -> None:
    for network in ("densenet_bc", "wide_resnet"):
        assert applied("original", PAPER, network, 900) == Original(strategy=PAPER, steps_per_epoch=900)
    assert applied(None, PAPER, "vgg", 900) is PAPER


def test_the_mode_knows_the_strategies_of_the_original_only() -> None:
    for strategy in (PAPER, Baseline(), Shortened()):
        check_compat("original", name_of(STRATEGIES, strategy), strategy)
    for strategy in (LayerFreezing(epochs=2), Geometric(epochs=2), FreezeOut(t_0=0.5, const_time=True)):
        check_compat(None, name_of(STRATEGIES, strategy), strategy)
        with pytest.raises(ValueError, match="compat=original: ") as refusal:
            check_compat("original", name_of(STRATEGIES, strategy), strategy)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("compat=modern", "compat=modern: must be one of original"),
        ("compat=original strategy=layer_freezing", "choose baseline, shortened, freezeout"),
        ("compat=original strategy.const_time=true", "set strategy.const_time=false"),
    ],
)
def test_what_the_mode_cannot_do_is_refused_in_one_line(freezeout, words, named) -> None:
    said = freezeout(*words.split())
    assert said.code != 0
    assert named in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_it_is_off_by_default_and_old_runs_keep_their_names() -> None:
    effective = {"model": {"name": "wide_resnet"}, "steps": 100}
    assert records.digest(effective | {"compat": None}) == records.digest(effective)
    assert records.digest(effective | {"compat": "original"}) != records.digest(effective)


def test_a_run_under_it_records_what_it_did(freezeout) -> None:
    words = ("t_0=0.1", "strategy.scale_lr=false", "epochs=2")
    freezeout(*words)
    freezeout(*words, "compat=original")
    ours, original = sorted(
        (json.loads(p.read_text()) for p in Path("runs").glob("*/*/record.json")),
        key=lambda r: str(r["config"]["compat"]),
    )
    assert (ours["config"]["compat"], original["config"]["compat"]) == (None, "original")
    assert ours["setting_id"] != original["setting_id"], "they are not each other's rivals"
    # 28 steps an epoch count as 1,000: of 2,000 iterations stage 0 has 0.1 ** 3, and the next more than there are.
    assert original["freeze_steps"] == [3, None, None, None, None]
    assert [s["freeze_step"] for s in original["stages"]] == original["freeze_steps"]
    assert [b["prefix"] for b in original["prefixes"]] == [0, 1, 1]
    assert original["epochs"][-1]["learning_rates"][-1] > 0.099
    assert 0 < original["saving"]["predicted"] < ours["saving"]["predicted"]


def test_predict_counts_by_the_same_clock(tmp_path, capsys, monkeypatch) -> None:
    from freezeout.predict import predict

    monkeypatch.chdir(tmp_path)
    words = ["compat=original", "t_0=0.1", "strategy.scale_lr=false", "epochs=2", "machine=cpu"]
    predict(words, measure=False)
    said = capsys.readouterr().out
    assert "compat=original" in said
    assert "3 (t = 0.054)" in said
