"""Strategies that look, and statistics computed afresh, on CUDA: the decisions of a CPU, no waiting, exact resume.

Run by `make test-gpu`; skipped without a GPU.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import replay
import torch
from launched import impatient, only_run
from made_adapting import Watched, every, free_run
from replay import STEPS, made
from test_engine import AS_IT_IS, SingleRates, agree

from freezeout.adaptive import AutoFreeze, WeightDelta
from freezeout.records import read_record
from freezeout.run import runner
from freezeout.strategies import FreezeOut as Paper
from freezeout.train.cuda_graphs import CudaGraphs
from freezeout.train.optimizers import make_optimizer
from freezeout.train.schema import Sgd

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; torch sees none here"),
]
CUDA = torch.device("cuda")
RULES = {"autofreeze": AutoFreeze(intervals=7), "weight_delta": WeightDelta(intervals=7, threshold=0.2)}
PATHS = {
    "as it is": AS_IT_IS,
    "run ahead": {"fold": True, "run_ahead": 5},
    "captured": {"fold": True, "graphs": "cuda"},
    "captured, run ahead": {"fold": True, "run_ahead": 5, "graphs": "cuda"},
}
TIE = 1e-6  # float64 parts by 1e-13 in these 60 steps
paths = pytest.mark.parametrize("path", PATHS)


def fields(path: str) -> dict:
    return {k: CudaGraphs(CUDA) if v == "cuda" else v for k, v in PATHS[path].items()}


def on_cuda(strategy, path: str, mechanism=SingleRates):
    (losses, state), times = free_run(strategy, device=CUDA, mechanism=mechanism, **fields(path))
    return (losses, {name: value.cpu() for name, value in state.items()}), times


@every
@paths
def test_in_float64_it_freezes_in_the_steps_of_a_cpu_and_trains_the_same(name, path, captures) -> None:
    watched = Watched(RULES[name])
    plain, times = free_run(watched, plain=True, mechanism=SingleRates)
    assert 0.0 < times[0] < 1.0
    assert watched.margin > TIE, "no decision is a tie"
    found, own = on_cuda(RULES[name], path)
    assert own == times
    agree(plain, found)
    assert len(captures) == (7 if "captured" in path else 0), "a capture an interval"


class Afresh(SingleRates):
    """With batches for bn=reestimate, of the replay's own images."""

    def __init__(self, stages, *given) -> None:
        like = next(stages[0].parameters())
        images = replay.load("wrn").x[:6].to(like)
        super().__init__(stages, *given, batches=lambda: images)


@paths
def test_statistics_computed_afresh_are_those_of_a_cpu(path, captures) -> None:
    """At depths by cost, too, which are numbers of the host."""
    strategy = Paper(t_0=0.3, how_scale="linear", bn="reestimate", depth=[4, 2, 1, 1, 1])
    plain, times = free_run(strategy, plain=True, mechanism=Afresh)
    found, own = on_cuda(strategy, path, Afresh)
    assert own == times
    agree(plain, found)
    assert (len(captures) >= 3) == ("captured" in path)


@pytest.mark.parametrize("field", ["strategy.depth=cost", "strategy.bn=reestimate"])
def test_a_run_on_cuda_is_the_run_on_a_cpu_as_far_as_float32_goes(freezeout, field) -> None:
    for machine in ("cpu", "cuda"):
        words = [f"machine={machine}", "machine.precision=fp32", f"out={machine}", field]
        said = freezeout(*words, "epochs=2", "t_0=0.5")
        assert said.code == 0, said.err
    cpu, cuda = (read_record(only_run(Path(machine))) for machine in ("cpu", "cuda"))
    assert cuda["device"]["type"] == "cuda"
    assert cuda["freeze_steps"] == cpu["freeze_steps"]
    assert cuda["epochs"][-1]["train_loss"] == pytest.approx(cpu["epochs"][-1]["train_loss"], rel=0.05)


RUNS = {
    "autofreeze": ["strategy=autofreeze", "strategy.intervals=9"],
    "weight_delta": ["strategy=weight_delta", "strategy.intervals=9", "strategy.threshold=0.12"],
    "reestimate": ["strategy=freezeout", "t_0=0.3", "strategy.bn=reestimate"],
}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("capture", ["null", "false"])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(freezeout, monkeypatch, repeatable, name, capture) -> None:
    """Stopped within an interval, an epoch and a window."""
    words = [*RUNS[name], "machine=cuda", f"machine.capture={capture}", "machine.deterministic=true"]
    words += ["machine.run_ahead=5", "epochs=4", "model=wide_resnet", "model.depth=10", "model.dropout=0.3"]
    assert freezeout(*words, "out=whole").code == 0
    with monkeypatch.context() as patched:
        patched.setattr(runner, "Stop", impatient(33))
        assert freezeout(*words, "out=parts").code == 128 + signal.SIGINT
    assert freezeout(*words, "out=parts").code == 0
    folders = [only_run(Path(out)) for out in ("whole", "parts")]
    one, other = (json.loads((folder / "record.json").read_text()) for folder in folders)
    assert len(other["segments"]) == 2
    assert one["freeze_steps"][0] is not None
    for key in ("freeze_steps", "freeze_times", "error", "train_error"):
        assert other[key] == one[key], key
    a, b = (torch.load(folder / "checkpoint.pt", weights_only=True)["model"] for folder in folders)
    assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")  # torch's, on being switched on
@every
@paths
def test_a_step_that_decides_nothing_waits_for_nobody(name, path, captures) -> None:
    """Steps 30 to 34: a full window, within the interval from 26 to 35."""
    trajectory = replay.load("wrn")
    chain = replay.build(trajectory, CUDA, torch.float32).train()
    optimizer = make_optimizer(Sgd(), chain)
    run = made(chain, optimizer, SingleRates(chain, optimizer, RULES[name], STEPS), **fields(path))
    batches = list(zip(trajectory.x.to(CUDA), trajectory.y.to(CUDA), strict=True))
    seen: list[float] = []

    def on_step() -> bool:
        if run.step == 35:
            torch.cuda.set_sync_debug_mode("default")
        if run.step in (30, 35):
            seen.append(sum(float(t.abs().sum()) for own in observer.state_dict() for t in own))
        if run.step == 30:
            torch.cuda.set_sync_debug_mode("error")
        return False

    observer = run.freezeout._adapting._observer
    try:
        while run.step < 35:
            window = run.next_window(range(STEPS))
            run.train_window(window, iter([batches[step] for step in window]), on_step)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert run.freezeout.prefix > 0
    assert captures[-1:] == ([run.freezeout.prefix] if "captured" in path else [])
    assert (seen[0] != seen[1]) == (name == "autofreeze"), "gradients were added in between, weights copied before"
