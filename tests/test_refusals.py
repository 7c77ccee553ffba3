"""What of an optimizer cannot be served, or of a loop, is refused in one line."""

from __future__ import annotations

import pytest
import torch
from made_optimizers import PAPER, SCHEDULERS, STEPS, small_chain, train
from torch import nn, optim

from freezeout import FreezeOut


def test_an_optimizer_state_without_its_freezeout_state_is_refused() -> None:
    chain = small_chain()
    optimizer = optim.Adam(chain.parameters())
    freezer = FreezeOut(chain, optimizer, PAPER, STEPS)
    train(chain, optimizer, None, freezer, range(20))
    fresh = small_chain()
    other = optim.Adam(fresh.parameters())
    beginning = FreezeOut(fresh, other, PAPER, STEPS)
    other.load_state_dict(optimizer.state_dict())
    with pytest.raises(RuntimeError, match="load FreezeOut's state, too"):
        beginning.step()


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_a_scheduler_is_refused_where_freezeout_sets_the_rates(kind) -> None:
    chain = small_chain()
    optimizer = optim.SGD(chain.parameters(), lr=0.01, momentum=0.9)
    freezer = FreezeOut(chain, optimizer, PAPER, STEPS)
    SCHEDULERS[kind](optimizer)
    with pytest.raises(ValueError, match="rates='scale'"):
        freezer.step()
    with pytest.raises(ValueError, match="rates='scale'"):
        FreezeOut(chain, optimizer, PAPER, STEPS)


@pytest.mark.parametrize("rate", [0.01, torch.tensor(0.01)], ids=["float", "tensor"])
def test_a_second_writer_of_rates_is_refused_at_the_next_step(rate) -> None:
    chain = small_chain()
    optimizer = optim.SGD(chain.parameters(), lr=rate)
    freezer = FreezeOut(chain, optimizer, PAPER, STEPS)
    train(chain, optimizer, None, freezer, range(3))
    if isinstance(rate, float):
        optimizer.param_groups[2]["lr"] *= 0.5
    else:
        optimizer.param_groups[2]["lr"].mul_(0.5)
    with pytest.raises(RuntimeError, match="other code changed a learning rate"):
        freezer.step()


def test_a_group_that_comes_too_late_is_refused() -> None:
    chain = small_chain()
    optimizer = optim.SGD(list(chain.parameters())[:-1], lr=0.01)
    freezer = FreezeOut(chain, optimizer, PAPER, STEPS)
    optimizer.add_param_group({"params": chain[-1].parameters()})
    with pytest.raises(RuntimeError, match="parameter groups were added or removed"):
        freezer.step()


@pytest.mark.parametrize("rates", ["set", "scale"])
def test_users_mistakes_are_one_line(rates) -> None:
    chain = small_chain()
    with pytest.raises(ValueError, match="LBFGS searches along one line"):
        FreezeOut(chain, optim.LBFGS(chain.parameters()), PAPER, STEPS, rates=rates)
    stray = [*chain.named_parameters(), ("class_token", nn.Parameter(torch.zeros(7)))]
    with pytest.raises(ValueError, match=r"parameter class_token of shape \(7,\) that no stage owns"):
        FreezeOut(chain, optim.SGD(stray, lr=0.1), PAPER, STEPS, rates=rates)
    with pytest.raises(ValueError, match="rates=scaled: must be one of set, scale"):
        FreezeOut(chain, optim.SGD(chain.parameters(), lr=0.1), PAPER, STEPS, rates="scaled")


class Around(optim.Optimizer):
    """Steps by another optimizer on the same groups, as SAM does; its own hooks are called, the other's groups step."""

    def __init__(self, base: optim.Optimizer) -> None:
        super().__init__(base.param_groups, {})
        self.base = base
        self.param_groups = base.param_groups

    def step(self, closure=None):
        return self.base.step(closure)


@pytest.mark.parametrize("rates", ["set", "scale"])
def test_an_optimizer_that_hands_its_steps_to_another_is_refused(rates) -> None:
    chain = small_chain()
    around = Around(optim.SGD(chain.parameters(), lr=0.1, momentum=0.9))
    line = r"^optimizer=Around: it delegates to its \.base: give that one to FreezeOut$"
    with pytest.raises(ValueError, match=line):
        FreezeOut(chain, around, PAPER, STEPS, rates=rates)
    assert len(around.param_groups) == 1, "nothing has been split"
    train(chain, around, freezer=FreezeOut(chain, around.base, PAPER, STEPS, rates=rates))  # the remedy
    assert {id(p) for p in around.base.state} == {id(p) for p in chain[-1].parameters()}
    for given in (None, [around.base], optim.SGD):
        with pytest.raises(ValueError, match=rf"^optimizer={type(given).__name__}: must be a torch optimizer$"):
            FreezeOut(chain, given, PAPER, STEPS, rates=rates)


@pytest.mark.parametrize("rates", ["set", "scale"])
def test_a_second_freezeout_of_one_optimizer_is_refused(rates) -> None:
    """As when a cell of a notebook runs again: the annealed rates would be its base rates, or be scaled twice."""
    chain = small_chain()
    optimizer = optim.SGD(chain.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="max_events=0"):
        FreezeOut(chain, optimizer, PAPER, STEPS, rates=rates, max_events=0)
    first = FreezeOut(chain, optimizer, PAPER, STEPS, rates=rates)  # one that was refused leaves nothing behind
    first.step()
    before = [dict(group) for group in optimizer.param_groups]
    for again in ("set", "scale"):
        with pytest.raises(ValueError, match=r"^the optimizer has a FreezeOut: create a new network, optimizer"):
            FreezeOut(chain, optimizer, PAPER, STEPS, rates=again)
    assert optimizer.param_groups == before


def test_a_step_without_freezeouts_is_refused() -> None:
    chain = small_chain()
    optimizer = optim.SGD(chain.parameters(), lr=0.1)
    FreezeOut(chain, optimizer, PAPER, STEPS, rates="scale")
    with pytest.raises(RuntimeError, match=r"call FreezeOut's step\(\) before"):
        optimizer.step()


@pytest.mark.parametrize(
    ("state", "holds"), [({}, "nothing"), ({"state": {}, "param_groups": []}, "state, param_groups")]
)
def test_the_state_of_something_else_is_refused(state, holds) -> None:
    chain = small_chain()
    freezer = FreezeOut(chain, optim.SGD(chain.parameters(), lr=0.1), PAPER, STEPS)
    with pytest.raises(ValueError, match=rf"^not a FreezeOut state: it has {holds}, but no step$"):
        freezer.load_state_dict(state)
    with pytest.raises(ValueError, match=r"^step 31 lies outside this run of 30 steps$"):
        freezer.load_state_dict({"step": 31})
