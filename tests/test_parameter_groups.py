"""Any optimizer, beside any scheduler: rates are set or scaled, groups stay the user's, and a run resumes exactly."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from made_optimizers import OPTIMIZERS, PAPER, SCHEDULERS, STEPS, equal, gradients, small_chain, train, two_groups
from torch import optim
from torch.nn.utils import clip_grad_norm_

from freezeout import Chain, FreezeOut
from freezeout.strategies import Baseline, FreezeOnly
from freezeout.strategies import FreezeOut as Strategy


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
