"""An adaptive strategy at work: in a plain loop, in every way of executing a step, and in a run that is stopped."""

from __future__ import annotations

import copy
import json
import math
import re
import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import replay
import torch
from configurations import plan_of, start
from launched import comparable, impatient, only_run
from made_records import find_records
from replay import STEPS
from tape import Tapes
from test_engine import AS_IT_IS, SingleRates, agree
from test_freeze import FACTS, small_chain, train
from test_freeze import STEPS as SMALL
from torch.utils._python_dispatch import TorchDispatchMode

from analysis.__main__ import main
from freezeout import FreezeOut, predict, records
from freezeout.adaptive import ADAPTIVE, AutoFreeze, WeightDelta
from freezeout.run import expected, runner
from freezeout.run.assemble import assemble
from freezeout.savings.cost import predicted_saving
from freezeout.savings.profile import Profile, profiled_saving
from freezeout.schedule import Schedule
from freezeout.strategy import Adaptive
from freezeout.train import captured, loop
from freezeout.train.captured import CapturedStep

RULES = {"autofreeze": AutoFreeze(intervals=8), "weight_delta": WeightDelta(intervals=8, threshold=0.5)}
every = pytest.mark.parametrize("name", RULES)


def make(strategy, kind: type[FreezeOut] = FreezeOut, total: int = SMALL, **options):
    chain = small_chain()
    optimizer = torch.optim.SGD(chain.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    return chain, optimizer, kind(chain, optimizer, strategy, total, **options)


class Planned(Adaptive):
    """Freezes as many stages as it was told to after each interval, and keeps what it was shown."""

    intervals, observes = 4, "movement"

    def __init__(self, *prefixes: int) -> None:
        self.prefixes = prefixes

    def init(self, n: int):
        return {"seen": []}

    def update(self, state, t: float, observation):
        return {"seen": [*state["seen"], [t, list(observation)]]}

    def frozen_prefix(self, state, t: float) -> int:
        return self.prefixes[len(state["seen"]) - 1]


def test_it_decides_at_the_end_of_every_interval_but_the_last_from_what_was_seen_in_it() -> None:
    chain, optimizer, freezeout = make(Planned(0, 2, 3))
    prefixes = []
    for step in range(SMALL):
        train(chain, optimizer, freezeout, 1, first=step)
        prefixes.append(freezeout.prefix)
    assert prefixes == [0] * 20 + [2] * 10 + [3] * 10
    assert freezeout.times == (0.5, 0.5, 0.75, 1.0, 1.0)
    assert freezeout.events == [20, 30]
    seen = freezeout.state_dict()["adaptive"]["state"]["seen"]
    assert [t for t, _ in seen] == [0.25, 0.5, 0.75]
    assert [[moved > 0 for moved in one] for _, one in seen] == [
        [True] * 5,
        [True] * 5,
        [False, False, True, True, True],
    ]


def test_a_strategy_that_would_thaw_or_freeze_the_head_does_neither() -> None:
    chain, optimizer, freezeout = make(Planned(3, 1, 5))
    train(chain, optimizer, freezeout, SMALL)
    assert freezeout.times == (0.25, 0.25, 0.25, 0.75, 1.0)


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.__name__)
def test_what_it_freezes_obeys_the_freeze_contract(fact, monkeypatch) -> None:
    """The facts are those of a schedule with one more stage frozen from t = 0.3, 0.475, 0.65 and 0.825 on."""

    class Scheduled(Planned):
        intervals = 40

        def frozen_prefix(self, state, t: float) -> int:
            return Schedule(freeze=(0.3, 0.475, 0.65, 0.825, 1.0), anneal=(1.0,) * 5).prefix(round(40 * t), 40)

    class Adapted(FreezeOut):
        def __init__(self, stages, optimizer, strategy, total_steps) -> None:
            super().__init__(stages, optimizer, Scheduled(), total_steps)

    fact(Adapted)


