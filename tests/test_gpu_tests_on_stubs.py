"""The tests of tests/gpu, each of them once, on a CPU with stand-ins for what CUDA has and a CPU has not.

They say nothing about CUDA. They hold that the tests themselves run: few machines have a GPU to find out.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tape import Tapes
from test_compiled import Counter
from torch.nn.functional import conv2d

from freezeout import models
from freezeout.run import assemble, resolve
from freezeout.run.plan import Plan
from freezeout.train import rows
from freezeout.train.captured import CapturedStep
from freezeout.train.compiled import compile_stages
from tests.gpu import test_cuda_adaptive as adaptive
from tests.gpu import test_cuda_cache as cache
from tests.gpu import test_cuda_engine as engine
from tests.gpu import test_cuda_fold as fold
from tests.gpu import test_cuda_parity as parity
from tests.gpu.conftest import _full_precision, _short_lived, captures, repeatable  # noqa: F401

CPU = torch.device("cpu")
MODULES = (adaptive, cache, engine, fold, parity)
SINGLE = {"bf16": False, "tf32": True, "bound": 1e-5}
BF16 = {"name": "vgg", "layout": torch.channels_last}
CASES: list[tuple] = [
    (engine.test_in_float64_sixty_steps_are_those_of_a_plain_loop, {"network": "wrn", "path": "captured, run ahead"}),
    (engine.test_one_step_from_the_same_state, {"path": "run ahead", **SINGLE}),
    (engine.test_the_first_replays_are_the_steps_of_the_eager_run, SINGLE),
    (engine.test_a_replayed_step_waits_for_nobody, {}),
    (engine.test_later_graphs_take_the_memory_of_the_one_before, {}),
    (engine.test_the_command_captures_and_says_where_the_seconds_went, {}),
    *(
        (adaptive.test_in_float64_it_freezes_in_the_steps_of_a_cpu_and_trains_the_same, {"name": name, "path": path})
        for name, path in (("autofreeze", "captured, run ahead"), ("weight_delta", "captured"))
    ),
    (adaptive.test_statistics_computed_afresh_are_those_of_a_cpu, {"path": "captured, run ahead"}),
    (adaptive.test_a_run_on_cuda_is_the_run_on_a_cpu_as_far_as_float32_goes, {"field": "strategy.bn=reestimate"}),
    # A tape draws no dropout as a graph does.
    (adaptive.test_a_run_that_was_stopped_goes_on_to_the_same_bits, {"name": "autofreeze", "capture": "false"}),
    (adaptive.test_a_step_that_decides_nothing_waits_for_nobody, {"name": "autofreeze", "path": "captured, run ahead"}),
    (cache.test_rows_of_the_host_are_read_as_they_were_written, {}),
    (cache.test_memory_of_rows_that_are_still_in_use_is_not_taken_again, {}),
    (cache.test_captured_steps_with_a_cache_are_those_without, {"kind": "device"}),
    (cache.test_a_cached_step_waits_for_nobody, {"kind": "device"}),
    (fold.test_a_prepared_stage_is_the_stage_within_the_stated_bound, {**BF16, "dtype": torch.float32}),
    (fold.test_in_bfloat16_too, BF16),
    (
        fold.test_what_the_memory_of_the_output_held_before_does_not_matter,
        {"layout": torch.channels_last, "dtype": torch.float32, "bound": 1e-5},
    ),
    (parity.test_cuda_cuts_the_pixels_that_the_cpu_cuts, {}),
    (parity.test_cuda_replays_the_original_step_by_step, {"network": "wrn"}),
    (parity.test_cuda_replays_it_in_the_mode_for_comparison_too, {"network": "wrn"}),
    (parity.test_cuda_trains_as_the_cpu_does, {"network": "wrn", "dtype": torch.float64}),
    (parity.test_float32_on_cuda_freezes_in_the_same_steps, {"network": "wrn"}),
    (parity.test_a_run_on_cuda_is_the_run_on_a_cpu_as_far_as_float32_goes, {}),
]
SLOW = [(engine.test_compiled_steps_are_those_of_a_plain_loop, {"path": "captured"})]


class TapesOfAStep(Tapes):
    """CudaGraphs(device), for a step that says itself what it changes."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(self._changed)

    def _changed(self):
        step = self.step
        for stage in step._step.stages:
            yield from stage.state_dict().values()
        yield from (v for s in step._optimizer.state.values() for v in s.values() if isinstance(v, torch.Tensor))
        yield from (step._row, step._rates, step._step.loss_sum)
        if step._freezeout._adapting:
            yield from (t for own in step._freezeout._adapting._observer.state_dict() for t in own)


