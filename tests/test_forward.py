"""FreezeOut's own forward: what the network computes, with the frozen part prepared and out of autograd."""

from __future__ import annotations

import copy

import pytest
import torch
from made_networks import DataDependent, Plain, X
from torch import nn

from freezeout import Chain, FreezeOut, find_stages
from freezeout.strategies import FreezeOut as Strategy

STEPS = 12


def build(bn="eval", dtype=torch.float64):
    torch.manual_seed(0)
    blocks = {
        f"block{i}": nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3), nn.ReLU())
        for i in range(3)
    }
    chain = Chain({**blocks, "head": nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 4))}).to(dtype)
    optimizer = torch.optim.SGD(chain.parameters(), lr=0.1, momentum=0.9)
    strategy = Strategy(t_0=0.25, how_scale="linear", bn=bn)
    return chain, optimizer, FreezeOut(chain, optimizer, strategy, STEPS)


def train(chain, optimizer, freezer, forward, steps=range(STEPS)) -> list[float]:
    losses = []
    for step in steps:
        chain.train()
        freezer.step()
        x = torch.randn(4, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
        loss = forward(x.to(next(chain.parameters()).dtype)).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("bn", ["eval", "train"])
def test_a_run_through_it_is_the_run_through_the_network(bn) -> None:
    plain, ours = build(bn), build(bn)
    losses = train(*plain, plain[0])
    assert train(*ours, ours[2].forward) == pytest.approx(losses, rel=1e-10)
    for a, b in zip(ours[0].state_dict().values(), plain[0].state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    assert ours[2].prefix == 3


def test_no_frozen_stage_of_the_network_itself_runs() -> None:
    chain, optimizer, freezer = build()
    train(chain, optimizer, freezer, freezer.forward, range(8))
    assert freezer.prefix == 2
    ran = []
    for i, stage in enumerate(chain):
        stage.register_forward_hook(lambda *_, i=i: ran.append(i))
    y = freezer.forward(X.double())
    assert ran == [2, 3], "the rest ran from prepared weights"
    torch.testing.assert_close(y, chain(X.double()))


def test_weights_that_are_loaded_later_are_the_ones_that_run() -> None:
    chain, optimizer, freezer = build()
    train(chain, optimizer, freezer, freezer.forward, range(8))
    other = build()[0]
    with torch.no_grad():
        for p in other.parameters():
            p.mul_(1.5)
    chain.load_state_dict(other.state_dict())
    torch.testing.assert_close(freezer.forward(X.double()), chain(X.double()))
    torch.testing.assert_close(chain.eval()(X.double()), freezer.forward(X.double()))


def test_weights_that_are_replaced_or_converted_later_are_the_ones_that_run() -> None:
    chain, optimizer, freezer = build()
    train(chain, optimizer, freezer, freezer.forward, range(8))
    own = [p.data for p in chain.parameters()]
    for p in chain.parameters():
        p.data = p * 1.5  # as an average of weights is put in for an evaluation
    torch.testing.assert_close(freezer.forward(X.double()), chain(X.double()))
    for p, data in zip(chain.parameters(), own, strict=True):
        p.data = data
    torch.testing.assert_close(freezer.forward(X.double()), chain(X.double()))
    chain.float()
    torch.testing.assert_close(freezer.forward(X), chain(X), rtol=1e-4, atol=1e-5)


def test_autocast_may_come_and_go() -> None:
    chain, optimizer, freezer = build(dtype=torch.float32)
    train(chain, optimizer, freezer, freezer.forward, range(8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half, expected = freezer.forward(X), chain(X)
    assert half.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(half, expected, rtol=0.1, atol=0.05)
    torch.testing.assert_close(freezer.forward(X), chain(X), rtol=1e-4, atol=1e-5)


def test_a_resumed_run_prepares_what_was_frozen() -> None:
    first = build()
    train(*first, first[2].forward, range(8))
    saved = copy.deepcopy([part.state_dict() for part in first])
    chain, optimizer, freezer = build()
    freezer.load_state_dict(saved[2])
    freezer.forward(X.double())  # prepares weights that are replaced in the next line
    chain.load_state_dict(saved[0])
    optimizer.load_state_dict(saved[1])
    train(*first, first[2].forward, range(8, STEPS))
    train(chain, optimizer, freezer, freezer.forward, range(8, STEPS))
    for a, b in zip(chain.state_dict().values(), first[0].state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_network_that_was_traced_runs_through_it_and_one_that_was_not_is_refused() -> None:
    for build_network, runs in ((Plain, True), (DataDependent, False)):
        chain = find_stages(build_network(), X[:1])
        optimizer = torch.optim.SGD(chain.parameters(), lr=0.1)
        freezer = FreezeOut(chain, optimizer, Strategy(t_0=0.5), 4)
        freezer.step()
        if runs:
            assert torch.equal(freezer.forward(X), chain(X))
        else:
            with pytest.raises(RuntimeError, match="cannot be run one by one"):
                freezer.forward(X)
