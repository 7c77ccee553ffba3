"""A profile: seconds per step at each prefix, which time any schedule of that network on this machine."""

from __future__ import annotations

import json

import pytest

from freezeout.records import find_records
from freezeout.run import profiling
from freezeout.savings import cost
from freezeout.strategies import Baseline, FreezeOut

SECONDS = [1.0, 0.9, 0.7, 0.5, 0.4]  # of a step with 0 to 4 of 5 stages frozen


def test_a_constant_profile_saves_nothing_and_a_falling_one_what_its_steps_add_up_to() -> None:
    schedule = FreezeOut(t_0=0.5, how_scale="linear", scale_lr=False).schedule(5)
    assert cost.profiled_saving(cost.Profile([2.0] * 5), schedule, 1000) == pytest.approx(0.0)
    by_hand = sum(SECONDS[schedule.prefix(s, 1000)] for s in range(1000))
    profile = cost.Profile(SECONDS)
    assert cost.profiled_seconds(profile, schedule, 1000) == pytest.approx(by_hand)
    assert cost.profiled_saving(profile, schedule, 1000) == pytest.approx(1 - by_hand / 1000)
    assert cost.profiled_saving(profile, Baseline().schedule(5), 600, 1000) == pytest.approx(0.4)
    switching = cost.Profile(SECONDS, [0.0, 10.0, 20.0, 30.0, 40.0])
    assert cost.profiled_seconds(switching, schedule, 1000) == pytest.approx(by_hand + 100)
    assert cost.profiled_saving(switching, Baseline().schedule(5), 1000) == 0.0
    with pytest.raises(ValueError, match="5 prefixes and a schedule for 4"):
        cost.profiled_seconds(profile, Baseline().schedule(4), 10)


@pytest.fixture
def plan(monkeypatch, tmp_path):
    """The plan of a small run; nothing of it has been trained."""
    from freezeout.run.config import TABLES, Config
    from freezeout.run.plan import make_plan
    from freezeout.train.schema import Machine

    monkeypatch.chdir(tmp_path)
    chosen = {group: next(iter(table.values())) for group, table in TABLES.items()}
    chosen |= {"model": TABLES["model"]["wide_resnet"], "dataset": TABLES["dataset"]["digits"]}
    fields = {group: option() for group, option in chosen.items() if group not in ("machine", "model")}
    model = TABLES["model"]["wide_resnet"](depth=10, widen=1)
    machine = Machine(device="cpu", threads=1)
    return make_plan(Config(**fields, model=model, machine=machine, epochs=2, out=str(tmp_path / "runs")))


