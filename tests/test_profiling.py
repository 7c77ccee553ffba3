"""A profile: seconds per step at each prefix, which time any schedule of that network on this machine."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from made_records import find_records

from freezeout.records import digest
from freezeout.run import expected, identity, profiling
from freezeout.savings import profile as profiles
from freezeout.savings.profile import Profile, profiled_saving, profiled_seconds
from freezeout.strategies import Baseline, FreezeOut

SECONDS = [1.0, 0.9, 0.7, 0.5, 0.4]  # of a step with 0 to 4 of 5 stages frozen


def test_a_constant_profile_saves_nothing_and_a_falling_one_what_its_steps_add_up_to() -> None:
    schedule = FreezeOut(t_0=0.5, how_scale="linear", scale_lr=False).schedule(5)
    assert profiled_saving(Profile([2.0] * 5), schedule, 1000) == pytest.approx(0.0)
    by_hand = sum(SECONDS[schedule.prefix(s, 1000)] for s in range(1000))
    profile = Profile(SECONDS)
    assert profiled_seconds(profile, schedule, 1000) == pytest.approx(by_hand)
    assert profiled_saving(profile, schedule, 1000) == pytest.approx(1 - by_hand / 1000)
    assert profiled_saving(profile, Baseline().schedule(5), 600, 1000) == pytest.approx(0.4)
    switching = Profile(SECONDS, [0.0, 10.0, 20.0, 30.0, 40.0])
    assert profiled_seconds(switching, schedule, 1000) == pytest.approx(by_hand + 100)
    assert profiled_saving(switching, Baseline().schedule(5), 1000) == 0.0
    with pytest.raises(ValueError, match="5 prefixes and a schedule for 4"):
        profiled_seconds(profile, Baseline().schedule(4), 10)


@pytest.fixture
def plan(monkeypatch, tmp_path):
    """The plan of a small run; nothing of it has been trained."""
    from freezeout.run.config import Config
    from freezeout.run.groups import TABLES
    from freezeout.run.resolve import make_plan
    from freezeout.train.schema import Machine

    monkeypatch.chdir(tmp_path)
    chosen = {group: next(iter(table.values())) for group, table in TABLES.items()}
    chosen |= {"model": TABLES["model"]["wide_resnet"], "dataset": TABLES["dataset"]["digits"]}
    fields = {group: option() for group, option in chosen.items() if group not in ("machine", "model")}
    model = TABLES["model"]["wide_resnet"](depth=10, widen=1)
    machine = Machine(device="cpu", threads=1)
    return make_plan(Config(**fields, model=model, machine=machine, epochs=2, out=str(tmp_path / "runs")))


def test_prefixes_are_timed_one_after_another(plan, monkeypatch) -> None:
    seen = []
    real = profiling.assemble

    def assemble(planned):
        training = real(planned)
        seen.append(training)
        mark = training.clock.mark
        training.clock.mark = lambda step, prefix: (marks.append((step, prefix)), mark(step, prefix))
        return training

    monkeypatch.setattr(profiling, "assemble", assemble)
    marks: list[tuple[int, int]] = []
    said: list[int] = []
    each = profiling.WARM_UP + 3
    found = profiling.time_prefixes(plan, 3, on_prefix=lambda: said.append(1))
    assert len(found.seconds) == len(found.switches) == len(said) == 5
    assert min(found.seconds) > 0
    assert found.switches[0] == 0 < min(found.switches[1:])
    assert marks == [(step, step // each) for step in range(5 * each)]
    assert seen[-1].freezeout.prefix == 4
    assert len(profiling.time_prefixes(plan, 3, prefixes=range(2)).seconds) == 2
    assert seen[-1].freezeout.prefix == 1


def test_the_timed_steps_alone_are_timed(plan, monkeypatch) -> None:
    """Under a clock that counts steps, the switch to the next prefix costing a hundred of them."""
    from freezeout.train.loop import Training

    now = [0.0]
    real, assemble = Training._begin_step, profiling.assemble

    def slow(training) -> None:
        before = training.freezeout.prefix
        real(training)
        now[0] += 1 + 100 * (training.freezeout.prefix - before)

    def counted(planned):
        training = assemble(planned)
        training.clock._now = training.clock._stamp = lambda: now[0]
        return training

    monkeypatch.setattr(Training, "_begin_step", slow)
    monkeypatch.setattr(profiling, "assemble", counted)
    assert profiling.time_prefixes(plan, 3).seconds == [1.0] * 5


def test_rounds_are_interleaved_and_medians_kept(plan, monkeypatch) -> None:
    rounds = []

    def time_prefixes(_, steps: int, **how) -> Profile:
        rounds.append(steps)
        slow = 100.0 if len(rounds) == 1 else 0.0  # the first round fell into somebody else's burst of work
        return Profile([second + slow for second in SECONDS], [0.0, 0.5 + slow, 0.5, 0.5, 0.5])

    monkeypatch.setattr(profiling, "time_prefixes", time_prefixes)
    profile = profiling.measure(plan, rounds=3, steps=4, say=lambda line: None)
    assert rounds == [4, 4, 4]
    assert (profile.seconds, profile.switches) == (pytest.approx(SECONDS), [0.0, 0.5, 0.5, 0.5, 0.5])
    assert expected.stored_profile(plan) == profile == profiles.read(identity.profile_path(plan))
    assert (profile.conditions["batch_size"], profile.conditions["bn"]) == (50, "eval")
    written = json.loads(identity.profile_path(plan).read_text())
    assert (written["rounds"], written["steps"]) == (3, 4)
    shares = [(second + 100) / (SECONDS[0] + 100) - second / SECONDS[0] for second in SECONDS]
    assert written["width"] == pytest.approx(shares)


def test_rounds_during_which_the_machine_was_slower_leave_the_shares_as_they_are(plan, monkeypatch) -> None:
    slower = iter([1.0, 1.5, 2.0, 1.2, 1.1])

    def time_prefixes(*_, **how) -> Profile:
        factor = next(slower)
        return Profile([factor * second for second in SECONDS], [0.0] * 5)

    monkeypatch.setattr(profiling, "time_prefixes", time_prefixes)
    profile = profiling.measure(plan, rounds=5, steps=4, say=lambda line: None)
    assert [s / profile.seconds[0] for s in profile.seconds] == pytest.approx([s / SECONDS[0] for s in SECONDS])
    assert profile.width == pytest.approx([0.0] * 5)


@pytest.mark.parametrize("n", [3, 5, 8, 15, 20])
def test_the_interval_of_a_median_holds_it_as_often_as_it_says(n: int) -> None:
    rng, held = np.random.default_rng(n), 0
    for _ in range(2000):
        values = rng.exponential(size=n)  # of median log 2
        ordered = np.sort(values)
        wide = profiling.width([*values])
        cut = int(np.argmin([abs(ordered[n - 1 - c] - ordered[c] - wide) for c in range(n // 2)]))
        held += ordered[cut] <= np.log(2) <= ordered[n - 1 - cut]
    assert held / 2000 >= (0.73 if n == 3 else 0.89)
    assert held / 2000 <= (0.78 if n == 3 else 0.975), "as narrow as it may be"


def test_a_measured_profile_enters_the_record_and_sets_the_length_of_const_time(freezeout, plan, tmp_path) -> None:
    profiles.write(identity.profile_path(plan), Profile(SECONDS))
    words = ["model=wrn_10_1", "t_0=0.5", "strategy.how_scale=linear", "strategy.scale_lr=false"]
    said = freezeout(*words, "strategy.const_time=true", "epochs=2")
    assert said.code == 0, said.err
    ((_, record),) = find_records(tmp_path / "runs")
    assert record["steps"] > 56
    schedule = FreezeOut(t_0=0.5, how_scale="linear", scale_lr=False).schedule(5)
    assert profiled_seconds(Profile(SECONDS), schedule, record["steps"]) == pytest.approx(56 * SECONDS[0], rel=0.02)


def moving(plan):
    """The same network; its frozen stages normalise with the statistics of the batch."""
    from freezeout.run.resolve import make_plan

    return make_plan(dataclasses.replace(plan.config, strategy=FreezeOut(t_0=0.5, bn="train")))


def test_prefixes_whose_statistics_still_move_are_timed_as_such(plan, monkeypatch) -> None:
    seen = []
    real = profiling.assemble

    def assemble(planned):
        seen.append(real(planned))
        return seen[-1]

    monkeypatch.setattr(profiling, "assemble", assemble)
    for one in (plan, moving(plan)):
        profiling.time_prefixes(one, 1, prefixes=(4,))
    assert [[stage.training for stage in training.chain] for training in seen] == [[False] * 4 + [True], [True] * 5]


def test_the_profile_of_moving_statistics_has_a_name_of_its_own_and_the_other_keeps_its_name(plan, monkeypatch) -> None:
    monkeypatch.setattr(profiling, "time_prefixes", lambda *_, **how: Profile(SECONDS))
    said: list[str] = []
    for one in (plan, moving(plan)):
        profiling.measure(one, rounds=1, steps=1, say=said.append)
    paths = [identity.profile_path(one) for one in (plan, moving(plan))]
    assert [profiles.read(path).conditions["bn"] for path in paths] == ["eval", "train"]
    assert paths[0].stem == digest(identity.conditions(plan)), "as before there were two kinds"
    assert identity.choices_path(moving(plan)) == identity.choices_path(plan), (
        "one choice, so that runs can be compared"
    )
    lines = [line for line in said if line.startswith("profile: ")]  # a busy machine is mentioned beside
    assert [line.endswith("at each of 5 prefixes with bn=train)") for line in lines] == [False, True]


def test_predict_measures_the_prefixes_of_the_strategy_that_is_asked_for(monkeypatch, capsys, tmp_path) -> None:
    from freezeout import predict
    from freezeout.run import choosing

    monkeypatch.chdir(tmp_path)
    chosen, timed = [], []
    monkeypatch.setattr(choosing, "choose", lambda plan: chosen.append(plan.strategy.bn))
    monkeypatch.setattr(profiling, "time_prefixes", lambda plan, *_, **how: timed.append(plan) or Profile(SECONDS))
    words = ["model=wrn_10_1", "machine=cpu", "strategy=layer_freezing"]
    predict.predict(words, measure=True)
    assert {one.strategy.bn for one in timed} == {"train"}
    assert chosen == ["eval"], "for all runs of the network"
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("     - ")]
    assert row.split()[-1] == "%", "profiled"


def test_a_run_whose_statistics_move_has_the_saving_of_its_own_profile_alone(freezeout, plan, tmp_path) -> None:
    words = ["model=wrn_10_1", "t_0=0.5", "strategy.scale_lr=false", "strategy.bn=train"]
    profiles.write(identity.profile_path(plan), Profile(SECONDS))
    assert freezeout(*words, "strategy.const_time=true").code == 0
    ((_, record),) = find_records(tmp_path / "runs")
    assert record["saving"]["profiled"] is None
    assert record["flops"]["run"] == pytest.approx(56 * record["flops"]["step"], rel=0.02), "by predicted time"
    slower = Profile([1.0, 0.95, 0.9, 0.8, 0.7])
    profiles.write(identity.profile_path(moving(plan)), slower)
    found = expected.saving(moving(plan), 56)["profiled"]
    assert found == profiled_saving(slower, FreezeOut(t_0=0.5).schedule(5), 56)
    assert expected.saving(plan, 56)["profiled"] == 0.0, "of the baseline, by the other"


def test_steps_are_whole_windows_and_worth_a_capture(plan) -> None:
    from freezeout.train.captured import WORTH

    assert profiling.whole_windows(plan, 3) == 3
    plan.run_ahead = 10  # as on CUDA, where there is memory for it
    assert (profiling.whole_windows(plan, 3), profiling.whole_windows(plan, 11)) == (10, 20)
    plan.config.machine.capture = True
    assert profiling.whole_windows(plan, 3) == WORTH == 20


def test_a_profile_is_of_one_network_batch_precision_and_machine(plan) -> None:
    from freezeout.run.resolve import make_plan

    def other(**changes):
        return identity.profile_path(make_plan(dataclasses.replace(plan.config, **changes)))

    own = identity.profile_path(plan)
    assert other(seed=5) == own
    assert other(t_0=0.1) == own
    assert other(batch_size=25) != own
    machine = dataclasses.replace(plan.config.machine, precision="bf16")
    assert other(machine=machine) != own
