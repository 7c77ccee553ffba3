"""The remembered prefix on CUDA: entries in the host's memory, and captured steps that begin with what was remembered.

Run by `make test-gpu`; skipped without a GPU.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from configurations import plan_of, start
from test_engine import BOUND, SingleRates

from freezeout.run import assemble
from freezeout.train.loop import Training
from freezeout.train.rows import LEAVING, Far

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; torch sees none here"),
]
CUDA = torch.device("cuda")
IMAGES, NUMBERS = 64, 1 << 16
kinds = pytest.mark.parametrize("kind", ["device", "host"])


def far() -> Far:
    return Far(torch.zeros(IMAGES, NUMBERS), CUDA, torch.cuda.Stream(CUDA))


def test_rows_of_the_host_are_read_as_they_were_written() -> None:
    rows = far()
    torch.manual_seed(0)
    order = torch.randperm(IMAGES)
    values = torch.randn(IMAGES, NUMBERS, device=CUDA)
    for part in order.split(4):
        new = values[part.to(CUDA)]
        rows.write(part, new)
        new.zero_()  # what is written is what the rows were
        assert len(rows._leaving) <= LEAVING
    rows.settle()
    assert torch.equal(rows.rows, values.cpu())
    asked = [(part, rows.ask(part)) for part in torch.randperm(IMAGES).split(6)]
    busy = torch.randn(1024, 1024, device=CUDA)
    for part, take in asked:
        busy = busy @ busy.tanh()  # so that what is read is used long after the host is on
        assert torch.equal(take(), values[part.to(CUDA)])
    assert rows.ask(torch.tensor([3]))().tolist() == values[3:4].tolist()


def test_memory_of_rows_that_are_still_in_use_is_not_taken_again() -> None:
    """The host is many reads ahead of the device, which adds up what it is given."""
    rows = far()
    rows.rows.copy_(torch.arange(IMAGES).float()[:, None].expand(-1, NUMBERS))
    total, busy = torch.zeros(NUMBERS, device=CUDA), torch.randn(1024, 1024, device=CUDA)
    for image in range(IMAGES):
        for _ in range(4):
            busy = busy @ busy.tanh()
        total += rows.ask(torch.tensor([image]))()[0]
    assert torch.equal(total.cpu(), torch.full((NUMBERS,), float(sum(range(IMAGES)))))


def training(monkeypatch, *, cache: bool, kind: str = "device") -> Training:
    """Ten epochs of eleven steps in one view, in float64; freezes at steps 44, 61, 77 and 94."""
    monkeypatch.setattr(assemble, "FreezeOut", SingleRates)
    given: dict[str, Any] = start("strategy", "freezeout")
    given |= {"epochs": 10, "batch_size": 20}
    given["strategy"] |= {"t_0": 0.4, "how_scale": "linear"}
    given["dataset"] = {"name": "synthetic", "size": 8, "classes": 3, "train": 220, "test": 10}
    given["augment"] |= {"views": 1}
    shares = {f"cache_{one}": 0.25 if one == kind else 0.0 for one in ("device", "host", "disk")}
    given["machine"] |= {"device": "cuda", "precision": "fp32", "run_ahead": 5, "cache": cache, **shares}
    made = assemble.assemble(plan_of(given))
    made.chain.double()
    images = made.inputs.images
    monkeypatch.setattr(made.inputs, "images", lambda x: images(x).double())
    return made


def losses(run: Training) -> list[float]:
    found: list[float] = []
    while run.step < run.freezeout.total_steps:
        found.append(run.train_epoch(lambda: False) or 0.0)
    return found


@kinds
def test_captured_steps_with_a_cache_are_those_without(monkeypatch, kind, captures) -> None:
    without, cached = (training(monkeypatch, cache=cache, kind=kind) for cache in (False, True))
    expected = losses(without)
    assert max(abs(a - b) for a, b in zip(expected, losses(cached), strict=True)) <= BOUND
    for (name, a), b in zip(without.chain.state_dict().items(), cached.chain.state_dict().values(), strict=True):
        assert (a.double() - b.double()).abs().max() <= BOUND, name
    assert len(captures) >= 8, "four prefixes or more of each training"
    assert cached.cache is not None
    assert cached.cache.counts.hits == 5 * 220
    assert cached.cache.room.most[kind] > 0


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")  # torch's, on being switched on
@kinds
def test_a_cached_step_waits_for_nobody(monkeypatch, kind, captures) -> None:
    """One that reads the output of two stages, runs the third and writes its own."""
    run = training(monkeypatch, cache=True, kind=kind)
    assert run.cache is not None
    modes: list[int] = []

    def on_step() -> bool:
        if run.step in (80, 85):
            torch.cuda.set_sync_debug_mode("error" if run.step == 80 else "default")
            modes.append(run.cache.base)
        return False

    try:
        while run.step < 88:
            run.train_epoch(on_step)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert modes == [2, 2]
    assert captures[-1] == 3
    assert run.cache._entries[0].kept.depth == 3
