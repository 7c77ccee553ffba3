"""Training on CUDA, on a device that is pretended: nothing mixes devices, and no captured step waits or asks the host.

Each run is also held against the eager one of a CPU. Of kernels, streams and memory this says nothing: tests/gpu does.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from configurations import plan_of, start
from pretended import CUDA, Pretence, There, pretend
from test_engine import SingleRates

from freezeout.run import assemble, plan
from freezeout.train import captured
from freezeout.train.cache import PrefixCache
from freezeout.train.cuda_graphs import CudaGraphs
from freezeout.train.evaluation import evaluate
from freezeout.train.loop import Training
from freezeout.train.step import Step

KEPT = {"device": 0.0, "host": 0.0, "disk": 0.0}
CASES: dict[str, dict[str, dict[str, Any]]] = {
    "sgd, run ahead": {},
    "adamw": {"optimizer": {"name": "adamw", "lr": 1e-3}},
    "folded, in the graph": {"machine": {"run_ahead": 1}},
    "as it is, in the graph": {"machine": {"run_ahead": 1, "fold": False}},
    "bn=train": {"strategy": {"name": "freezeout", "t_0": 0.3, "how_scale": "linear", "bn": "train"}},
    "bn=reestimate": {"strategy": {"name": "freezeout", "t_0": 0.3, "how_scale": "linear", "bn": "reestimate"}},
    "autofreeze": {"strategy": {"name": "autofreeze", "intervals": 6}},
    "weight_delta": {"strategy": {"name": "weight_delta", "intervals": 6, "threshold": 0.3}},
    "kept on the device": {"augment": {"views": 1}, "machine": {"cache_device": 0.25}},
    "kept on the host": {"augment": {"views": 1}, "machine": {"cache_host": 0.25}},
    "bf16": {"machine": {"precision": "bf16"}},
}
PER_EPOCH = 6


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch):
    """Prefixes that last for few steps are captured too; torch's switches are put back."""
    monkeypatch.setattr(captured, "WORTH", 2)
    monkeypatch.setattr(assemble, "FreezeOut", SingleRates)
    monkeypatch.setattr(plan, "_sources", {})  # one is moved to the device of whoever trains on it
    monkeypatch.setattr(CudaGraphs, "_put_right", lambda graphs: None)  # of CUDA's allocator and its generator
    switches = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    before, tuned = [one.fp32_precision for one in switches], torch.backends.cudnn.benchmark
    yield
    torch.backends.cudnn.benchmark = tuned
    for one, value in zip(switches, before, strict=True):
        one.fp32_precision = value


@pytest.fixture
def cuda(monkeypatch):
    with pretend(monkeypatch) as pretence:
        yield pretence


def training(monkeypatch, device: str, case: str) -> Training:
    """Six epochs of six steps, in float64 but for bf16."""
    given: dict[str, Any] = start("strategy", "freezeout")
    given |= {"epochs": 6, "batch_size": 5}
    given["model"] = {"name": "densenet_bc", "depth": 10, "growth": 2}
    given["strategy"] |= {"t_0": 0.3, "how_scale": "linear"}
    given["dataset"] = {"name": "synthetic", "size": 8, "classes": 3, "train": 5 * PER_EPOCH, "test": 7}
    ours = {"precision": "fp32", "run_ahead": 2, "cache": True, **{f"cache_{k}": v for k, v in KEPT.items()}}
    given["machine"] |= {"device": device, **ours}
    for group, fields in CASES[case].items():
        given[group] = fields if "name" in fields else given[group] | fields
    made = assemble.assemble(plan_of(given))
    if case != "bf16":
        made.chain.double()
        images = made.inputs.images
        for inputs in (made.inputs, made._aside):
            monkeypatch.setattr(inputs, "images", lambda x: images(x).double())
    return made


def trained(run: Training, pretence: Pretence | None = None) -> list[float]:
    """The loss of each epoch, and that of the test set after it."""

    def on_step() -> bool:
        if pretence is not None:
            # What begins an epoch, a prefix or an interval may wait: tables go to the device, decisions come from it.
            steady = run.step % PER_EPOCH and run.step != run.freezeout.steady_until(run.step - 1)
            pretence.forbids = bool(steady)
        return False

    found: list[float] = []
    while run.step < run.freezeout.total_steps:
        loss = run.train_epoch(on_step)
        assert loss is not None
        found += [loss, evaluate(run, "test").loss]
    return found


@pytest.mark.parametrize("case", CASES)
def test_it_trains_as_a_cpu_does_and_waits_in_no_steady_step(monkeypatch, request, case) -> None:
    expected = trained(training(monkeypatch, "cpu", case))
    cuda = request.getfixturevalue("cuda")
    run = training(monkeypatch, "cuda", case)
    assert all(isinstance(t, There) for t in run.chain.state_dict().values())
    assert trained(run, cuda) == pytest.approx(expected, rel=2e-2 if case == "bf16" else 1e-9)
    assert run.freezeout.prefix > 0
    assert cuda.captures >= 3
    if "kept" in case:
        assert isinstance(run.cache, PrefixCache)
        assert run.cache.counts.hits > 0


# Sabotage: each must be noticed


def test_a_step_that_reads_its_loss_is_noticed(monkeypatch, cuda) -> None:
    real = Step.__call__

    def reading(step, x, labels) -> None:
        real(step, x, labels)
        step.loss_sum.item()

    monkeypatch.setattr(Step, "__call__", reading)
    with pytest.warns(UserWarning, match=r"stays eager: aten\._local_scalar_dense.* waits"):
        trained(training(monkeypatch, "cuda", "sgd, run ahead"))
    assert cuda.captures == 1, "begun and ended"
    with pytest.raises(RuntimeError, match="waits for the device"):
        trained(training(monkeypatch, "cuda", "sgd, run ahead"), cuda)


def test_a_number_of_the_host_in_a_captured_step_is_noticed(monkeypatch, cuda) -> None:
    real = Step.__call__

    def scaled(step, x, labels) -> None:
        real(step, x * torch.ones(()), labels)

    monkeypatch.setattr(Step, "__call__", scaled)
    with pytest.warns(UserWarning, match=r"stays eager: .*: a tensor of the host in a capture"):
        trained(training(monkeypatch, "cuda", "sgd, run ahead"))


def test_a_tensor_left_on_the_host_is_noticed(monkeypatch, cuda) -> None:
    run = training(monkeypatch, "cuda", "sgd, run ahead")
    run.chain[2]._buffers.update({name: b.cpu() for name, b in run.chain[2]._buffers.items()})
    for module in run.chain[2].modules():
        module._buffers.update({name: b.cpu() for name, b in module._buffers.items()})
    with pytest.raises(RuntimeError, match="expected all tensors to be on the same device"):
        trained(run)


def test_a_rate_that_is_copied_in_each_step_is_noticed(monkeypatch, cuda) -> None:
    real = captured.CapturedStep.__call__

    def copying(step, x, labels, number) -> None:
        real(step, x, labels, number)
        torch.zeros(3).to(CUDA)

    monkeypatch.setattr(captured.CapturedStep, "__call__", copying)
    with pytest.raises(RuntimeError, match=r"_to_copy.* waits for the device"):
        trained(training(monkeypatch, "cuda", "sgd, run ahead"), cuda)
