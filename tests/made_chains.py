"""A chain small enough to train in a test, and whether two have learnt the same."""

import torch
from torch import nn

from freezeout.stages.chain import Chain


def small_chain() -> Chain:
    """Four convolutions with statistics, and a head with dropout, for images (batch, 3, 4, 4); the same every time."""
    torch.manual_seed(0)
    conv = {f"conv{i}": nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU()) for i in range(4)}
    return Chain({**conv, "head": nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(3 * 16, 5))})


def equal(a: nn.Module, b: nn.Module) -> bool:
    """Whether two networks hold bitwise the same parameters and statistics."""
    return all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