@every
@pytest.mark.parametrize("stop", [1, 7, 15, 16, 38])
@pytest.mark.parametrize("order", [(0, 2, 1), (2, 0, 1)], ids=str)
def test_a_resumed_loop_is_the_loop_that_was_never_stopped(name: str, stop: int, order) -> None:
    through = make(RULES[name])
    train(*through, SMALL)
    assert 0 < through[2].prefix < 5
    first = make(RULES[name])
    train(*first, stop)
    saved = copy.deepcopy([part.state_dict() for part in first])
    json.dumps(saved[2]["adaptive"]["state"])
    again = make(RULES[name])
    for i in order:
        again[i].load_state_dict(copy.deepcopy(saved[i]))
    train(*again, SMALL - stop, first=stop)
    assert again[2].times == through[2].times
    for a, b in zip(again[0].state_dict().values(), through[0].state_dict().values(), strict=True):
        assert torch.equal(a, b)


@every
def test_a_state_between_the_decision_and_its_step_decides_once(name: str) -> None:
    through = make(RULES[name])
    train(*through, SMALL)
    first = make(RULES[name])
    train(*first, 10)
    first[2].settle()
    saved = copy.deepcopy([part.state_dict() for part in first])
    again = make(RULES[name])
    for part, state in zip(again, saved, strict=True):
        part.load_state_dict(state)
    train(*again, SMALL - 10, first=10)
    assert again[2].times == through[2].times
    assert all(torch.equal(a, b) for a, b in zip(again[0].parameters(), through[0].parameters(), strict=True))


def test_without_its_state_it_does_not_go_on() -> None:
    freezeout = make(RULES["autofreeze"])[2]
    freezeout.load_state_dict({"step": 0})
    with pytest.raises(ValueError, match=r"^step 7: what an adaptive strategy had seen .* is not in the state$"):
        freezeout.load_state_dict({"step": 7})


def test_events_that_are_not_known_cannot_be_limited() -> None:
    with pytest.raises(ValueError, match=r"^max_events=3: an adaptive strategy does not know them; give it intervals"):
        make(RULES["autofreeze"], max_events=3)