class Stream:
    """torch.cuda.Stream(device), and the events of one: done when they have been waited for, and not before."""

    def __init__(self, device: torch.device) -> None:
        pass

    def record_event(self) -> Stream:
        return self

    def query(self) -> bool:
        return False

    def synchronize(self) -> None:
        pass

    def wait_event(self, event: Stream) -> None:
        pass


@pytest.fixture(autouse=True)
def _stand_ins(monkeypatch) -> None:
    real = CapturedStep.__init__

    def init(step, body, freezeout, optimizer, graphs) -> None:
        real(step, body, freezeout, optimizer, graphs)
        graphs.step = step

    memory = iter([1000, 2000, *[1900] * 100])
    monkeypatch.setattr(CapturedStep, "__init__", init)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", ("default", "warn", "error").index)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: next(memory))
    for module in MODULES:
        monkeypatch.setattr(module, "CUDA", CPU)
    monkeypatch.setattr(engine, "CudaGraphs", TapesOfAStep)
    monkeypatch.setattr(adaptive, "CudaGraphs", TapesOfAStep)
    monkeypatch.setattr(engine, "LARGE", 2)
    monkeypatch.setattr(engine, "models", SimpleNamespace(build=small))
    monkeypatch.setattr(engine, "compile_stages", functools.partial(compile_stages, backend=Counter()))
    # pinned memory and streams
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    cuda = SimpleNamespace(stream=lambda stream: contextlib.nullcontext(), current_stream=Stream)
    pinned = SimpleNamespace(index_select=torch.index_select, cuda=cuda, empty=not_pinned)
    monkeypatch.setattr(rows, "torch", pinned)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, stream: None)
    # cuDNN's call
    monkeypatch.setattr(torch, "cudnn_convolution_relu", lambda *a: conv2d(*a).relu_(), raising=False)
    monkeypatch.setattr(fold, "ConvReLU", lambda conv: lambda x: torch.cudnn_convolution_relu(x, *arguments(conv)))
    # the command line's device
    monkeypatch.setattr(resolve, "choose_device", lambda wanted: CPU)
    monkeypatch.setattr(assemble, "CudaGraphs", TapesOfAStep)
    monkeypatch.setattr(
        Plan,
        "capture",
        property(lambda plan: plan.config.machine.device == "cuda" and plan.config.machine.capture is None),
    )


def not_pinned(*size: int, pin_memory: bool = False, **how) -> torch.Tensor:
    return torch.empty(*size, **how)


def small(name: str, classes: int, **fields):
    return models.build(name, classes, **fields | {"depth": 16, "growth": 4})


def arguments(conv: torch.nn.Conv2d):
    return conv.weight, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups


@pytest.fixture
def freezeout(freezeout):
    """The command line, whose records are as a run on CUDA writes them."""

    def call(*words: str):
        said = freezeout(*words)
        for path in Path().glob("*/*/*/record.json"):
            record = json.loads(path.read_text())
            if record["config"]["machine"]["device"] == "cuda":
                record |= {"peak_memory": 1, "device": record["device"] | {"type": "cuda"}}
                path.write_text(json.dumps(record))
        return said

    return call


def test_each_of_them_is_here() -> None:
    there = {f for module in MODULES for name, f in vars(module).items() if name.startswith("test_")}
    assert there == {test for test, _ in CASES + SLOW}


def run(test, given, request) -> None:
    asked = inspect.signature(test).parameters
    test(**{name: given[name] if name in given else request.getfixturevalue(name) for name in asked})


@pytest.mark.slow
@pytest.mark.parametrize(("test", "given"), CASES, ids=[test.__name__ for test, _ in CASES])
def test_it_runs(test, given, request) -> None:
    run(test, given, request)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the compiler warns of its own doings
@pytest.mark.parametrize(("test", "given"), SLOW, ids=[test.__name__ for test, _ in SLOW])
def test_it_runs_for_longer(test, given, request) -> None:
    run(test, given, request)
