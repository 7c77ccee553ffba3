"""The optimizer's step in as few calls as its rates allow, to the same bits."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn, optim

from freezeout import FreezeOut, strategies
from freezeout.stages.chain import Chain
from freezeout.train.optimizers import FewestCalls, make_optimizer
from freezeout.train.schema import AdamW, Sgd

STEPS = 12
STRATEGIES = {
    "baseline": strategies.Baseline(),
    "freezeout": strategies.FreezeOut(t_0=0.3, how_scale="linear", scale_lr=True),
    "freeze_only": strategies.FreezeOnly(t_0=0.3, how_scale="linear"),
}


def chain() -> Chain:
    torch.manual_seed(0)
    return Chain({f"stage{i}": nn.Linear(4, 4) for i in range(4)})


def train(fields, strategy, update) -> tuple[Chain, list[int]]:
    """The network after a run, and how many calls of the optimizer each step made."""
    made, calls = chain(), []
    optimizer = make_optimizer(fields, made)
    freezeout = FreezeOut(made, optimizer, strategy, STEPS)
    optimizer.register_step_pre_hook(lambda o, *_: calls.append(sum(bool(g["params"]) for g in o.param_groups)))
    step = update(optimizer)
    for _ in range(STEPS):
        freezeout.step()
        made(torch.ones(2, 4)).square().sum().backward()
        before = copy.copy(optimizer.param_groups)
        step()
        assert all(a is b for a, b in zip(optimizer.param_groups, before, strict=True)), "the groups are put back"
        optimizer.zero_grad()
    return made, calls


def state(made: Chain) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in made.parameters()])


@pytest.mark.parametrize("fields", [Sgd(lr=1e-3), AdamW()], ids=["sgd", "adamw"])
@pytest.mark.parametrize("name", STRATEGIES)
def test_every_bit_is_that_of_one_call_per_stage(fields, name) -> None:
    plain, one_each = train(fields, STRATEGIES[name], lambda o: o.step)
    merged, calls = train(fields, STRATEGIES[name], lambda o: FewestCalls(o).step)
    assert torch.equal(state(plain), state(merged))
    assert not torch.equal(state(merged), state(chain()))
    assert one_each[0] == 4
    assert calls == ([*one_each] if name == "freezeout" else [1] * STEPS)


def test_groups_that_differ_in_more_than_their_rate_stay_apart() -> None:
    a, b, c = (nn.Parameter(torch.ones(1)) for _ in range(3))
    optimizer = optim.SGD([{"params": [a]}, {"params": [b], "weight_decay": 0.5}, {"params": [c]}], lr=0.1)
    calls = []
    optimizer.register_step_pre_hook(lambda o, *_: calls.extend([len(g["params"]) for g in o.param_groups]))
    for p in (a, b, c):
        p.grad = torch.zeros(1)
    FewestCalls(optimizer).step()
    assert calls == [2, 1]
    assert (a.item(), c.item()) == (1, 1)
    assert b.item() == pytest.approx(0.95)


def test_rates_on_the_device_are_compared_by_the_tensor_that_holds_them() -> None:
    parameters = [nn.Parameter(torch.ones(1)) for _ in range(3)]
    rate, other = torch.tensor(0.1), torch.tensor(0.1)
    optimizer = optim.SGD([{"params": [p]} for p in parameters], lr=0.1, fused=True)
    for group, given in zip(optimizer.param_groups, (rate, other, rate), strict=True):
        group["lr"] = given
    calls = []
    optimizer.register_step_pre_hook(lambda o, *_: calls.extend([len(g["params"]) for g in o.param_groups]))
    for p in parameters:
        p.grad = torch.ones(1)
    FewestCalls(optimizer).step()
    assert calls == [2, 1]


def test_calls_that_differ_may_be_run_side_by_side() -> None:
    """Each is then a call of its own, on its own groups."""
    made = chain()
    optimizer = make_optimizer(Sgd(), made)
    freezeout = FreezeOut(made, optimizer, STRATEGIES["freezeout"], STEPS)
    update, seen = FewestCalls(optimizer), []

    def side_by_side(calls) -> None:
        for call in reversed(calls):
            call()
            seen.append(len(optimizer.param_groups))

    update.side_by_side = side_by_side
    freezeout.step()
    made(torch.ones(2, 4)).sum().backward()
    update.step()
    assert seen == [1] * 4
    assert len(optimizer.param_groups) == 4
