"""A compiled network freezes: as many graphs as FreezeOut says, and an error in place of eager steps."""

from __future__ import annotations

import re
from inspect import signature
from pathlib import Path

import pytest
import torch
from torch import nn
from torch._dynamo.exc import FailOnRecompileLimitHit
from torch._dynamo.testing import CompileCounter

from freezeout import Chain, FreezeOut
from freezeout.strategies import FreezeOut as Strategy

STEPS = 40
STRATEGY = Strategy(t_0=0.2, how_scale="linear", scale_lr=False)


@pytest.fixture(autouse=True)
def nothing_compiled():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def build(n: int, **options) -> tuple[Chain, torch.optim.Optimizer, FreezeOut]:
    torch.manual_seed(0)
    blocks = {f"block{i}": nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU()) for i in range(n - 1)}
    chain = Chain({**blocks, "head": nn.Linear(4, 2)})
    optimizer = torch.optim.SGD(chain.parameters(), lr=0.1)
    return chain, optimizer, FreezeOut(chain, optimizer, STRATEGY, STEPS, **options)


def train(net, chain, optimizer, freezer, counter=None) -> list[int]:
    """The number of graphs after each step."""
    graphs = []
    for step in range(STEPS):
        chain.train()
        freezer.step()
        net(torch.randn(6, 4, generator=torch.Generator().manual_seed(step))).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        graphs.append(counter.frame_count if counter else 0)
    return graphs


def test_each_freeze_event_is_one_graph_and_the_run_is_the_eager_one() -> None:
    counter = CompileCounter()
    chain, optimizer, freezer = build(5)
    graphs = train(freezer.compile(chain, backend=counter), chain, optimizer, freezer, counter)
    assert len(freezer.events) == 4
    assert graphs == [1 + sum(step >= event for event in freezer.events) for step in range(STEPS)]
    eager, *others = build(5)
    train(eager, eager, *others)
    for a, b in zip(chain.state_dict().values(), eager.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.skipif("isolate_recompiles" not in signature(torch.compile).parameters, reason="counted together")
def test_a_second_network_of_one_process_has_graphs_of_its_own() -> None:
    counter = CompileCounter()
    for run in range(1, 4):
        chain, optimizer, freezer = build(5)
        graphs = train(freezer.compile(chain, backend=counter), chain, optimizer, freezer, counter)
        assert graphs[-1] == 5 * run
    assert graphs[-1] > torch._dynamo.config.recompile_limit


def test_more_events_than_torch_keeps_graphs_are_refused_with_the_remedy() -> None:
    limit = torch._dynamo.config.recompile_limit
    chain, optimizer, freezer = build(12)
    with pytest.raises(ValueError, match=rf"11 freeze events make 12 graphs.*max_events={limit - 1}\)"):
        freezer.compile(chain)
    chain, optimizer, freezer = build(12, max_events=limit - 1)
    counter = CompileCounter()
    graphs = train(freezer.compile(chain, backend=counter), chain, optimizer, freezer, counter)
    assert graphs[-1] == limit
    assert freezer.prefix == 11


def test_the_readme_says_how_many_events_keep_under_the_limit_of_torch() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    said = re.findall(r"`FreezeOut\(\.\.\., max_events=(\d+)\)` stays under torch's limit", readme)
    assert [int(most) for most in said] == [torch._dynamo.config.recompile_limit - 1]


def test_torch_alone_would_go_on_eagerly_and_say_little() -> None:
    """The mechanism off: the network compiled as usual runs out of graphs, without an error."""
    chain, optimizer, freezer = build(12)
    counter = CompileCounter()
    graphs = train(torch.compile(chain, backend=counter), chain, optimizer, freezer, counter)
    assert graphs[-1] < len(freezer.events) + 1
    assert freezer.prefix == 11


def test_graphs_that_freezing_does_not_need_are_an_error_too_once_they_are_too_many() -> None:
    chain, _, freezer = build(4)
    net = freezer.compile(chain, backend=CompileCounter(), dynamic=False)
    for size in range(2, 2 + torch._dynamo.config.recompile_limit):
        net(torch.randn(size, 4))
    with pytest.raises(FailOnRecompileLimitHit):
        net(torch.randn(99, 4))


@pytest.mark.parametrize("most", [1, 2, 3, 7, 10, 11, 50])
def test_grouped_stages_wait_for_the_last_of_their_group_at_unchanged_rates(most) -> None:
    plain, grouped = build(12)[2], build(12, max_events=most)[2]
    assert len(grouped.events) == min(most, 11)
    assert set(grouped.events) <= set(plain.events)
    assert grouped.events[-1] == plain.events[-1]
    for ours, asked in zip(grouped.times, plain.times, strict=True):
        assert ours >= asked
    assert grouped.schedule.anneal == plain.schedule.anneal
    sizes = [grouped.times.count(t) for t in sorted(set(grouped.times[:-1]))]
    assert max(sizes) - min(sizes) <= 1


def test_stages_that_freeze_together_anyway_stay_together() -> None:
    stages = [nn.Linear(2, 2) for _ in range(30)]
    optimizer = torch.optim.SGD([p for s in stages for p in s.parameters()], lr=0.1)
    freezer = FreezeOut(stages, optimizer, STRATEGY, 10, max_events=3)
    assert len(freezer.events) == 3
    steps = [step for step in freezer.schedule.freeze_steps(10) if step is not None]
    assert steps == sorted(steps)
    assert set(steps) == set(freezer.events)


def test_no_event_at_all_is_no_mistake_and_none_allowed_is() -> None:
    assert build(1, max_events=3)[2].events == []
    with pytest.raises(ValueError, match="max_events=0: must be at least 1"):
        build(3, max_events=0)
