"""Compiling: three graphs a stage, all of them before the first step, and the same numbers."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import replay
import test_engine
import torch
from replay import made
from test_engine import SingleRates, agree, free_run

from freezeout import FreezeOut, models
from freezeout.schedule import Schedule
from freezeout.train import compiled, loop
from freezeout.train.compiled import compile_stages
from freezeout.train.optimizers import make_optimizer
from freezeout.train.schema import Sgd

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # the compiler warns of its own doings
captures = test_engine.captures


class OneByOne:
    """A stage freezes in each step, so that n steps meet every prefix from 0 to n - 1."""

    def __init__(self, bn: str) -> None:
        self.bn = bn

    def schedule(self, n: int) -> Schedule:
        return Schedule(freeze=(*(i / n for i in range(1, n)), 1.0), anneal=(1.0,) * n)


class Counter:
    """A backend that compiles nothing and counts what it is given."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph, example):
        self.graphs += 1
        return graph.forward


def training(chain, bn: str = "eval"):
    optimizer = make_optimizer(Sgd(), chain)
    return made(chain.train(), optimizer, FreezeOut(chain, optimizer, OneByOne(bn), len(chain)))


NETWORKS = {
    "densenet_bc": {"depth": 76, "growth": 2, "image": (8, 8)},  # 40 stages
    "vgg": {"width": 0.125, "image": (32, 32)},  # 14, all of them of classes of torch's own
}


@pytest.mark.parametrize(
    ("network", "bn", "graphs"), [("densenet_bc", "eval", 118), ("densenet_bc", "train", 118), ("vgg", "eval", 40)]
)
def test_three_graphs_a_stage_are_compiled_and_none_during_training(monkeypatch, network, bn, graphs) -> None:
    monkeypatch.setattr(compiled, "LIMIT", 3)  # of one stage: no two share their compiled versions
    torch.manual_seed(0)
    chain = models.build(network, 10, **NETWORKS[network])
    run, counter = training(chain, bn), Counter()
    x, y = torch.randn(2, 3, *NETWORKS[network]["image"]), torch.tensor([0, 1])
    state = {k: v.clone() for k, v in chain.state_dict().items()}
    compile_stages(run.body, x, backend=counter)
    assert all(torch.equal(v, state[k]) for k, v in chain.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in chain.parameters())
    # Three a stage, but the first is never asked for an input gradient, and the head never freezes.
    assert counter.graphs == 3 * len(chain) - 2 == graphs
    for step in range(len(chain)):
        run.train_window(range(step, step + 1), iter([(x, y)]), lambda: False)
        assert len(run.prefix) == step
        assert counter.graphs == graphs, f"prefix {step} compiled {counter.graphs - graphs} more"


def test_a_run_ahead_takes_one_graph_more_of_each_stage_that_freezes() -> None:
    torch.manual_seed(0)
    chain = models.build("wide_resnet", 10, depth=10, widen=1, image=(8, 8))
    optimizer = make_optimizer(Sgd(), chain)
    freezeout = FreezeOut(chain.train(), optimizer, replay.RECIPE, replay.STEPS)
    run, counter = made(chain, optimizer, freezeout, run_ahead=5), Counter()
    x, y = torch.randn(8, 3, 8, 8), torch.zeros(8, dtype=torch.int64)
    compile_stages(run.body, x, ahead=5, backend=counter)
    assert counter.graphs == 4 * len(chain) - 3
    while run.step < replay.STEPS:
        window = run.next_window(range(replay.STEPS))
        run.train_window(window, iter([(x, y)] * len(window)), lambda: False)
    assert counter.graphs == 4 * len(chain) - 3


@pytest.mark.parametrize(("network", "fold"), [("densenet", True), ("wrn", False)])
def test_in_float64_sixty_compiled_steps_are_those_of_a_plain_loop(monkeypatch, network, fold) -> None:
    real = loop.Training.__post_init__

    def post_init(run) -> None:
        real(run)
        compile_stages(run.body, replay.load(network).x[0].double())

    monkeypatch.setattr(loop.Training, "__post_init__", post_init)
    ours = free_run(network, fold=fold)
    monkeypatch.setattr(loop.Training, "__post_init__", real)
    agree(free_run(network, plain=True), ours)


@pytest.mark.parametrize("engine", [{"fold": True}, {"fold": False}, {"fold": True, "run_ahead": 5}], ids=str)
def test_compiled_steps_may_be_captured(monkeypatch, captures, engine) -> None:
    """The graphs hold what the compiler made; nothing more is compiled for them."""
    counter, compiled_before = Counter(), []

    def prepare(run) -> None:
        compile_stages(run.body, replay.load("wrn").x[0].double(), ahead=run.run_ahead, backend=counter)
        compiled_before.append(counter.graphs)

    ours = captures("wrn", prepare=prepare, **engine)
    assert len(captures.graphs.made) >= 3
    assert [counter.graphs] == compiled_before
    agree(free_run("wrn", plain=True, mechanism=SingleRates), ours)


def test_a_frozen_stage_that_keeps_its_first_weights_is_noticed(monkeypatch) -> None:
    """The modules compiled beforehand get the weights of the step that freezes them, not those of the start."""
    real = loop.Training.__post_init__

    def post_init(run) -> None:
        real(run)
        compile_stages(run.body, replay.load("wrn").x[0].double(), backend=Counter())
        for template in run.prefix.templates:
            template.load_state_dict = lambda state: None

    monkeypatch.setattr(loop.Training, "__post_init__", post_init)
    ours = free_run("wrn", fold=True)
    monkeypatch.setattr(loop.Training, "__post_init__", real)
    with pytest.raises(AssertionError):
        agree(free_run("wrn", plain=True), ours)


def test_the_runs_of_a_sweep_pay_for_compiling_once(tmp_path, monkeypatch) -> None:
    """The compiler keeps what it made on disk: a second run's seconds are a small part of the first one's."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiler"))  # empty, or the first would find its own
    (tmp_path / "tiny.py").write_text(
        "from torch import nn\n"
        "def build(classes):\n"
        "    conv = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())\n"
        "    return nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))\n"
    )
    words = ["model=python", "model.target=tiny:build", "dataset=synthetic", "dataset.size=8", "dataset.train=100"]
    words += ["dataset.test=20", "machine=cpu", "machine.threads=1", "machine.compile=true", "tracker=none", "epochs=1"]
    command = [sys.executable, "-m", "freezeout", "-m", *words, "seed=0,1", f"out={tmp_path / 'runs'}"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    records = [json.loads(path.read_text()) for path in (tmp_path / "runs").glob("*/*/record.json")]
    first, second = (r["seconds"]["compile"] for r in sorted(records, key=lambda r: r["seed"]))
    assert 0 < second < first / 3
