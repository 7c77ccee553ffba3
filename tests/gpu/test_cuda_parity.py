"""The CUDA path against the CPU path and against the original. Run by `make test-gpu`; skipped without a GPU.

float64 on another device sums in another order: 1e-15 in, 1e-13 out after these 60 steps (measured by perturbing the
initial weights), so 1e-9 has room. In float32 a ReLU flips somewhere after a few steps and losses part by 1e-3 to
1e-2: there the bound is on the first steps only.
"""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest
import replay
import torch

from freezeout.compat import Original
from freezeout.data.augment import crop_flip, epoch_table

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; torch sees none here"),
]
CUDA = torch.device("cuda")
both_networks = pytest.mark.parametrize("network", replay.NETWORKS)
FIRST = 4  # steps that float32 is held to
BOUNDS = {torch.float64: 1e-9, torch.float32: 1e-3}


def test_cuda_cuts_the_pixels_that_the_cpu_cuts() -> None:
    table = epoch_table(0, 0, 50, 50, 4, "crop_flip")
    images = torch.randint(256, (50, 3, 32, 32), dtype=torch.uint8)
    crops = [column[0] for column in (table.top, table.left, table.flip)]
    cut = crop_flip(images.to(CUDA), *(column.to(CUDA) for column in crops), 4)
    assert torch.equal(cut.cpu(), crop_flip(images, *crops, 4))


@both_networks
def test_cuda_replays_the_original_step_by_step(network) -> None:
    replay.follow(replay.load(network), device=CUDA)


@both_networks
def test_cuda_replays_it_in_the_mode_for_comparison_too(network) -> None:
    strategy = Original(strategy=replay.RECIPE, steps_per_epoch=1000)
    replay.follow(replay.load(network), device=CUDA, strategy=strategy)


@both_networks
@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
def test_cuda_trains_as_the_cpu_does(network, dtype) -> None:
    trajectory, bound = replay.load(network), BOUNDS[dtype]
    both = (replay.replay(trajectory, device=device, dtype=dtype) for device in ("cpu", CUDA))
    for (ours, _, cpu), (theirs, _, cuda) in islice(zip(*both, strict=True), FIRST):
        assert abs(ours - theirs) <= bound
        for a, b in zip(cpu.state_dict().values(), cuda.state_dict().values(), strict=True):
            assert (a.double() - b.cpu().double()).abs().max() <= bound


@both_networks
def test_float32_on_cuda_freezes_in_the_same_steps(network) -> None:
    trajectory = replay.load(network)
    active = [n + 1 for _, n, _ in replay.replay(trajectory, device=CUDA, dtype=torch.float32)]
    assert active == trajectory.active


def test_a_run_on_cuda_is_the_run_on_a_cpu_as_far_as_float32_goes(freezeout) -> None:
    for machine in ("cpu", "cuda"):
        words = [f"machine={machine}", "machine.precision=fp32", f"out={machine}"]
        assert freezeout(*words, "epochs=1", "t_0=0.5").code == 0
    cpu, cuda = (json.loads(next(Path(machine).glob("*/*/record.json")).read_text()) for machine in ("cpu", "cuda"))
    assert cuda["device"]["type"] == "cuda"
    assert cuda["freeze_steps"] == cpu["freeze_steps"]
    assert [b["prefix"] for b in cuda["prefixes"]] == [b["prefix"] for b in cpu["prefixes"]]
    assert cuda["epochs"][0]["train_loss"] == pytest.approx(cpu["epochs"][0]["train_loss"], rel=0.05)
