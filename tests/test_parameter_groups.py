"""Any optimizer, beside any scheduler: rates are set or scaled, groups stay the user's, and a run resumes exactly."""

from __future__ import annotations

import copy
import inspect
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import nn, optim
from torch.nn.utils import clip_grad_norm_
from torch.optim import lr_scheduler

from freezeout import Chain, FreezeOut
from freezeout.strategies import Baseline, FreezeOnly
from freezeout.strategies import FreezeOut as Strategy

STEPS = 30
PAPER = Strategy(t_0=0.3, how_scale="linear", scale_lr=True)


def every_optimizer() -> dict[str, partial]:
    """Those of torch.optim that take dense gradients, in each of their implementations that a CPU has."""
    kinds = [kind for _, kind in inspect.getmembers(optim, inspect.isclass) if issubclass(kind, optim.Optimizer)]
    found = {}
    for kind in set(kinds) - {optim.Optimizer, optim.LBFGS, optim.SparseAdam}:
        fields = inspect.signature(kind).parameters
        decay = {"weight_decay": 0.01} if "weight_decay" in fields else {}
        if kind in (optim.SGD, optim.RMSprop):
            decay["momentum"] = 0.9
        found[kind.__name__] = partial(kind, lr=0.01, **decay)
        for option in {"foreach", "fused"} & set(fields):
            found[f"{kind.__name__}-{option}"] = partial(kind, lr=0.01, **decay, **{option: True})
    return dict(sorted(found.items()))


OPTIMIZERS = every_optimizer()
SCHEDULERS = {
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=STEPS),  # goes from the value that it finds
    "exponential": lambda o: lr_scheduler.ExponentialLR(o, gamma=0.9),
    "one_cycle": lambda o: lr_scheduler.OneCycleLR(o, max_lr=0.05, total_steps=STEPS + 1),
    "linear_warm_up": lambda o: lr_scheduler.LambdaLR(o, lambda s: min(1.0, s / 6, (STEPS - s) / (STEPS - 6))),
    "steps": lambda o: lr_scheduler.MultiStepLR(o, milestones=[7, 19]),
    "warm_restarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=10),
    "sequence": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.1, total_iters=5), lr_scheduler.CosineAnnealingLR(o, T_max=STEPS)], [5]
    ),
}


def small_chain() -> Chain:
    """Matrices only, since Muon takes nothing else."""
    torch.manual_seed(0)
    blocks = {f"block{i}": nn.Sequential(nn.Linear(4, 4, bias=False), nn.Tanh()) for i in range(4)}
    return Chain({**blocks, "head": nn.Linear(4, 2, bias=False)}).double()


def two_groups(chain: Chain) -> list[dict]:
    """As users make them: some of every other stage in each."""
    weights = list(chain.parameters())
    return [{"params": weights[::2]}, {"params": weights[1::2], "lr": 0.02}]


