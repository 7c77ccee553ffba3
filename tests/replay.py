"""The trajectories of the original code (tests/golden/), replayed by the loop that users run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from freezeout import Chain, FreezeOut, models
from freezeout.strategies import FreezeOut as Paper
from freezeout.train.clock import device_clock
from freezeout.train.loop import Training
from freezeout.train.optimizers import make_optimizer
from freezeout.train.schema import Sgd

GOLDEN = Path(__file__).parent / "golden"
NETWORKS: dict[str, tuple[str, dict[str, int]]] = {
    "densenet": ("densenet_bc", {"depth": 16, "growth": 4}),
    "wrn": ("wide_resnet", {"depth": 10, "widen": 1}),
}
RECIPE = Paper(t_0=0.6, how_scale="cubic", scale_lr=True)
STEPS, BATCH, CLASSES = 60, 8, 10
BOUND = 1e-9


@dataclass(frozen=True)
class Trajectory:
    """One run of the original: per step its loss and number of active modules; parameters and buffers in order."""

    network: str
    losses: list[float]
    active: list[int]
    x: Tensor
    y: Tensor
    init: list[Tensor]
    final: list[Tensor]


@cache
def images() -> np.ndarray:
    """The float32 images (60, 8, 3, 32, 32) of both trajectories: normal numbers drawn with torch's seed 11.

    torch makes them from a Mersenne twister by Box and Muller, in arithmetic whose last bits depend on the
    processor. So the twister is numpy's, the arithmetic is exact, and the last bits come from the file.
    """
    last_bits = np.load(GOLDEN / "densenet_trajectory.npz")["x_last_bits"]
    words = np.random.RandomState(11).randint(0, 2**32, last_bits.size, dtype=np.uint32)
    uniform = ((words & 0xFFFFFF) / 2**24).reshape(-1, 2, 8)
    radius = np.sqrt(-2 * np.log(1 - uniform[:, 0]))
    angle = (np.float32(2 * np.pi) * uniform[:, 1].astype(np.float32)).astype(np.float64)
    normal = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).astype(np.float32).reshape(last_bits.shape)
    return (normal.view(np.int32) + last_bits).view(np.float32)


@cache
def load(network: str) -> Trajectory:
    stored = np.load(GOLDEN / f"{network}_trajectory.npz")

    def tensors(prefix: str) -> list[Tensor]:
        return [torch.from_numpy(stored[name]) for name in stored.files if name.startswith(prefix)]

    return Trajectory(
        network=network,
        losses=stored["losses"].tolist(),
        active=stored["active"].tolist(),
        x=torch.from_numpy(images()),
        y=torch.from_numpy(np.load(GOLDEN / "densenet_trajectory.npz")["y"]),
        init=tensors("init/"),
        final=tensors("final/"),
    )


def build(trajectory: Trajectory, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float64) -> Chain:
    """The network with the trajectory's first weights, which are in the order in which ours registers its own."""
    name, fields = NETWORKS[trajectory.network]
    chain = models.build(name, CLASSES, **fields).to(device, dtype)
    for ours, theirs in zip(chain.state_dict().values(), trajectory.init, strict=True):
        assert ours.shape == theirs.shape
        ours.copy_(theirs)
    return chain


def replay(
    trajectory: Trajectory,
    *,
    strategy: Any = RECIPE,
    mechanism: type[FreezeOut] = FreezeOut,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float64,
    plain: bool = False,
    **engine: Any,
) -> Iterator[tuple[float, int, Chain]]:
    """After each of the 60 steps: its loss, how many stages a gradient reached, and the network as it is now.

    With a run-ahead the last two are those of a window's end.

    plain: the loop of somebody who imports FreezeOut alone. Otherwise the loop of `python -m freezeout`, with the
    fields of Training that `engine` gives.
    """
    chain = build(trajectory, device, dtype)
    optimizer = make_optimizer(Sgd(), chain)
    reached: set[int] = set()
    for i, stage in enumerate(chain):
        for parameter in stage.parameters():
            parameter.register_post_accumulate_grad_hook(lambda _, i=i: reached.add(i))
    freezeout = mechanism(chain, optimizer, strategy, STEPS)
    batches = list(zip(trajectory.x.to(device, dtype), trajectory.y.to(device), strict=True))
    chain.train()
    if plain:
        steps = plain_losses(chain, optimizer, freezeout, batches)
    else:
        steps = losses(chain, optimizer, freezeout, batches, **engine)
    for loss in steps:
        yield loss, len(reached), chain
        reached.clear()


def plain_losses(
    chain: Chain, optimizer, freezeout: FreezeOut, batches: list[tuple[Tensor, Tensor]]
) -> Iterator[float]:
    for x, y in batches:
        freezeout.step()
        loss = cross_entropy(chain(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield loss.item()


def made(chain: Chain, optimizer, freezeout: FreezeOut, **engine: Any) -> Training:
    """The engine around these three, without a data set: its batches are handed to train_window."""
    device = next(chain.parameters()).device
    fields = {"seed": 0, "batch_size": BATCH, "augment": "none", "label_smoothing": 0.0, "bf16": False} | engine
    return Training(
        chain=chain,
        optimizer=optimizer,
        freezeout=freezeout,
        source=SimpleNamespace(sizes={"train": STEPS * BATCH}),  # type: ignore[arg-type]
        clock=device_clock(device),
        device=device,
        **fields,
    )


def losses(
    chain: Chain, optimizer, freezeout: FreezeOut, batches: list[tuple[Tensor, Tensor]], **engine: Any
) -> Iterator[float]:
    training = made(chain, optimizer, freezeout, **engine)
    found: list[float] = []

    def on_step() -> bool:
        found.append(training.loss_sum.item())
        training.loss_sum.zero_()
        return False

    while training.step < len(batches):
        window = training.next_window(range(len(batches)))
        training.train_window(window, iter([batches[s] for s in window]), on_step)
        yield from found
        found.clear()


def follow(trajectory: Trajectory, bound: float = BOUND, **how: Any) -> None:
    """Raise AssertionError at the first loss, number of active stages, parameter or buffer that is not theirs."""
    for s, (loss, active, chain) in enumerate(replay(trajectory, **how)):
        assert abs(loss - trajectory.losses[s]) <= bound, f"loss of step {s}: {loss}, not {trajectory.losses[s]}"
        # The original counts the head twice: its BatchNorm and its classifier are two modules.
        assert active + 1 == trajectory.active[s], f"active stages in step {s}"
        state = chain.state_dict()
    for (name, ours), theirs in zip(state.items(), trajectory.final, strict=True):
        assert (ours.cpu().double() - theirs).abs().max() <= bound, name
