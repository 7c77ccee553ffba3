"""Freezing as Composer's functional form does it; where Composer cannot resume, this can."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn, optim

from freezeout import Chain, freeze_layers
from freezeout.strategies import LayerFreezing

EPOCHS = 8


def network() -> nn.Sequential:
    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU()) for _ in range(3)]
    return nn.Sequential(*blocks, nn.Linear(4, 2))


def train(model, optimizer, epochs=range(EPOCHS), start=0.25) -> list[int]:
    depths = []
    for epoch in epochs:
        depths.append(freeze_layers(model, optimizer, epoch / EPOCHS, freeze_start=start)[0])
        for step in range(3):
            x = torch.randn(6, 4, generator=torch.Generator().manual_seed(3 * epoch + step))
            model(x).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    return depths


@pytest.mark.parametrize(
    ("duration", "start", "level", "expected"),
    [
        (0.5, 0.5, 1.0, (0, 0.0)),
        (0.3, 0.5, 1.0, (0, 0.0)),
        (0.75, 0.5, 1.0, (3, 0.5)),
        (0.75, 0.0, 0.5, (2, 0.375)),
        (1.0, 0.5, 1.0, (6, 1.0)),
    ],
)
def test_depth_and_fraction_are_composers(duration, start, level, expected) -> None:
    model = network()  # 7 layers of Composer's: each Linear and each BatchNorm
    assert freeze_layers(model, optim.SGD(model.parameters(), lr=0.1), duration, start, level) == expected
    frozen = [not p.requires_grad for p in model.parameters()]
    assert frozen == [True] * 2 * expected[0] + [False] * (len(frozen) - 2 * expected[0])


def test_the_layers_of_a_chain_are_its_stages_and_freeze_as_the_strategy_does() -> None:
    chain = Chain(dict(zip("abcd", network(), strict=True)))
    schedule = LayerFreezing(epochs=EPOCHS, freeze_start=0.25).schedule(4)
    depths = train(chain, optim.SGD(chain.parameters(), lr=0.1))
    assert depths == [schedule.prefix(epoch, EPOCHS) for epoch in range(EPOCHS)]
    assert depths[-1] == math.floor(3 * (7 / 8 - 0.25) / 0.75) == 2


def test_a_frozen_layer_is_touched_by_no_optimizer_but_its_statistics_move_as_composers_do() -> None:
    model = network()
    optimizers = [
        optim.SGD(model[:2].parameters(), lr=0.1, momentum=0.9, weight_decay=0.1),
        optim.AdamW(model[2:].parameters()),
    ]
    model(torch.randn(6, 4)).sum().backward()
    for optimizer in optimizers:
        optimizer.step()
    assert freeze_layers(model, optimizers, 0.9, 0.0) == (5, 0.9)
    frozen = list(model.parameters())[:10]
    assert all(p.grad is None and not any(p in o.state for o in optimizers) for p in frozen)
    weights, mean = [p.clone() for p in frozen], model[0][1].running_mean.clone()
    model(torch.randn(6, 4)).sum().backward()
    for optimizer in optimizers:
        optimizer.step()
    assert all(torch.equal(p, was) for p, was in zip(frozen, weights, strict=True))
    assert not torch.equal(model[0][1].running_mean, mean)
    assert len(optimizers[1].state) == 4, "what trains keeps its state"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("called_before", [False, True])
@pytest.mark.parametrize("kind", [lambda p: optim.SGD(p, lr=0.1, momentum=0.9), lambda p: optim.AdamW(p, lr=0.01)])
def test_a_resumed_run_is_the_run_that_was_never_stopped(order, called_before, kind) -> None:
    """Composer's cannot be resumed: github.com/mosaicml/composer/issues/1002."""

    def build():
        model = network()
        return model, kind(model.parameters())

    through = build()
    train(*through)
    first = build()
    train(*first, epochs=range(6))
    saved = copy.deepcopy([part.state_dict() for part in first])
    again = build()
    if called_before:
        freeze_layers(*again, 6 / EPOCHS, freeze_start=0.25)
    for i in order:
        again[i].load_state_dict(saved[i])
    train(*again, epochs=range(6, EPOCHS))
    for a, b in zip(again[0].state_dict().values(), through[0].state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_weight_that_a_later_layer_shares_waits_for_it() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.Linear(4, 5))
    model[2].weight = model[0].weight
    assert freeze_layers(model, optim.SGD(model.parameters(), lr=0.1), 1.0)[0] == 2
    assert [p.requires_grad for p in model.parameters()] == [True, False, False, True]


def test_mistakes_are_one_line() -> None:
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"current_duration=3: must lie in \[0, 1\]"):
        freeze_layers(model, optimizer, 3)
    with pytest.raises(ValueError, match=r"freeze_start=1: must lie in \[0, 1\)"):
        freeze_layers(model, optimizer, 0.5, 1)
    with pytest.raises(ValueError, match="ReLU has no layer"):
        freeze_layers(nn.ReLU(), optimizer, 0.5)
