"""The rules of adaptive strategies on cases whose answer is known, and what is observed for them."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_freeze import small_chain
from torch import nn

from freezeout import FreezeOut
from freezeout.adaptive import ADAPTIVE, AutoFreeze, WeightDelta, percentile
from freezeout.observing import OBSERVERS, Gradients, Movement
from freezeout.strategies import Baseline

every = pytest.mark.parametrize("strategy", ADAPTIVE.values(), ids=ADAPTIVE)
numbers = st.one_of(st.floats(0, 1e6), st.sampled_from([0.0, math.inf, math.nan]))


def told(strategy, *observations):
    """The frozen prefix after each interval."""
    state, found = strategy.init(len(observations[0])), []
    for i, one in enumerate(observations, 1):
        state = strategy.update(state, i / 10, one)
        found.append(strategy.frozen_prefix(state, i / 10))
    return found


def test_autofreeze_freezes_up_to_the_first_stage_that_changes_as_much_as_the_median() -> None:
    """Changes of 10, 50, 1 and 80 %: their median is 30 %. Then 10, 20 and 12.5 % of the three that are left."""
    first, second = [10.0, 10.0, 10.0, 10.0, 7.0], [9.0, 5.0, 9.9, 2.0, 0.0]
    assert told(AutoFreeze(), first, second) == [0, 1], "the third stands still, too, but lies behind one that does not"
    third = [0.0, 5.5, 7.92, 2.25, 99.0]
    assert told(AutoFreeze(), first, second, third) == [0, 1, 2]
    assert told(AutoFreeze(percentile=75), first, second, third) == [0, 3, 3], "the last one is a median of its own"
    assert told(AutoFreeze(), [8.0, 8.0, 8.0], [4.0, 4.0, 4.0]) == [0, 0], "as much as the median is not less"


def as_released(norms, q: float) -> int:
    """The frozen layers after some intervals, by the loop of the released code (freeze_intermediate_e2e_lr.py)."""
    start, before = 0, None
    for now in norms:
        if before is not None:
            changes = [abs(a - b) / a if i >= start else 0.0 for i, (a, b) in enumerate(zip(before, now, strict=True))]
            limit = np.percentile(changes[start:], q)
            start = next(i for i, one in enumerate(changes) if one >= limit)
        before = now
    return start


norms = st.lists(st.lists(st.floats(0.01, 100.0), min_size=6, max_size=6), min_size=1, max_size=6)


@given(norms, st.sampled_from([10.0, 25.0, 50.0, 75.0, 100.0]))
def test_autofreeze_decides_as_the_released_code(norms, q) -> None:
    """But where that would thaw: where no change at all is the percentile, it finds the frozen layers, too."""
    found = told(AutoFreeze(percentile=q), *([*one, 1.0] for one in norms))[-1]
    assert found >= as_released(norms, q)
    if all(a != b for one, other in pairwise(norms) for a, b in zip(one, other, strict=True)):
        assert found == as_released(norms, q)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20), st.floats(0.1, 100))
def test_the_percentile_is_numpys(values, q) -> None:
    assert percentile(values, q) == pytest.approx(float(np.percentile(values, q)), rel=1e-9, abs=1e-12)


def test_weight_delta_freezes_up_to_the_first_stage_that_moves() -> None:
    rule = WeightDelta(threshold=0.1)
    assert told(rule, [0.05, 0.09, 0.1, 0.01, 0.0], [0.0, 0.0, 0.01, 0.02, 0.0]) == [2, 4]
    assert told(rule, [0.2, 0.01, 0.01, 0.0], [0.0, 0.01, 0.01, 0.0]) == [0, 3], "the head never freezes"
    assert told(rule, [math.nan, 0.0, 0.0]) == [0]


@every
@given(data=st.data(), n=st.integers(1, 8))
def test_whatever_is_observed_the_prefix_never_shrinks_and_spares_the_head(strategy, data, n) -> None:
    observations = data.draw(st.lists(st.lists(numbers, min_size=n, max_size=n), min_size=1, max_size=8))
    found = told(strategy(), *observations)
    assert found == sorted(found)
    assert found[-1] <= max(n - 1, 0)


@every
def test_a_state_is_plain_data_and_is_replaced_never_changed(strategy) -> None:
    rule = strategy()
    state = rule.init(3)
    before = json.dumps(state)
    after = rule.update(rule.update(state, 0.1, [1.0, 2.0, 3.0]), 0.2, [1.0, 0.5, 3.0])
    assert json.dumps(state) == before
    assert json.loads(json.dumps(after)) == after
    assert rule.frozen_prefix(json.loads(json.dumps(after)), 0.2) == rule.frozen_prefix(after, 0.2)


@every
def test_its_learning_rates_are_the_baselines(strategy) -> None:
    assert strategy().schedule(5) == Baseline().schedule(5)
    assert strategy.observes in OBSERVERS


@pytest.mark.parametrize(
    ("strategy", "bad", "line"),
    [
        (AutoFreeze, {"intervals": 1}, "strategy.intervals=1: must be a whole number, and at least 2"),
        (AutoFreeze, {"intervals": 10.5}, "strategy.intervals=10.5: must be a whole number, and at least 2"),
        (AutoFreeze, {"percentile": "50"}, "strategy.percentile='50': must be a number"),
        (AutoFreeze, {"percentile": 0.0}, r"strategy.percentile=0.0: must lie in \(0, 100\]"),
        (AutoFreeze, {"percentile": math.nan}, r"strategy.percentile=nan: must lie in \(0, 100\]"),
        (AutoFreeze, {"bn": "off"}, "strategy.bn=off: must be one of eval, train, reestimate"),
        (WeightDelta, {"intervals": 0}, "strategy.intervals=0: must be a whole number, and at least 2"),
        (WeightDelta, {"threshold": "0.1"}, "strategy.threshold=0.1: must be a number above 0"),
        (WeightDelta, {"threshold": 0.0}, "strategy.threshold=0.0: must be a number above 0"),
        (WeightDelta, {"threshold": math.inf}, "strategy.threshold=inf: must be a number above 0"),
    ],
)
def test_a_value_outside_its_range_is_refused_in_one_line(strategy, bad, line) -> None:
    with pytest.raises(ValueError, match=f"^{line}$"):
        strategy(**bad)


# What is observed


def steps(chain, optimizer, n: int):
    """Train; gives the gradients of each step."""
    for _ in range(n):
        loss = chain(torch.randn(4, 3, 4, 4)).square().mean()
        loss.backward()
        yield [[None if p.grad is None else p.grad.clone() for p in stage.parameters()] for stage in chain]
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("split", [False, True])
def test_gradients_are_summed_over_the_interval_and_only_then_measured(split: bool) -> None:
    chain = small_chain()
    groups = [{"params": [*stage.parameters()]} for stage in chain] if split else chain.parameters()
    optimizer = torch.optim.SGD(groups, lr=0.1)
    observer = Gradients([*chain], optimizer)
    for n in (5, 3):
        observer.begin(0)
        seen = [*steps(chain, optimizer, n)]
        for i, number in enumerate(observer.read()):
            sums = [sum(step[i][j] for step in seen) for j in range(len(seen[0][i]))]
            assert number == pytest.approx(sum(s.abs().sum().item() for s in sums), rel=1e-5)
    chain[0].requires_grad_(False)
    observer.begin(1)
    for p in chain[0].parameters():
        p.grad = None
    list(steps(chain, optimizer, 2))
    assert [number > 0 for number in observer.read()] == [False, True, True, True, True]


def test_movement_is_that_of_all_a_stages_weights_since_the_interval_began() -> None:
    stages = [nn.Linear(2, 1), nn.Linear(1, 1)]
    with torch.no_grad():
        for p, values in zip(stages[0].parameters(), ([[3.0, 0.0]], [4.0]), strict=True):
            p.copy_(torch.tensor(values))
    observer = Movement(stages, torch.optim.SGD(stages[1].parameters(), lr=0.1))
    observer.begin(0)
    with torch.no_grad():
        stages[0].weight[0, 1] = 0.5
        stages[0].bias += 1.2
    assert observer.read() == pytest.approx([math.hypot(0.5, 1.2) / 5, 0.0])
    observer.begin(0)
    assert observer.read() == [0.0, 0.0]


@pytest.mark.parametrize("kind", OBSERVERS.values(), ids=OBSERVERS)
def test_an_observer_goes_on_within_an_interval_from_what_it_kept(kind) -> None:
    def run(stop: int | None) -> list[float]:
        torch.manual_seed(1)
        chain = small_chain()
        optimizer = torch.optim.SGD(chain.parameters(), lr=0.1)
        observer = kind([*chain], optimizer)
        observer.begin(1)
        for i, _ in enumerate(steps(chain, optimizer, 6)):
            if i == stop:
                saved = [[t.clone() for t in own] for own in observer.state_dict()]
                assert saved[0] == []
                observer._add = lambda _: None
                observer = kind([*chain], optimizer)
                observer.load_state_dict(saved)
        return observer.read()

    assert run(3) == run(None)


def test_scaled_gradients_of_a_fused_optimizer_are_refused_in_one_line() -> None:
    chain = small_chain()
    optimizer = torch.optim.SGD(chain.parameters(), lr=0.1)
    Gradients([*chain], optimizer)
    optimizer.grad_scale = torch.tensor(2.0)
    with pytest.raises(RuntimeError, match=r"needs fused=False$"):
        list(steps(chain, optimizer, 1))


class Term(nn.Module):
    """A stage that adds a function of one weight to the first column of its input."""

    def __init__(self, start: float, function) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([start], dtype=torch.float64))
        self.function = function

    def forward(self, x):
        return x + self.function(self.weight)


def trained(strategy, stages, total: int = 40, lr: float = 0.01) -> FreezeOut:
    optimizer = torch.optim.SGD([p for stage in stages for p in stage.parameters()], lr=lr)
    freezeout = FreezeOut(stages, optimizer, strategy, total)
    for _ in range(total):
        freezeout.step()
        x = torch.zeros(1, dtype=torch.float64)
        for stage in stages:
            x = stage(x)
        x.sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return freezeout


def test_autofreeze_freezes_the_stages_whose_gradient_is_constant() -> None:
    """Gradients of 3 and 5 whatever the weight, and two that fall with it: the median lies between the pairs."""
    stages = [Term(1.0, lambda w: 3 * w), Term(1.0, lambda w: 5 * w), Term(2.0, torch.square), Term(1.0, torch.square)]
    stages.append(Term(1.0, lambda w: w))
    freezeout = trained(AutoFreeze(intervals=10), stages)
    assert freezeout.prefix >= 2
    assert freezeout.times[:2] == (0.2, 0.2), "at the end of the second interval"
    turned = [Term(2.0, torch.square), Term(1.0, lambda w: 5 * w), Term(1.0, lambda w: w)]
    assert trained(AutoFreeze(intervals=10), turned).prefix == 0, "the first one changes, so that none freezes"


@pytest.mark.parametrize("frozen", [1, 5])
def test_stages_that_the_user_has_frozen_keep_none_of_the_others_from_freezing(frozen: int) -> None:
    """As embeddings are when a transformer is fine-tuned: they have no gradient that could change."""
    still = [Term(1.0, lambda w: w).requires_grad_(False) for _ in range(frozen)]
    functions = [lambda w: 3 * w, lambda w: 5 * w, torch.square, torch.square, lambda w: w]
    freezeout = trained(AutoFreeze(intervals=10), [*still, *(Term(1.0, f) for f in functions)])
    assert freezeout.times[: frozen + 2] == (0.2,) * (frozen + 2)
    assert freezeout.times[frozen + 2] > 0.2, "they lie below the median of those that train, not of all"


def test_weight_delta_freezes_each_stage_in_the_interval_in_which_it_comes_to_rest() -> None:
    """A weight of 1 under a constant gradient moves by it times the sum of the rates, which are known."""
    stages = [Term(1.0, lambda w: 0.1 * w), Term(1.0, lambda w: 2.0 * w), Term(1.0, lambda w: w)]
    rates = [0.01 * 0.5 * (1 + math.cos(math.pi * s / 40)) for s in range(40)]
    moved = {g: [g * sum(rates[a : a + 4]) for a in range(0, 40, 4)] for g in (0.1, 2.0)}
    expected = []
    for g in (0.1, 2.0):
        weights = [1 - sum(moved[g][:i]) for i in range(10)]
        rest = next(i for i in range(10) if moved[g][i] / abs(weights[i]) < 0.03)
        expected.append((rest + 1) / 10)
    freezeout = trained(WeightDelta(intervals=10, threshold=0.03), stages)
    assert freezeout.times == (*expected, 1.0)
    assert expected[0] == 0.1
    assert expected[1] > 0.5