class Operations(TorchDispatchMode):
    """The operations that run inside."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@every
def test_within_an_interval_a_step_costs_one_operation_at_most_and_reads_nothing(name: str) -> None:
    def names(strategy) -> list[str]:
        chain, optimizer, freezeout = make(strategy)
        train(chain, optimizer, freezeout, 2)
        with Operations() as within:
            train(chain, optimizer, freezeout, 1, first=2)
        return within.names

    plain = names(Planned(0, 0, 0))
    own = names(RULES[name])
    assert "_local_scalar_dense" not in own
    assert own.count("_foreach_add_") - plain.count("_foreach_add_") == (1 if name == "autofreeze" else 0)
    assert len(own) == len(plain) + (1 if name == "autofreeze" else 0)


# Every way of executing a step


def free_run(strategy, network: str = "wrn", **how):
    """Losses of 60 steps, the state at their end, and when each stage froze."""
    seen = []

    class Seen(how.pop("mechanism", FreezeOut)):
        def __init__(self, *given, **named) -> None:
            super().__init__(*given, **named)
            seen.append(self)

    steps = list(replay.replay(replay.load(network), strategy=strategy, mechanism=Seen, **how))
    return ([loss for loss, _, _ in steps], steps[-1][2].state_dict()), seen[0].times


@pytest.mark.parametrize("engine", [AS_IT_IS, {"fold": True}, {"fold": True, "run_ahead": 5}], ids=str)
@every
def test_it_freezes_the_same_in_every_engine(name: str, engine) -> None:
    strategy = {"autofreeze": AutoFreeze(intervals=7), "weight_delta": WeightDelta(intervals=7, threshold=0.2)}[name]
    plain, times = free_run(strategy, plain=True)
    assert 0.0 < times[0] < 1.0
    found, own = free_run(strategy, **engine)
    assert own == times
    agree(plain, found)


@pytest.mark.parametrize("engine", [{"fold": True}, {"fold": True, "run_ahead": 5}], ids=str)
@every
def test_a_captured_step_goes_on_observing(name: str, engine, monkeypatch) -> None:
    strategy = {"autofreeze": AutoFreeze(intervals=7), "weight_delta": WeightDelta(intervals=7, threshold=0.2)}[name]
    plain, times = free_run(strategy, plain=True, mechanism=SingleRates)
    assert times[0] < 1.0
    monkeypatch.setattr(captured, "WORTH", 2)
    real, made = loop.Training.__post_init__, []

    def post_init(training) -> None:
        real(training)

        def state():
            step = training.captured
            yield from training.chain.state_dict().values()
            yield from (v for s in training.optimizer.state.values() for v in s.values() if isinstance(v, torch.Tensor))
            yield from (step._row, step._rates, training.loss_sum)
            yield from (t for own in training.freezeout._adapting._observer.state_dict() for t in own)

        made.append(Tapes(state))
        training.captured = CapturedStep(training.body, training.freezeout, training.optimizer, made[0])

    monkeypatch.setattr(loop.Training, "__post_init__", post_init)
    found, own = free_run(strategy, **engine)
    assert len(made[0].made) == 7, "a capture an interval"
    assert made[0].warmed < STEPS / 4
    assert own == times
    agree(plain, found)


# Runs


RUNS = {
    "autofreeze": ["strategy=autofreeze", "strategy.intervals=9"],
    "weight_delta": ["strategy=weight_delta", "strategy.intervals=9", "strategy.threshold=0.12"],
}


@every
@pytest.mark.parametrize(
    ("after", "machine"),
    [(20, "machine.run_ahead=5"), (56, "machine.run_ahead=1")],
    ids=["within an interval", "where an epoch ends"],
)
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(
    freezeout, tmp_path, monkeypatch, name: str, after: int, machine: str
) -> None:
    words = [*RUNS[name], machine, "epochs=4", "model=wide_resnet", "model.depth=10", "model.dropout=0.3"]
    assert freezeout(*words, "out=whole").code == 0
    with monkeypatch.context() as patched:
        patched.setattr(runner, "Stop", impatient(after))
        assert freezeout(*words, "out=parts").code == 128 + signal.SIGINT
    interrupted = records.read_record(only_run(tmp_path / "parts"))
    assert interrupted["flops"] is None
    assert {*interrupted["saving"].values()} == {None}, "not known before the end"
    assert freezeout(*words, "out=parts").code == 0
    folders = [only_run(tmp_path / out) for out in ("whole", "parts")]
    one, other = (records.read_record(folder) for folder in folders)
    assert one["freeze_steps"][0] is not None
    assert comparable(other) == comparable(one)
    a, b = (torch.load(f / "checkpoint.pt", weights_only=True)["model"] for f in folders)
    assert all(torch.equal(a[key], b[key]) for key in a)


@every
def test_what_froze_when_is_in_the_record_and_gives_the_saving_afterwards(
    name: str, freezeout, tmp_path, capsys
) -> None:
    said = freezeout(*RUNS[name], "epochs=4")
    assert said.code == 0, said.err
    ((folder, record),) = find_records(tmp_path / "runs")
    steps = record["freeze_steps"]
    assert steps[0] is not None
    assert steps[-1] is None
    ends = {math.ceil(k * 112 / 9) for k in range(1, 9)}
    assert {step for step in steps if step is not None} <= ends
    assert [stage["freeze_step"] for stage in record["stages"]] == steps
    first = {block["prefix"]: block["step_from"] for block in reversed(record["prefixes"])}
    assert {*first.values()} == {0, *(step for step in steps if step is not None)}, "the blocks say the same"
    schedule = Schedule(freeze=tuple(record["freeze_times"]), anneal=(1.0,) * 5)
    plan = plan_of(record["config"] | {"epochs": 4})
    assert record["saving"]["predicted"] == pytest.approx(predicted_saving(plan.costs, schedule, 112))
    assert record["flops"]["run"] == (1 - record["saving"]["predicted"]) * 112 * record["flops"]["step"]
    assert f"{100 * record['saving']['predicted']:.1f} % saved by counted FLOPs" in said.out
    profile = Profile((0.1, 0.08, 0.06, 0.05, 0.04), (0.0,) * 5)
    assert expected.saving(plan, 112, profile, schedule)["profiled"] == profiled_saving(profile, schedule, 112)
    assert {*expected.saving(plan, 112, profile).values()} == {None}
    assert main(["timeline", str(folder), "--out", str(tmp_path / "figures")]) == 0
    rows = (tmp_path / "figures" / f"timeline_{record['run_id']}.csv").read_text().splitlines()
    assert [int(row.split(",")[0]) for row in rows[1:]] == sorted(first)


def test_every_step_sees_its_own_images_whatever_the_window(monkeypatch) -> None:
    """A window that went back before a decision would take more batches from the epoch than it trains."""
    seen: dict[int, list[torch.Tensor]] = {1: [], 5: []}
    for size, labels in seen.items():
        config = start("strategy", "weight_delta")
        config["strategy"] |= {"intervals": 9, "threshold": 0.12}
        training = assemble(plan_of(config | {"machine": config["machine"] | {"run_ahead": size}}))
        real = training.body
        training.body = lambda x, y, real=real, labels=labels: (labels.append(y.clone()), real(x, y))
        for name in ("ahead", "run_prefix", "autocast"):
            setattr(training.body, name, getattr(real, name))
        while training.step < 56:
            training.train_epoch(lambda: False)
        assert training.freezeout.prefix
    assert all(torch.equal(a, b) for a, b in zip(*seen.values(), strict=True))


@every
def test_predict_says_in_one_line_that_it_depends_on_the_data(name: str, monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["predict", f"strategy={name}", "model=wrn_10_1"])
    predict.main()
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert said.endswith("what freezes when, and so what is saved, depends on the data; the run's record has it\n")


@every
def test_what_is_planned_by_freeze_steps_is_off_or_refused_in_one_line(name: str, freezeout) -> None:
    said = freezeout(f"strategy={name}", "augment.views=2")
    assert said.code == 2
    assert said.err.startswith(
        f"freezeout: augment.views=2: they begin with the first freeze, and when strategy {name} "
    )
    assert said.err.count("\n") == 1
    config = start("strategy", name)
    views = {"name": "augment", "views": 2, "views_from": 0.5}
    assert plan_of(config | {"augment": views}).remember is None
    cached = plan_of(config | {"augment": views, "machine": config["machine"] | {"cache": True}})
    training = assemble(cached)
    assert training.cache is None
    assert any("when it freezes depends on the data" in line for line in runner.notes(cached, training))


@every
def test_every_option_has_its_defaults_in_the_file_and_the_class(name: str) -> None:
    from freezeout.naming import option_of
    from freezeout.run.config import to_dict
    from freezeout.run.overrides import compose_all

    (config,) = compose_all([f"strategy={name}"])
    assert config.strategy == ADAPTIVE[name]()
    assert option_of("strategy", to_dict(config)) == (name, {})


def test_the_strategy_of_the_page_on_strategies_freezes_one_stage_at_a_time() -> None:
    page = (Path(__file__).parent.parent / "docs" / "strategies.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    made: dict[str, Any] = {}
    exec(compile(code, "docs/strategies.md", "exec"), made)
    chain, optimizer, freezeout = make(made["OneByOne"]())
    prefixes = []
    for step in range(SMALL):
        train(chain, optimizer, freezeout, 1, first=step)
        prefixes.append(freezeout.prefix)
    assert max(prefixes) > 1
    assert all(b - a <= 1 for a, b in pairwise(prefixes))
