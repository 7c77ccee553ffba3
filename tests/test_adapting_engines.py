"""An adaptive strategy in every way of executing a step, and what observing adds to one."""

from __future__ import annotations

import pytest
import torch
from configurations import plan_of, start
from made_adapting import RULES, Planned, every, free_run, make
from replay import STEPS
from tape import Tapes
from test_engine import AS_IT_IS, SingleRates, agree
from test_freeze import train
from torch.utils._python_dispatch import TorchDispatchMode

from freezeout.adaptive import AutoFreeze, WeightDelta
from freezeout.run.assemble import assemble
from freezeout.train import captured, loop
from freezeout.train.captured import CapturedStep

FOLDED = pytest.param({"fold": True}, marks=pytest.mark.slow)  # what runs ahead is folded too
AHEAD = {"fold": True, "run_ahead": 5}


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


@pytest.mark.parametrize("engine", [AS_IT_IS, FOLDED, AHEAD], ids=str)
@every
def test_it_freezes_the_same_in_every_engine(name: str, engine) -> None:
    strategy = {"autofreeze": AutoFreeze(intervals=7), "weight_delta": WeightDelta(intervals=7, threshold=0.2)}[name]
    plain, times = free_run(strategy, plain=True)
    assert 0.0 < times[0] < 1.0
    found, own = free_run(strategy, **engine)
    assert own == times
    agree(plain, found)


@pytest.mark.parametrize("engine", [FOLDED, AHEAD], ids=str)
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
