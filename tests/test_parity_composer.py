"""`layer_freezing` freezes what Composer's LayerFreezing would; where it does otherwise, it is by design."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from freezeout import Chain, FreezeOut, find_stages
from freezeout.strategies import LayerFreezing


def composers_count(elapsed: float, start: float, level: float, n: int) -> int:
    """Composer freezes int(level (d - start) / (1 - start) (n - 1)) layers when an epoch ends at d of the run."""
    return 0 if elapsed <= start else int(level * ((elapsed - start) / (1.0 - start)) * (n - 1))


def tower(n: int = 11, width: int = 2) -> Chain:
    """n layers whose declaration order is their running order, each with a BatchNorm, so that all can freeze."""
    torch.manual_seed(0)
    layers = {f"layer{i}": nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width)) for i in range(n - 1)}
    return Chain({**layers, "head": nn.Linear(width, 2)})


def train(chain: Chain, optimizer, freezeout: FreezeOut, first: int, end: int) -> None:
    for s in range(first, end):
        chain.train()
        freezeout.step()
        x = torch.randn(4, 2, generator=torch.Generator().manual_seed(s))
        chain(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def prepared(strategy: LayerFreezing, total: int):
    chain = tower()
    optimizer = torch.optim.SGD(chain.parameters(), lr=0.1, momentum=0.9)
    return chain, optimizer, FreezeOut(chain, optimizer, strategy, total)


@pytest.mark.parametrize("level", [0.0, 0.3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("start", [0.0, 0.1, 0.3, 0.5, 0.9])
def test_as_many_layers_freeze_as_by_composers_formula(start, level) -> None:
    epochs, steps = 10, 3
    chain, _, freezeout = prepared(LayerFreezing(epochs=epochs, freeze_start=start, freeze_level=level), epochs * steps)
    for s in range(epochs * steps):
        freezeout.step()
        frozen = [not any(p.requires_grad for p in layer.parameters()) for layer in chain]
        count = composers_count(s // steps / epochs, start, level, len(chain))
        assert frozen == [i < count for i in range(len(chain))]


class DeclaredBackwards(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)
        self.middle = nn.Linear(4, 4)
        self.stem = nn.Linear(3, 4)

    def forward(self, x):
        return self.head(self.middle(self.stem(x).relu()).relu())


def test_by_design_the_order_is_that_of_running_where_composers_is_that_of_declaration() -> None:
    model = DeclaredBackwards()
    chain = find_stages(model, torch.zeros(2, 3))
    freezeout = FreezeOut(
        chain, torch.optim.SGD(chain.parameters(), lr=0.1), LayerFreezing(epochs=4, freeze_start=0.0), 4
    )
    for _ in range(3):
        freezeout.step()
    count = composers_count(2 / 4, 0.0, 1.0, 3)
    composers = [name for name, _ in list(model.named_children())[:count]]
    ours = [name for name, child in model.named_children() if not next(child.parameters()).requires_grad]
    assert (composers, ours) == (["head"], ["stem"])


@pytest.mark.parametrize(("bn", "moves"), [("train", True), ("eval", False)])
def test_by_design_frozen_statistics_can_stand_still_where_composers_always_move(bn, moves) -> None:
    run = prepared(LayerFreezing(epochs=10, bn=bn), 20)
    train(*run, 0, 18)
    before = copy.deepcopy(run[0][0].state_dict())
    train(*run, 18, 20)
    after = run[0][0].state_dict()
    assert torch.equal(before["0.weight"], after["0.weight"])
    assert torch.equal(before["1.running_mean"], after["1.running_mean"]) is not moves


def test_by_default_layer_freezing_leaves_statistics_moving_as_composer_does() -> None:
    assert LayerFreezing(epochs=1).bn == "train"


def test_by_design_a_resumed_run_is_the_run_that_never_stopped_where_composer_warns_against_resuming() -> None:
    through, first, resumed = (prepared(LayerFreezing(epochs=10), 20) for _ in range(3))
    train(*through, 0, 20)
    train(*first, 0, 15)
    chain, optimizer, freezeout = resumed
    chain.load_state_dict(first[0].state_dict())
    freezeout.load_state_dict(first[2].state_dict())
    optimizer.load_state_dict(copy.deepcopy(first[1].state_dict()))
    train(*resumed, 15, 20)
    assert first[2].prefix > 0
    for ours, theirs in zip(chain.state_dict().values(), through[0].state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