def test_a_climb_times_whole_prefixes_one_after_another(plan, monkeypatch) -> None:
    seen = []
    real = profiling.begin

    def begin(planned):
        current = real(planned)
        seen.append(current.training)
        mark = current.training.clock.mark
        current.training.clock.mark = lambda step, prefix: (marks.append((step, prefix)), mark(step, prefix))
        return current

    monkeypatch.setattr(profiling, "begin", begin)
    marks: list[tuple[int, int]] = []
    said: list[int] = []
    each = profiling.WARM_UP + 3
    found = profiling.climb(plan, 3, say=lambda: said.append(1))
    assert len(found.seconds) == len(found.switches) == len(said) == 5
    assert min(found.seconds) > 0
    assert found.switches[0] == 0 < min(found.switches[1:])
    assert marks == [(step, step // each) for step in range(5 * each)]
    assert seen[-1].freezeout.prefix == 4
    assert len(profiling.climb(plan, 3, levels=2).seconds) == 2
    assert seen[-1].freezeout.prefix == 1


def test_a_climb_times_its_steps_and_nothing_else(plan, monkeypatch) -> None:
    """Under a clock that counts steps, the switch to the next prefix costing a hundred of them."""
    from freezeout.train.loop import Training

    now = [0.0]
    real, begin = Training._begin_step, profiling.begin

    def slow(training) -> None:
        before = training.freezeout.prefix
        real(training)
        now[0] += 1 + 100 * (training.freezeout.prefix - before)

    def counted(planned):
        current = begin(planned)
        current.training.clock._now = current.training.clock._stamp = lambda: now[0]
        return current

    monkeypatch.setattr(Training, "_begin_step", slow)
    monkeypatch.setattr(profiling, "begin", counted)
    assert profiling.climb(plan, 3).seconds == [1.0] * 5


def test_rounds_are_interleaved_and_medians_kept(plan, monkeypatch) -> None:
    rounds = []

    def climb(_, steps: int, **how) -> cost.Profile:
        rounds.append(steps)
        slow = 100.0 if len(rounds) == 1 else 0.0  # the first round fell into somebody else's burst of work
        return cost.Profile([second + slow for second in SECONDS], [0.0, 0.5 + slow, 0.5, 0.5, 0.5])

    monkeypatch.setattr(profiling, "climb", climb)
    profile = profiling.measure(plan, rounds=3, steps=4, say=lambda line: None)
    assert rounds == [4, 4, 4]
    assert (profile.seconds, profile.switches) == (SECONDS, [0.0, 0.5, 0.5, 0.5, 0.5])
    written = json.loads(plan.profile_path.read_text())
    assert (written["seconds"], written["switches"]) == (profile.seconds, profile.switches)
    assert plan.profile == profile


def test_a_measured_profile_enters_the_record_and_sets_the_length_of_const_time(freezeout, plan, tmp_path) -> None:
    from freezeout.records import write_json_atomic

    write_json_atomic(plan.profile_path, {"seconds": SECONDS})
    words = ["model=wrn_10_1", "t_0=0.5", "strategy.how_scale=linear", "strategy.scale_lr=false"]
    said = freezeout(*words, "strategy.const_time=true", "epochs=2")
    assert said.code == 0, said.err
    ((_, record),) = find_records(tmp_path / "runs")
    assert record["const_time"]["by"] == "profiled"
    assert abs(record["const_time"]["mismatch"]) < 0.02
    schedule = FreezeOut(t_0=0.5, how_scale="linear", scale_lr=False).schedule(5)
    assert cost.profiled_seconds(cost.Profile(SECONDS), schedule, record["steps"]) == pytest.approx(
        56 * SECONDS[0], rel=0.02
    )


def test_a_prefix_whose_statistics_still_move_is_not_what_was_timed(freezeout, plan, tmp_path) -> None:
    from freezeout.records import write_json_atomic

    write_json_atomic(plan.profile_path, {"seconds": SECONDS})
    words = ["model=wrn_10_1", "t_0=0.5", "strategy.scale_lr=false", "strategy.bn=train", "strategy.const_time=true"]
    assert freezeout(*words).code == 0
    ((_, record),) = find_records(tmp_path / "runs")
    assert record["saving"]["profiled"] is None
    assert record["const_time"]["by"] == "predicted"


def test_steps_are_whole_windows_and_worth_a_capture(plan) -> None:
    from freezeout.train.captured import WORTH

    assert profiling.whole(plan, 3) == 3
    plan.run_ahead = 10  # as on CUDA, where there is memory for it
    assert (profiling.whole(plan, 3), profiling.whole(plan, 11)) == (10, 20)
    plan.config.machine.capture = True
    assert profiling.whole(plan, 3) == WORTH == 20


def test_a_profile_is_of_one_network_batch_precision_and_machine(plan) -> None:
    import dataclasses

    def other(**changes):
        return dataclasses.replace(plan, config=dataclasses.replace(plan.config, **changes)).profile_path

    assert other(seed=5) == plan.profile_path
    assert other(t_0=0.1) == plan.profile_path
    assert other(batch_size=25) != plan.profile_path
    machine = dataclasses.replace(plan.config.machine, precision="bf16")
    assert other(machine=machine) != plan.profile_path
