"""This is FreezeOut, to the last digit: the original's schedules, and its training step by step.

What the original gave is in tests/golden/; its README says how the numbers were made.
"""

from __future__ import annotations

import hashlib
import json
import math
from itertools import pairwise

import pytest
import replay
import torch
from replay import RECIPE, STEPS, follow, load
from torch.nn import functional

from freezeout import FreezeOut, models
from freezeout.compat import Original
from freezeout.schedule import POWERS, Schedule
from freezeout.strategies import FreezeOut as Paper

SCHEDULES = json.loads((replay.GOLDEN / "schedule.json").read_text())
SIZES = {"densenet": "densenet_bc", "WRN": "wide_resnet", "vgg": "vgg"}
every_schedule = pytest.mark.parametrize(
    "entry",
    SCHEDULES,
    ids=lambda e: f"{e['model']}-{e['how_scale']}-{'scaled' if e['scale_lr'] else 'flat'}-{e['t_0']}",
)
both_networks = pytest.mark.parametrize("network", replay.NETWORKS)
BASE = 0.1


def paper(entry) -> Paper:
    return Paper(t_0=entry["t_0"], how_scale=entry["how_scale"], scale_lr=entry["scale_lr"])


# Schedules


def schedule_agrees(entry) -> None:
    """By the original's clock, which its VGG does not wind: the golden values were taken by setting it by hand."""
    n, total = len(entry["t"]), entry["iterations"]
    schedule = Original(strategy=paper(entry), steps_per_epoch=1000).schedule(n)
    assert schedule.freeze == pytest.approx(entry["t"], rel=0, abs=1e-15)
    assert schedule.freeze_steps(total) == entry["first_inactive_iteration"]
    first = entry["initial_lr"]
    assert [BASE * f for f in schedule.factors(0, total)] == pytest.approx(first, rel=1e-12)
    for step, rates in entry["lr_at"].items():
        prefix, factors = schedule.prefix(int(step), total), schedule.factors(int(step), total)
        for i, rate in enumerate(rates):
            assert (rate is None) == (i < prefix), f"stage {i} in step {step}"
            if rate is not None:
                assert abs(BASE * factors[i] - rate) <= 1e-12 * first[i], f"rate of stage {i} in step {step}"


@every_schedule
def test_the_schedule_is_the_originals(entry) -> None:
    schedule_agrees(entry)


def test_the_golden_schedules_cover_networks_powers_scaling_and_t_0() -> None:
    seen = {(e["model"], e["how_scale"], e["scale_lr"]) for e in SCHEDULES}
    assert seen == {(m, h, s) for m in SIZES for h in POWERS for s in (True, False)}
    assert len(SCHEDULES) == 36


@every_schedule
def test_without_compat_it_differs_by_one_step_at_most_and_only_at_rate_0(entry) -> None:
    """In a run of 1,000 steps an epoch the clocks agree; left is `past t_i` against `at t_i`, on a whole step."""
    n, total = len(entry["t"]), entry["iterations"]
    ours = paper(entry).schedule(n)
    for i, (t_i, step, theirs) in enumerate(
        zip(entry["t"], ours.freeze_steps(total), entry["first_inactive_iteration"], strict=True)
    ):
        if step != theirs:
            assert step is not None
            assert theirs == step + 1
            assert step == pytest.approx(t_i * total, abs=1e-6)
            assert ours.factors(step, total)[i] == 0
    for step, rates in entry["lr_at"].items():
        for factor, rate, first in zip(ours.factors(int(step), total), rates, entry["initial_lr"], strict=True):
            assert abs(BASE * factor - (rate or 0.0)) <= 1e-12 * first


@pytest.mark.parametrize("name", SIZES)
def test_our_networks_have_as_many_stages_as_the_original_has_layer_indices(name) -> None:
    expected = {len(e["t"]) for e in SCHEDULES if e["model"] == name}
    with torch.device("meta"):
        assert {len(models.build(SIZES[name], 10))} == expected


@pytest.mark.parametrize("how_scale", POWERS)
@pytest.mark.parametrize("total", [7, 60, 900, 1_437, 90_000])  # any batch size, split or data set comes to this
def test_without_compat_the_schedule_always_spans_exactly_the_run(how_scale, total) -> None:
    n, t_0 = 20, 0.5
    schedule = Paper(t_0=t_0, how_scale=how_scale).schedule(n)
    first = t_0 ** POWERS[how_scale]
    assert schedule.freeze_steps(total)[0] == math.ceil(first * total)
    assert schedule.freeze_steps(total)[-1] is None
    last = [schedule.factors(s, total)[-1] for s in range(total + 1)]
    assert last[0] == 1
    assert all(a > b for a, b in pairwise(last)), "the head anneals to the last step"
    assert last[-1] == 0, "and its rate reaches 0 right after it"


# Trajectories


def test_the_images_are_those_that_the_original_was_given() -> None:
    digest = hashlib.sha256(replay.images().tobytes()).hexdigest()
    assert digest == "e1b26c6d68b0e83964a0fba6206f4869775a6247557c491ed341dfbe1ada72a9"


@both_networks
def test_the_engine_replays_the_original_step_by_step(network) -> None:
    follow(load(network))