def gradients(chain: Chain, step: int) -> None:
    x = torch.randn(8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
    chain(x.to(chain[0][0].weight.dtype)).square().mean().backward()


def train(chain, optimizer, scheduler=None, freezer=None, steps=range(STEPS)) -> None:
    for step in steps:
        if freezer:
            freezer.step()
        gradients(chain, step)
        optimizer.step()
        optimizer.zero_grad()
        if scheduler:
            scheduler.step()


def equal(a: Chain, b: Chain) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_the_optimizers_are_those_of_torch() -> None:
    assert {"SGD-fused", "Adam-foreach", "AdamW-fused", "RMSprop", "Adafactor", "Muon"} <= OPTIMIZERS.keys()


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("strategy", [Baseline(), Strategy(t_0=1.0, scale_lr=False)], ids=["baseline", "freezeout"])
def test_where_nothing_freezes_a_scheduled_run_is_the_plain_run_bitwise(name, strategy) -> None:
    plain, chain = small_chain(), small_chain()
    optimizer = OPTIMIZERS[name](two_groups(plain))
    train(plain, optimizer, SCHEDULERS["cosine"](optimizer))
    optimizer = OPTIMIZERS[name](two_groups(chain))
    train(
        chain, optimizer, SCHEDULERS["cosine"](optimizer), FreezeOut(chain, optimizer, strategy, STEPS, rates="scale")
    )
    assert equal(chain, plain)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_under_torchs_cosine_the_scaled_rates_are_those_that_freezeout_sets(name) -> None:
    ours, beside = small_chain(), small_chain()
    optimizer = OPTIMIZERS[name](two_groups(ours))
    train(ours, optimizer, None, FreezeOut(ours, optimizer, PAPER, STEPS))
    optimizer = OPTIMIZERS[name](two_groups(beside))
    scheduler = SCHEDULERS["cosine"](optimizer)
    train(beside, optimizer, scheduler, FreezeOut(beside, optimizer, PAPER, STEPS, rates="scale"))
    for p, q in zip(ours.parameters(), beside.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-9)
    assert not equal(ours, small_chain())


@pytest.mark.parametrize("kind", SCHEDULERS)
@pytest.mark.parametrize("scheduler_first", [True, False])
def test_a_scheduler_finds_its_own_rates_and_the_optimizer_ours(kind, scheduler_first) -> None:
    plain = optim.SGD(two_groups(small_chain()), lr=0.01, momentum=0.9)
    alone = SCHEDULERS[kind](plain)
    chain = small_chain()
    optimizer = optim.SGD(two_groups(chain), lr=0.01, momentum=0.9)
    scheduler = SCHEDULERS[kind](optimizer) if scheduler_first else None
    freezer = FreezeOut(chain, optimizer, PAPER, STEPS, rates="scale")
    scheduler = scheduler or SCHEDULERS[kind](optimizer)
    seen: list[dict[int, tuple[float, float]]] = []
    optimizer.register_step_pre_hook(
        lambda o, *_: seen.append({id(p): (g["lr"], g["momentum"]) for g in o.param_groups for p in g["params"]})
    )
    for step in range(STEPS):
        rates = [group["lr"] for group in plain.param_groups]
        assert [group["lr"] for group in optimizer.param_groups] == rates, "bitwise, also those that recurse"
        freezer.step()
        gradients(chain, step)
        optimizer.step()
        assert [group["lr"] for group in optimizer.param_groups] == rates, "restored"
        for i, stage in enumerate(chain):
            if i < freezer.prefix:
                assert id(stage.get_parameter(next(iter(dict(stage.named_parameters()))))) not in seen[-1]
                continue
            for p in stage.parameters():
                group = plain.param_groups[i % 2]
                assert seen[-1][id(p)] == (group["lr"] * freezer.factors[i], group["momentum"])
        assert freezer.factors[-1] == 1.0, "the head trains as the scheduler says"
        plain.step()
        alone.step()
        scheduler.step()
    assert scheduler.get_last_lr() == alone.get_last_lr()
    assert freezer.prefix == 4


def test_a_rate_that_is_a_tensor_stays_the_users_and_trains_as_a_number_does() -> None:
    plain, chain, rate = small_chain(), small_chain(), torch.tensor(0.01, dtype=torch.float64)
    optimizer = optim.Adam(plain.parameters(), lr=0.01)
    train(plain, optimizer, None, FreezeOut(plain, optimizer, PAPER, STEPS, rates="scale"))
    optimizer = optim.Adam(chain.parameters(), lr=rate, fused=True)
    train(chain, optimizer, None, FreezeOut(chain, optimizer, PAPER, STEPS, rates="scale"))
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == 0.01
    for p, q in zip(chain.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-9)


def test_factors_beside_a_scheduler_fall_from_one_over_t_i_to_zero() -> None:
    chain = small_chain()
    freezer = FreezeOut(chain, optim.SGD(chain.parameters(), lr=1.0), PAPER, STEPS, rates="scale")
    seen = []
    for _ in range(STEPS):
        freezer.step()
        seen.append(freezer.factors)
    for i, t_i in enumerate(freezer.times):
        course = [factors[i] for factors in seen]
        assert course[0] == pytest.approx(1 / t_i)
        assert all(a >= b for a, b in pairwise(course))
        assert all((f == 0) == (step / STEPS >= t_i) for step, f in enumerate(course))


@pytest.mark.parametrize("rates", ["set", "scale"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_resumed_run_is_the_run_that_was_never_stopped(name, rates) -> None:
    def build():
        chain = small_chain().float()  # torch's NAdam rounds its state when it is loaded for a float64 network
        optimizer = OPTIMIZERS[name](two_groups(chain))
        scheduler = SCHEDULERS["cosine"](optimizer) if rates == "scale" else None
        return chain, optimizer, scheduler, FreezeOut(chain, optimizer, PAPER, STEPS, rates=rates)

    through = build()
    train(*through)
    for stop, order in ((1, (0, 1, 2, 3)), (17, (3, 2, 1, 0)), (29, (1, 0, 3, 2))):
        first = build()
        train(*first, steps=range(stop))
        saved = copy.deepcopy([part and part.state_dict() for part in first])
        assert saved[3] == {"step": stop}
        again = build()
        for i in order:
            if again[i]:
                again[i].load_state_dict(saved[i])
        assert again[3].prefix == first[3].prefix
        train(*again, steps=range(stop, STEPS))
        assert equal(again[0], through[0])


@pytest.mark.parametrize("rates", ["set", "scale"])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("strategy", [PAPER, FreezeOnly(t_0=0.3, how_scale="linear")], ids=["paper", "freeze_only"])
def test_nothing_touches_a_frozen_weight_and_no_state_is_kept_for_it(name, rates, strategy) -> None:
    chain = small_chain()
    optimizer = OPTIMIZERS[name](two_groups(chain))
    freezer = FreezeOut(chain, optimizer, strategy, STEPS, rates=rates)
    train(chain, optimizer, None, freezer, range(15))
    freezer.step()
    assert freezer.prefix == 2
    frozen = [p for stage in list(chain)[:2] for p in stage.parameters()]
    before = [p.detach().clone() for p in frozen]
    assert all(p.grad is None and not p.requires_grad and p not in optimizer.state for p in frozen)
    for p in frozen:
        p.grad = torch.ones_like(p)  # whoever puts a gradient there moves nothing
    optimizer.step()
    train(chain, optimizer, None, freezer, range(16, 20))
    assert all(torch.equal(p, was) for p, was in zip(frozen, before, strict=True))


def test_an_older_optimizer_state_wakes_no_frozen_stage() -> None:
    chain = small_chain()
    optimizer = optim.Adam(chain.parameters())
    freezer = FreezeOut(chain, optimizer, PAPER, STEPS, rates="scale")
    train(chain, optimizer, None, freezer, range(3))
    early = copy.deepcopy(optimizer.state_dict())
    train(chain, optimizer, None, freezer, range(3, 20))
    optimizer.load_state_dict(early)
    assert not {id(p) for p in optimizer.state} & {id(p) for stage in freezer.stages[:2] for p in stage.parameters()}
    chain = small_chain()
    optimizer = optim.Adam(chain.parameters())
    freezer = FreezeOut(chain, optimizer, PAPER, STEPS)
    train(chain, optimizer, None, freezer, range(3))
    early = copy.deepcopy(optimizer.state_dict())
    train(chain, optimizer, None, freezer, range(3, 20))
    with pytest.raises(ValueError, match="earlier step: a frozen stage never thaws"):
        optimizer.load_state_dict(early)


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
    with pytest.raises(RuntimeError, match="somebody else has changed a learning rate"):
        freezer.step()


def test_a_group_that_comes_too_late_is_refused() -> None:
    chain = small_chain()
    optimizer = optim.SGD(list(chain.parameters())[:-1], lr=0.01)
    freezer = FreezeOut(chain, optimizer, PAPER, STEPS)
    optimizer.add_param_group({"params": chain[-1].parameters()})
    with pytest.raises(RuntimeError, match="another number of groups"):
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
    line = r"^optimizer=Around: it steps by its \.base: FreezeOut needs the one that steps$"
    with pytest.raises(ValueError, match=line):
        FreezeOut(chain, around, PAPER, STEPS, rates=rates)
    assert len(around.param_groups) == 1, "nothing has been split"
    train(chain, around, freezer=FreezeOut(chain, around.base, PAPER, STEPS, rates=rates))  # the remedy
    assert {id(p) for p in around.base.state} == {id(p) for p in chain[-1].parameters()}
    for given in (None, [around.base], optim.SGD):
        with pytest.raises(ValueError, match=rf"^optimizer={type(given).__name__}: must be an optimizer of torch$"):
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
        with pytest.raises(ValueError, match=r"^the optimizer has a FreezeOut already: make network, optimizer"):
            FreezeOut(chain, optimizer, PAPER, STEPS, rates=again)
    assert optimizer.param_groups == before


def test_a_step_without_freezeouts_is_refused() -> None:
    chain = small_chain()
    optimizer = optim.SGD(chain.parameters(), lr=0.1)
    FreezeOut(chain, optimizer, PAPER, STEPS, rates="scale")
    with pytest.raises(RuntimeError, match=r"call FreezeOut's step\(\) before"):
        optimizer.step()


def test_names_of_parameters_stay_with_them() -> None:
    chain = small_chain()
    optimizer = optim.SGD(chain.named_parameters(), lr=0.1)
    names = {id(p): name for name, p in chain.named_parameters()}
    freezer = FreezeOut(chain, optimizer, PAPER, STEPS)
    train(chain, optimizer, None, freezer, range(15))
    for group in optimizer.param_groups:
        assert [names[id(p)] for p in group["params"]] == group["param_names"]


def test_a_step_that_fails_leaves_the_users_groups() -> None:
    chain = small_chain()
    optimizer = optim.SGD(two_groups(chain), lr=0.01)
    freezer = FreezeOut(chain, optimizer, PAPER, STEPS, rates="scale")
    freezer.step()
    groups = optimizer.param_groups

    def closure():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(closure)
    assert len(optimizer.state_dict()["param_groups"]) == 2
    assert optimizer.param_groups is groups
    with pytest.raises(KeyboardInterrupt):
        optimizer.step(closure)
    freezer.step()
    assert optimizer.param_groups is groups


def test_what_an_optimizer_writes_into_its_groups_is_kept() -> None:
    class Counting(optim.SGD):
        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                group["calls"] = group.get("calls", 0) + 1
            return super().step(closure)

    chain = small_chain()
    optimizer = Counting(two_groups(chain), lr=0.01)
    train(chain, optimizer, None, FreezeOut(chain, optimizer, PAPER, STEPS, rates="scale"), range(5))
    assert [group["calls"] for group in optimizer.param_groups] == [5, 5]


class TestTheUsualLoop:
    """Mixed precision with a gradient scaler, accumulation over two batches, clipping."""

    @staticmethod
    def run(strategy, rates, overflow_at=()) -> tuple[Chain, FreezeOut | None, list]:
        chain = small_chain().float()
        optimizer = optim.AdamW(two_groups(chain), lr=0.01)
        scheduler = SCHEDULERS["linear_warm_up"](optimizer) if rates != "set" else None
        freezer = FreezeOut(chain, optimizer, strategy, STEPS, rates=rates) if strategy else None
        scaler = torch.amp.GradScaler("cpu", init_scale=16.0, growth_interval=4)
        frozen_after = []
        for step in range(STEPS):
            if freezer:
                freezer.step()
            for part in range(2):
                x = torch.randn(8, 4, generator=torch.Generator().manual_seed(2 * step + part))
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    loss = chain(x).float().square().mean() / 2
                scaler.scale(loss * (float("inf") if step in overflow_at else 1.0)).backward()
            scaler.unscale_(optimizer)
            clip_grad_norm_(chain.parameters(), 0.1)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            if scheduler:
                scheduler.step()
            frozen_after.append([p.detach().clone() for p in chain[0].parameters()])
        return chain, freezer, frozen_after

    def test_without_freezing_it_is_the_users_own_bitwise(self) -> None:
        assert equal(self.run(Baseline(), "scale", (3,))[0], self.run(None, "scale", (3,))[0])

    @pytest.mark.parametrize("rates", ["set", "scale"])
    def test_with_freezing_all_that_is_frozen_stands_still(self, rates) -> None:
        chain, freezer, weights = self.run(PAPER, rates, overflow_at=(3, 20))
        step = freezer.schedule.freeze_step(0, STEPS)
        assert not torch.equal(weights[step - 3][0], weights[step - 2][0])
        assert all(torch.equal(weights[step - 1][0], later[0]) for later in weights[step:])
        assert all(torch.isfinite(p).all() for p in chain.parameters())
