"""The freeze contract: four facts, each with a twin that switches the mechanism off and must see the test fail."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from made_chains import small_chain
from torch import nn

from freezeout import FreezeOut
from freezeout.strategies import Baseline, FreezeOnly
from freezeout.strategies import FreezeOut as Strategy

STEPS = 40
PAPER = Strategy(t_0=0.3, how_scale="linear", scale_lr=False)


def make(strategy=PAPER, kind: type[FreezeOut] = FreezeOut, optimizer=None):
    chain = small_chain()
    optimizer = optimizer or (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01))
    built = optimizer(chain.parameters())
    return chain, built, kind(chain, built, strategy, STEPS)


def train(chain, optimizer, freezeout, steps: int, first: int = 0, after_backward=None) -> None:
    for s in range(first, first + steps):
        torch.manual_seed(s)
        chain.train()  # what every training loop does, and what must not wake a frozen stage
        freezeout.step()
        loss = chain(torch.randn(4, 3, 4, 4)).square().mean()
        loss.backward()
        if after_backward:
            after_backward()
        optimizer.step()
        optimizer.zero_grad()


# The facts, as checks of one class: each raises AssertionError when the contract is broken.


def no_gradient_and_no_graph(kind: type[FreezeOut]) -> None:
    chain, optimizer, freezeout = make(kind=kind)
    train(chain, optimizer, freezeout, STEPS // 2)
    freezeout.step()
    k = freezeout.schedule.prefix(STEPS // 2, STEPS)
    assert k == 2
    x = torch.randn(4, 3, 4, 4)
    for i in range(k):
        x = chain[i](x)
        assert x.grad_fn is None, f"stage {i} built a graph"
    packed = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: packed.append(t) or t, lambda t: t):
        chain(torch.randn(4, 3, 4, 4)).sum().backward()
    frozen = {p.data_ptr() for i in range(k) for p in chain[i].parameters()}
    assert not frozen & {t.data_ptr() for t in packed}, "a frozen stage's tensors were packed for the backward pass"
    assert all(p.grad is None for i in range(k) for p in chain[i].parameters())


def statistics_stand_still(kind: type[FreezeOut]) -> None:
    chain, optimizer, freezeout = make(kind=kind)
    train(chain, optimizer, freezeout, STEPS // 2 + 1)
    before = copy.deepcopy(chain[0].state_dict())
    train(chain, optimizer, freezeout, 5, first=STEPS // 2 + 1)
    assert all(torch.equal(before[k], v) for k, v in chain[0].state_dict().items())
    x = torch.randn(4, 3, 4, 4)
    alone, together = chain[0](x[:1]), chain[0](x)[:1]
    assert torch.allclose(alone, together, atol=1e-6), "its output depends on the rest of the batch"


def no_optimizer_touches_it(kind: type[FreezeOut]) -> None:
    chain, optimizer, freezeout = make(kind=kind)
    train(chain, optimizer, freezeout, STEPS // 2)
    freezeout.step()
    before = [p.detach().clone() for p in chain[0].parameters()]
    for p in chain.parameters():
        p.grad = torch.zeros_like(p) if p.requires_grad else p.grad
    optimizer.step()  # with a zero gradient only decay and momentum can move a weight
    for p, was in zip(chain[0].parameters(), before, strict=True):
        assert torch.equal(p, was), "decay or momentum moved a frozen weight"
        assert p not in optimizer.state, "the optimizer keeps state for a frozen weight"
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert not held & {id(p) for p in chain[0].parameters()}


def never_thaws(kind: type[FreezeOut]) -> None:
    chain, optimizer, freezeout = make(kind=kind)
    prefix = 0
    for s in range(STEPS):
        train(chain, optimizer, freezeout, 1, first=s)
        assert freezeout.prefix >= prefix
        prefix = freezeout.prefix
        frozen = [not any(p.requires_grad for p in stage.parameters()) for stage in chain]
        assert frozen == [s / STEPS >= t for t in freezeout.times]
    assert prefix == 4, "all but the head are frozen at the end"
    with pytest.raises(ValueError, match="never thaws"):
        freezeout.load_state_dict({"step": 3})


class KeepsGradients(FreezeOut):
    def step(self):
        super().step()
        for stage in self.stages:
            stage.requires_grad_(True)


class KeepsStatisticsMoving(FreezeOut):
    def step(self):
        super().step()
        for stage in self.stages:
            stage.train()


class KeepsOptimizing(FreezeOut):
    def _freeze(self, i):
        kept = [list(group["params"]) for group in self._optimizer.param_groups]
        state = {p: self._optimizer.state.get(p) for p in self.stages[i].parameters()}
        super()._freeze(i)
        for group, params in zip(self._optimizer.param_groups, kept, strict=True):
            group["params"] = params
        self._optimizer.state.update(state)
        for p in self.stages[i].parameters():
            p.grad = torch.zeros_like(p)
            self._optimizer.param_groups[0]["lr"] = 0.1
        self._groups.leave()  # or it would take offence at the rate


class Thaws(FreezeOut):
    def load_state_dict(self, state):
        self.steps_begun = state["step"]


class FreezesOneStepLate(FreezeOut):
    def _apply(self, step, set_rates):
        super()._apply(max(step - 1, 0), set_rates)


FACTS = {
    no_gradient_and_no_graph: KeepsGradients,
    statistics_stand_still: KeepsStatisticsMoving,
    no_optimizer_touches_it: KeepsOptimizing,
    never_thaws: Thaws,
}


@pytest.mark.parametrize("fact", FACTS, ids=lambda f: f.__name__)
def test_a_frozen_stage_obeys(fact) -> None:
    fact(FreezeOut)


@pytest.mark.parametrize(("fact", "sabotage"), FACTS.items(), ids=lambda f: f.__name__)
def test_the_fact_is_not_met_when_the_mechanism_is_off(fact, sabotage) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        fact(sabotage)


def test_a_loop_that_asks_for_all_gradients_at_each_step_gets_none_of_what_is_frozen() -> None:
    (quiet, *rest), (woken, optimizer, freezeout) = make(), make()
    train(quiet, *rest, STEPS)
    for s in range(STEPS):
        woken.requires_grad_(True)
        train(woken, optimizer, freezeout, 1, s)
        frozen = [p for stage in freezeout.stages[: freezeout.prefix] for p in stage.parameters()]
        assert not any(p.requires_grad or p.grad is not None for p in frozen)
    for a, b in zip(woken.state_dict().values(), quiet.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_stage_that_freezes_one_step_late_is_noticed() -> None:
    with pytest.raises(AssertionError):
        never_thaws(FreezesOneStepLate)


def test_frozen_batchnorm_keeps_moving_when_asked_as_composer_does() -> None:
    chain, optimizer, freezeout = make(FreezeOnly(t_0=0.3, how_scale="linear", bn="train"))
    train(chain, optimizer, freezeout, STEPS // 2 + 1)
    weight, mean = chain[0][0].weight.clone(), chain[0][1].running_mean.clone()
    train(chain, optimizer, freezeout, 3, first=STEPS // 2 + 1)
    assert torch.equal(chain[0][0].weight, weight)
    assert not torch.equal(chain[0][1].running_mean, mean)


def test_each_stage_trains_at_its_own_rate() -> None:
    strategy = Strategy(t_0=0.5, how_scale="cubic", scale_lr=True)
    _, optimizer, freezeout = make(strategy)
    freezeout.step()
    rates = [group["lr"] for group in optimizer.param_groups]
    assert rates == pytest.approx([0.1 / t for t in freezeout.times], rel=1e-12)
    assert freezeout.factors == pytest.approx([1 / t for t in freezeout.times], rel=1e-12)


def test_warmup_multiplies_every_rate_by_a_ramp() -> None:
    chain = small_chain()
    optimizer = torch.optim.SGD(chain.parameters(), lr=0.1)
    freezeout = FreezeOut(chain, optimizer, Baseline(), STEPS, warmup=0.25)
    seen = []
    for _ in range(12):
        freezeout.step()
        seen.append(optimizer.param_groups[0]["lr"] / (0.1 * freezeout.schedule.factors(len(seen), STEPS)[0]))
    assert seen == pytest.approx([(s + 1) / 10 for s in range(10)] + [1.0, 1.0])


def test_without_freezing_it_is_the_plain_loop_bitwise() -> None:
    chain, optimizer, freezeout = make(Strategy(t_0=1.0, how_scale="linear", scale_lr=False))
    train(chain, optimizer, freezeout, STEPS)
    plain = small_chain()
    sgd = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
    for s in range(STEPS):
        torch.manual_seed(s)
        for group in sgd.param_groups:
            group["lr"] = 0.1 * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * (s / STEPS), dtype=torch.float64)).item())
        plain.train()
        plain(torch.randn(4, 3, 4, 4)).square().mean().backward()
        sgd.step()
        sgd.zero_grad()
    for a, b in zip(chain.state_dict().values(), plain.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("stop", [1, 13, 20, 39])
@pytest.mark.parametrize("kind", ["sgd", "adamw"])
@pytest.mark.parametrize("order", [(0, 2, 1), (1, 2, 0), (2, 0, 1)], ids=str)
def test_a_resumed_run_is_the_run_that_was_never_stopped(stop: int, kind: str, order) -> None:
    optimizers = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
    }
    through = make(optimizer=optimizers[kind])
    train(*through, STEPS)
    first = make(optimizer=optimizers[kind])
    train(*first, stop)
    saved = copy.deepcopy([part.state_dict() for part in first])
    assert saved[2] == {"step": stop}, "the mechanism's state is one number"
    again = make(optimizer=optimizers[kind])
    for i in order:
        again[i].load_state_dict(saved[i])
    train(*again, STEPS - stop, first=stop)
    chain = again[0]
    for a, b in zip(chain.state_dict().values(), through[0].state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_the_users_parameter_groups_keep_their_options() -> None:
    chain = small_chain()
    decayed = [p for p in chain.parameters() if p.ndim > 1]
    plain = [p for p in chain.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0, "lr": 0.2}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    FreezeOut(chain, optimizer, PAPER, STEPS).step()
    for group in optimizer.param_groups:
        for p in group["params"]:
            assert group["weight_decay"] == (0.01 if p.ndim > 1 else 0.0)
            assert group["lr"] == (0.1 if p.ndim > 1 else 0.2)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(chain.parameters()))


def test_a_parameter_of_no_stage_is_refused() -> None:
    chain = small_chain()
    stray = nn.Parameter(torch.zeros(7))
    with pytest.raises(ValueError, match=r"shape \(7,\) that no stage owns"):
        FreezeOut(chain, torch.optim.SGD([*chain.parameters(), stray], lr=0.1), PAPER, STEPS)


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.chain = small_chain()


@pytest.mark.parametrize("stages", [Network(), small_chain().stages, [*Network().parameters()], [], None])
def test_what_is_no_sequence_of_stages_is_refused_in_one_line(stages) -> None:
    optimizer = torch.optim.SGD(small_chain().parameters(), lr=0.1)
    line = rf"^stages={type(stages).__name__}: is not a sequence of modules; find_stages\(network, images\) makes one$"
    with pytest.raises(ValueError, match=line):
        FreezeOut(stages, optimizer, PAPER, STEPS)


@pytest.mark.parametrize("total_steps", [0, 12.5, float("inf"), float("nan"), "100", None])
def test_a_number_of_steps_that_is_none_is_refused_in_one_line(total_steps) -> None:
    chain = small_chain()
    with pytest.raises(ValueError, match=rf"^total_steps={total_steps}: must be a whole number, and at least 1$"):
        FreezeOut(chain, torch.optim.SGD(chain.parameters(), lr=0.1), PAPER, total_steps)


@pytest.mark.parametrize("warmup", [5, -0.1, float("nan")])
def test_a_warm_up_in_steps_is_refused_for_it_would_never_end(warmup) -> None:
    chain = small_chain()
    with pytest.raises(ValueError, match=rf"^warmup={warmup}: must lie in \[0, 1\]$"):
        FreezeOut(chain, torch.optim.SGD(chain.parameters(), lr=0.1), PAPER, STEPS, warmup=warmup)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_copy_is_refused_for_its_optimizer_would_have_no_hooks(copied) -> None:
    with pytest.raises(TypeError, match=r"^a FreezeOut cannot be copied or pickled: save its state_dict\(\)"):
        copied(make()[2])


def test_steps_past_the_end_are_refused() -> None:
    chain, optimizer, freezeout = make()
    train(chain, optimizer, freezeout, STEPS)
    with pytest.raises(RuntimeError, match="total_steps is too small"):
        freezeout.step()
    with pytest.raises(ValueError, match="total_steps=0"):
        FreezeOut(chain, optimizer, PAPER, 0)


def test_a_tensor_rate_keeps_its_address() -> None:
    chain = small_chain()
    optimizer = torch.optim.SGD(chain.parameters(), lr=torch.tensor(0.1), foreach=True)
    freezeout = FreezeOut(chain, optimizer, PAPER, STEPS)
    freezeout.step()
    addresses = [group["lr"].data_ptr() for group in optimizer.param_groups]
    assert len(set(addresses)) == len(addresses), "stages must not share one rate tensor"
    freezeout.step()
    assert [group["lr"].data_ptr() for group in optimizer.param_groups] == addresses
    assert optimizer.param_groups[0]["lr"].item() == pytest.approx(0.1 * freezeout.factors[0])


@pytest.mark.parametrize("warmup", [0.0, 0.05])
@pytest.mark.parametrize(
    "strategy",
    [
        Strategy(t_0=0.8, how_scale="cubic", scale_lr=True),
        Strategy(t_0=0.3, how_scale="linear", scale_lr=False),
        Baseline(),
    ],
    ids=lambda s: type(s).__name__,
)
def test_the_rates_of_many_steps_are_those_of_each(strategy, warmup) -> None:
    stages = [nn.Linear(2, 2) for _ in range(7)]
    optimizer = torch.optim.SGD([p for s in stages for p in s.parameters()], lr=0.1)
    freezer = FreezeOut(stages, optimizer, strategy, 997, warmup=warmup)
    one_by_one = torch.tensor([freezer.rates(step) for step in range(10, 997)], dtype=torch.float32)
    assert torch.equal(freezer.rates_between(10, 997), one_by_one)