@both_networks
def test_the_mode_for_comparison_replays_it_too(network) -> None:
    """No t_i falls on a whole step of these 60, and the original was told an epoch of 60 iterations."""
    follow(load(network), strategy=Original(strategy=RECIPE, steps_per_epoch=1000))


@both_networks
def test_the_trajectory_passes_through_the_freezing_of_every_stage_but_the_head(network) -> None:
    trajectory = load(network)
    stages = len(replay.build(trajectory))
    assert sorted(set(trajectory.active)) == [*range(2, stages + 2)]


@both_networks
def test_a_plain_loop_around_the_library_replays_it(network) -> None:
    trajectory = load(network)
    chain = replay.build(trajectory)
    optimizer = torch.optim.SGD(chain.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
    freezeout = FreezeOut(chain, optimizer, RECIPE, total_steps=STEPS)
    for s in range(STEPS):
        chain.train()
        freezeout.step()
        logits = chain(trajectory.x[s].double())
        loss = functional.nll_loss(functional.log_softmax(logits, 1), trajectory.y[s])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert abs(loss.item() - trajectory.losses[s]) <= replay.BOUND
        assert len(chain) - freezeout.prefix + 1 == trajectory.active[s]
    for ours, theirs in zip(chain.state_dict().values(), trajectory.final, strict=True):
        assert (ours - theirs).abs().max() <= replay.BOUND


# Sabotage: what the tests above must notice


class KeepsAGradient(FreezeOut):
    def step(self):
        super().step()
        for stage in self.stages:
            stage.requires_grad_(True)


class KeepsMovingStatistics(FreezeOut):
    def step(self):
        super().step()
        for stage in self.stages:
            stage.train()


class KeepsItsGroup(FreezeOut):
    """A frozen stage stays in the optimizer, at the rate of its last step and with a gradient of zero."""

    def _apply(self, step, set_rates):
        was = [dict(group) for group in self._optimizer.param_groups]
        state = {p: self._optimizer.state[p] for group in was for p in group["params"] if step}
        super()._apply(step, set_rates)
        for group, before in zip(self._optimizer.param_groups, was, strict=True):
            if before["params"] and not before["params"][0].requires_grad:
                group |= {"params": before["params"], "lr": before["lr"]}
                for p in before["params"]:
                    p.grad = torch.zeros_like(p)
                    self.keep(group, p, state[p])
        self._groups.leave()  # or it would take offence at the rates

    def keep(self, group, p, state):
        raise NotImplementedError


class KeepsMomentum(KeepsItsGroup):
    def keep(self, group, p, state):
        group["weight_decay"] = 0.0
        self._optimizer.state[p] = state


class KeepsDecay(KeepsItsGroup):
    def keep(self, group, p, state):
        self._optimizer.state.pop(p, None)


class Shifted(Schedule):
    """Freezes `late` steps after its time, its rates untouched."""

    late = 0

    def prefix(self, step, total_steps):
        return super().prefix(min(max(step - self.late, 0), total_steps - 1), total_steps)

    def freeze_steps(self, total_steps):
        return [step if step is None else step + self.late for step in super().freeze_steps(total_steps)]


class Early(Shifted):
    late = -1


class Late(Shifted):
    late = 1


class WithoutTheHalf(Schedule):
    def factors(self, step, total_steps):
        return [2 * factor for factor in super().factors(step, total_steps)]


class ScaledUpsideDown(Schedule):
    def factors(self, step, total_steps):
        pairs = zip(super().factors(step, total_steps), self.anneal, strict=True)
        return [factor * t_i**2 if self.scaled else factor for factor, t_i in pairs]


class Sabotaged:
    """The recipe under a schedule of another kind."""

    bn = "eval"

    def __init__(self, kind):
        self.kind = kind

    def schedule(self, n):
        ours = RECIPE.schedule(n)
        return self.kind(ours.freeze, ours.anneal, ours.scaled)


MECHANISMS = [KeepsAGradient, KeepsMovingStatistics, KeepsMomentum, KeepsDecay]
KINDS = [Early, Late, WithoutTheHalf, ScaledUpsideDown]


@both_networks
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_trajectory_notices_what_a_frozen_stage_keeps(network, mechanism) -> None:
    with pytest.raises(AssertionError):
        follow(load(network), mechanism=mechanism, plain=True)


@both_networks
@pytest.mark.parametrize("kind", KINDS)
def test_the_trajectory_notices_a_wrong_schedule(network, kind) -> None:
    with pytest.raises(AssertionError):
        follow(load(network), strategy=Sabotaged(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_the_golden_schedules_notice_a_wrong_schedule(kind, monkeypatch) -> None:
    class Wrong(Original):
        def schedule(self, n):
            right = super().schedule(n)
            wrong = type("Both", (kind, type(right)), {})
            return wrong(right.freeze, right.anneal, right.scaled, steps_per_epoch=self.steps_per_epoch)

    monkeypatch.setitem(globals(), "Original", Wrong)
    entry = next(e for e in SCHEDULES if e["scale_lr"] and e["how_scale"] == "cubic")
    with pytest.raises(AssertionError):
        schedule_agrees(entry)


def test_the_sabotage_itself_changes_nothing_else() -> None:
    follow(load("densenet"), strategy=Sabotaged(Schedule))
