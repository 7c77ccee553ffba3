"""The engine on CUDA: folded, run ahead, captured and compiled steps against plain ones on the same device.

Run by `make test-gpu`; skipped without a GPU.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import replay
import torch
from replay import BATCH, RECIPE, STEPS, made
from test_engine import AS_IT_IS, SingleRates, agree, free_run, one_step, states

from freezeout import FreezeOut, models
from freezeout.data.augment import crop_flip, rescale, scale_and_shift
from freezeout.train import loop
from freezeout.train.compiled import compile_stages
from freezeout.train.cuda_graphs import CudaGraphs
from freezeout.train.optimizers import make_optimizer
from freezeout.train.schema import Sgd

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; torch sees none here"),
]
CUDA = torch.device("cuda")
PATHS = {
    "as it is": AS_IT_IS,
    "folded": {"fold": True},
    "run ahead": {"fold": True, "run_ahead": 10},
    "captured": {"fold": True, "graphs": "cuda"},
    "captured, run ahead": {"fold": True, "run_ahead": 5, "graphs": "cuda"},
}
LARGE = 64  # images of a batch whose activations are what memory goes to
networks = pytest.mark.parametrize("network", replay.NETWORKS)


def fields(path: str) -> dict:
    return {k: CudaGraphs(CUDA) if v == "cuda" else v for k, v in PATHS[path].items()}


@networks
@pytest.mark.parametrize("path", PATHS)
def test_in_float64_sixty_steps_are_those_of_a_plain_loop(network, path, captures) -> None:
    mechanism = SingleRates if "captured" in path else FreezeOut
    plain = free_run(network, plain=True, mechanism=mechanism, device=CUDA)
    agree(plain, free_run(network, device=CUDA, **fields(path)))
    assert (len(captures) >= 3) == ("captured" in path)


precisions = pytest.mark.parametrize(
    ("bf16", "tf32", "bound"), [(False, False, 1e-5), (False, True, 2e-3), (True, False, 2e-2)], ids=str
)


@pytest.mark.parametrize("path", ["folded", "run ahead"])
@precisions
def test_one_step_from_the_same_state(path, bf16, tf32, bound) -> None:
    for switch in (torch.backends.cuda.matmul, torch.backends.cudnn.conv):
        switch.fp32_precision = "tf32" if tf32 else "ieee"
    for number, state in states([20, 33, 47, 58]).items():
        loss, weights = one_step(state, number, CUDA, bf16=bf16, **AS_IT_IS)
        ours, moved = one_step(state, number, CUDA, bf16=bf16, **fields(path))
        assert abs(loss - ours) <= bound * abs(loss)
        assert (weights - moved).norm() <= bound * weights.norm()


@precisions
def test_the_first_replays_are_the_steps_of_the_eager_run(bf16, tf32, bound, captures) -> None:
    for switch in (torch.backends.cuda.matmul, torch.backends.cudnn.conv):
        switch.fp32_precision = "tf32" if tf32 else "ieee"
    torch.manual_seed(1)
    batches = [(torch.randn(BATCH, 3, 32, 32, device=CUDA), torch.randint(10, (BATCH,), device=CUDA)) for _ in range(6)]
    sums = []
    for graphs in (None, CudaGraphs(CUDA)):
        run = training(bf16=bf16, graphs=graphs)
        for step, batch in enumerate(batches):
            run.train_window(range(step, step + 1), iter([batch]), lambda: False)
        sums.append(run.loss_sum.item())
    assert captures == [0]
    assert abs(sums[0] - sums[1]) <= 10 * bound * sums[0]


def training(**engine):
    torch.manual_seed(0)
    chain = models.build("densenet_bc", 10, depth=40, growth=12, image=(32, 32)).to(CUDA)
    optimizer = make_optimizer(Sgd(), chain)
    return made(chain.train(), optimizer, SingleRates(chain, optimizer, RECIPE, STEPS), **engine)


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")  # torch's, on being switched on
def test_a_replayed_step_waits_for_nobody(captures) -> None:
    run = training(graphs=CudaGraphs(CUDA))
    x, y = torch.randn(BATCH, 3, 32, 32, device=CUDA), torch.zeros(BATCH, dtype=torch.int64, device=CUDA)
    first = RECIPE.schedule(len(run.chain)).freeze_steps(STEPS)[0]
    for step in range(first - 2):
        run.train_window(range(step, step + 1), iter([(x, y)]), lambda: False)
    assert captures == [0]
    images = torch.zeros(BATCH, 3, 32, 32, dtype=torch.uint8, device=CUDA)
    corner, flip = torch.ones(BATCH, dtype=torch.int64, device=CUDA), torch.ones(BATCH, dtype=torch.bool, device=CUDA)
    constants = scale_and_shift((0.5,) * 3, (0.5,) * 3, CUDA)

    def batches():
        yield rescale(crop_flip(images, corner, corner, flip, 4), *constants), y

    try:
        torch.cuda.set_sync_debug_mode("error")
        run.train_window(range(first - 2, first - 1), batches(), lambda: False)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_later_graphs_take_the_memory_of_the_one_before(captures) -> None:
    """With a pool for each, what is reserved would grow at every capture."""
    run = training(graphs=CudaGraphs(CUDA))
    x, y = torch.randn(LARGE, 3, 32, 32, device=CUDA), torch.zeros(LARGE, dtype=torch.int64, device=CUDA)
    reserved: dict[int, int] = {}
    for step in range(STEPS):
        run.train_window(range(step, step + 1), iter([(x, y)]), lambda: False)
        if captures and captures[-1] not in reserved:
            reserved[captures[-1]] = torch.cuda.memory_reserved()
    assert len(reserved) >= 3
    first, second, *later = reserved.values()
    assert second < 2.1 * first, "the graph's memory, and that of eager steps of the next prefix"
    assert max(later) < 1.05 * second


def test_the_command_captures_and_says_where_the_seconds_went(freezeout, captures) -> None:
    said = freezeout("machine=cuda", "epochs=3", "t_0=0.5", "strategy.scale_lr=false")
    assert said.code == 0, said.err
    assert "captured" not in said.err
    record = json.loads(next(Path("runs").glob("*/*/record.json")).read_text())
    assert captures
    assert sum(block.get("graph", 0.0) for block in record["prefixes"]) > 0
    assert record["peak_memory"] > 0
    eager = freezeout("machine=cuda", "machine.capture=false", "epochs=3", "t_0=0.5", "strategy.scale_lr=false")
    assert eager.code == 0, eager.err
    assert len(list(Path("runs").glob("*/*/record.json"))) == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the compiler warns of its own doings
@pytest.mark.parametrize("path", ["folded", "captured"])
def test_compiled_steps_are_those_of_a_plain_loop(monkeypatch, path) -> None:
    real = loop.Training.__post_init__

    def post_init(run) -> None:
        real(run)
        compile_stages(run.body, replay.load("wrn").x[0].to(CUDA, torch.float64))

    plain = free_run("wrn", plain=True, mechanism=SingleRates if path == "captured" else FreezeOut, device=CUDA)
    monkeypatch.setattr(loop.Training, "__post_init__", post_init)
    agree(plain, free_run("wrn", device=CUDA, **fields(path)))
