"""BatchNorms' step counters, raised by one operation, are those of modules that count by themselves."""

from __future__ import annotations

import copy

import pytest
import torch
from made_networks import ModesInside, made
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from freezeout import models
from freezeout.train.counters import BatchCounters


class Twice(nn.Module):
    """One normalisation that is run twice."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.norm(x))


class Branching(nn.Module):
    """Torch.fx cannot trace it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x) if x.sum() > 0 else self.norm(-x)


class Adds(TorchDispatchMode):
    """Counts the operations that add to an int64 scalar, alone or as one of many."""

    def __init__(self) -> None:
        super().__init__()
        self.alone = self.together = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.alone += func is torch.ops.aten.add_.Tensor and args[0].dtype == torch.int64
        self.together += func is torch.ops.aten._foreach_add_.Scalar
        return func(*args, **(kwargs or {}))


def forward(stages: list[nn.Module], first: int, counted: bool) -> Adds:
    x = torch.ones(2, 3, 8, 8)
    counters = BatchCounters(stages) if counted else None
    for stage in stages[:first]:
        x = stage(x)
    with Adds() as adds:
        if counters:
            with counters.counting(first):
                for stage in stages[first:]:
                    x = stage(x)
        else:
            for stage in stages[first:]:
                x = stage(x)
    return adds


NETWORKS = {
    "densenet": lambda: list(models.build("densenet_bc", 10, depth=16, growth=4)),
    "twice": lambda: [nn.BatchNorm2d(3), Twice()],
    "branching": lambda: [nn.BatchNorm2d(3), Branching()],
    "cumulative": lambda: [nn.BatchNorm2d(3), nn.BatchNorm2d(3, momentum=None)],
    "of another package": lambda: list(made(ModesInside)[1]),
    "no counter": lambda: [nn.BatchNorm2d(3, track_running_stats=False), nn.Conv2d(3, 3, 1)],
}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("first", [0, 1])
def test_every_buffer_is_that_of_a_plain_forward_pass(network, first) -> None:
    torch.manual_seed(0)
    plain = NETWORKS[network]()
    counted = copy.deepcopy(plain)
    for stage in [*plain[:first], *counted[:first]]:
        stage.eval()
    for _ in range(3):
        forward(plain, first, counted=False)
        forward(counted, first, counted=True)
    for a, b in zip(plain, counted, strict=True):
        assert a.state_dict().keys() == b.state_dict().keys()
        for name, value in a.state_dict().items():
            assert torch.equal(value, b.state_dict()[name]), name


def test_one_operation_counts_for_a_whole_network() -> None:
    stages = NETWORKS["densenet"]()
    norms = sum(isinstance(m, nn.BatchNorm2d) for stage in stages for m in stage.modules())
    assert norms > 10
    plain, counted = (forward(stages, 0, counted) for counted in (False, True))
    assert (plain.alone, plain.together) == (norms, 0)
    assert (counted.alone, counted.together) == (0, 1)


def test_the_counters_are_back_after_a_forward_pass_that_fails() -> None:
    stage = nn.BatchNorm2d(3)
    counters = BatchCounters([stage])
    with pytest.raises(ValueError, match="expected 4D"), counters.counting(0):
        stage(torch.ones(3))
    assert stage.state_dict()["num_batches_tracked"] == 0
