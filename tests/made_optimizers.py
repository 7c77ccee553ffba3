"""Every optimizer and scheduler of torch, and a small network that they train."""

from __future__ import annotations

import inspect
from functools import partial

import torch
from torch import nn, optim
from torch.optim import lr_scheduler

from freezeout import Chain
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
