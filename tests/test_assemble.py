"""From a plan to what trains: every field of a configuration reaches what it is about."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from configurations import OTHER, fields_of, other_value, plan_of, start

from freezeout.data.augment import epoch_table
from freezeout.run import assemble as assembling
from freezeout.run.assemble import assemble
from freezeout.run.config import Config, ConfigError

STEPS = 3
ADAPTIVE_STEPS = 12  # until its rule has made a difference


@pytest.fixture
def compiled(monkeypatch) -> list[int]:
    """Stands in for the compiler; one entry per call."""
    calls: list[int] = []
    monkeypatch.setattr(assembling, "compile_stages", lambda *_, ahead: calls.append(ahead))
    return calls


@pytest.fixture
def observe(compiled) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What can be seen of a run: what it was assembled from, and what a few steps made of it."""

    def see(config: dict[str, Any]) -> dict[str, Any]:
        compiled.clear()
        plan = plan_of(config)
        training = assemble(plan)
        chain, optimizer = training.chain, training.optimizer
        kernel = next(p for p in chain.parameters() if p.dim() == 4)
        seen: dict[str, Any] = {
            "threads": torch.get_num_threads(),
            "compiled": list(compiled),
            "channels last": kernel.is_contiguous(memory_format=torch.channels_last),
            "prepared": type(training.prefix.prepared(0)).__name__,
            "views": training.views,
            "cache": training.cache and (training.cache.measured, training.cache.room.shares),
            "window": training.run_ahead,
            "freeze times": training.freezeout.times,
            "steps": training.freezeout.total_steps,
            "first decision": training.freezeout.steady_until(0),
            "normalisation of frozen stages": training.freezeout.bn,
            "shapes": [tuple(p.shape) for p in chain.parameters()],
            "hyperparameters": {k: v for k, v in optimizer.param_groups[0].items() if k not in ("params", "lr")},
        }
        done: list[float] = []
        dtypes: list[str] = []
        chain[0].register_forward_hook(lambda module, inputs, output: dtypes.append(str(output.dtype)))

        def on_step() -> bool:
            done.append(training.loss_sum.item())
            return len(done) == (ADAPTIVE_STEPS if plan.is_adaptive else STEPS)

        training.train_epoch(on_step)
        rates = [training.freezeout.rates(step) for step in range(training.freezeout.total_steps)]
        return seen | {
            "losses": done,
            "dtypes": dtypes,
            "rates": rates,
            "weights": torch.cat([p.detach().flatten() for p in chain.parameters()]),
        }

    return see


def differ(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return any(not torch.equal(a[k], b[k]) if isinstance(a[k], torch.Tensor) else a[k] != b[k] for k in a)


FIELDS = [(g, n, f) for g in ("model", "strategy", "optimizer", "augment", "machine") for n, f in fields_of(g)]
# What a CPU cannot show: a test of its own, or one on a GPU.
NOT_SEEN = {
    "machine.device": "there is one device here; refused and chosen in tests/test_cli.py",
    "machine.measured": "fills in other fields; see tests/test_choices.py",
    "machine.deterministic": "see test_deterministic_kernels_are_asked_for",
    "machine.cache_host": "there is no such memory behind a CPU; tests/gpu",
    "machine.capture": "refused on a CPU; tests/gpu",
    "model.dropout": "see test_dropout_reaches_the_network",
}


@pytest.mark.usefixtures("own_networks")
@pytest.mark.parametrize(("group", "name", "field"), FIELDS, ids=["-".join(one) for one in FIELDS])
def test_every_field_is_seen_in_what_trains(observe, group: str, name: str, field: str) -> None:
    if f"{group}.{field}" in NOT_SEEN:
        pytest.skip(NOT_SEEN[f"{group}.{field}"])
    config = start(group, name)
    if field == "momentum":
        config["optimizer"]["nesterov"] = False
    if field == "views_from" or field.startswith("cache"):
        config |= {"strategy": {"name": "freezeout", "t_0": 0.5}, "epochs": 4}
        config["augment"]["views"] = 1
    if group == "machine" and field == "fold":
        config["strategy"] = {"name": "freezeout", "t_0": 0.1}
    changed = copy.deepcopy(config)
    changed[group][field] = other_value(config, group, name, field)
    assert differ(observe(config), observe(changed))


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Config)])
def test_every_top_level_field_is_seen_in_what_trains(observe, field: str) -> None:
    elsewhere = ("model", "strategy", "optimizer", "augment", "machine", "dataset", "tracker")
    elsewhere += (
        "t_0",
        "out",
        "data_dir",
        "limit",
        "retry_failed",
        "planned",
        "sweep",
        "sweeps",
    )  # read by strategies, data, records, sweeper
    if field in elsewhere:
        return
    config = start("strategy", "freezeout")
    assert differ(observe(config), observe(config | {field: OTHER[field]}))


def test_the_same_configuration_is_the_same_twice(observe) -> None:
    """Or the tests above would pass whatever they are given."""
    config = start("strategy", "freezeout")
    assert not differ(observe(config), observe(copy.deepcopy(config)))


@pytest.mark.parametrize("name", ["densenet_bc", "wide_resnet", "vgg"])
def test_dropout_reaches_the_network(name: str) -> None:
    config = start("model", name)
    config["model"]["dropout"] = 0.25
    modules = assemble(plan_of(config)).chain.modules()
    assert {m.p for m in modules if isinstance(m, torch.nn.Dropout)} == {0.25}


def test_memory_pages_are_kept_on_a_cpu(monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(assembling, "keep_pages", lambda: calls.append(1))
    assemble(plan_of(start("strategy", "baseline")))
    assert calls == [1]


@pytest.mark.parametrize("wanted", [True, False])
def test_deterministic_kernels_are_asked_for(wanted: bool) -> None:
    config = start("machine", "machine")
    config["machine"]["deterministic"] = wanted
    try:
        assemble(plan_of(config))
        assert torch.are_deterministic_algorithms_enabled() is wanted
    finally:
        torch.use_deterministic_algorithms(False)


def test_compiling_is_timed_apart(compiled) -> None:
    config = start("machine", "machine")
    assert assemble(plan_of(config)).compile_seconds == 0.0
    config["machine"]["compile"] = True
    assert assemble(plan_of(config)).compile_seconds > 0.0
    assert compiled == [1]


def test_a_network_that_does_not_fit_is_one_line(monkeypatch) -> None:
    def too_large(*_: Any, **__: Any) -> None:
        raise RuntimeError("not enough memory: you tried to allocate 9 bytes\nand a trace")

    plan = plan_of(start("strategy", "baseline"))
    monkeypatch.setattr(type(plan), "build", too_large)
    with pytest.raises(ConfigError, match=r"^model: not enough memory: you tried to allocate 9 bytes$"):
        assemble(plan)


def test_data_made_for_a_whole_window_are_those_made_batch_by_batch() -> None:
    config = start("machine", "machine")
    training = assemble(plan_of(config | {"batch_size": 8, "machine": config["machine"] | {"run_ahead": 5}}))
    n = training.steps_per_epoch
    assert n % 5, "the last window is not whole"
    table = epoch_table(0, 0, n * 8, 8, training.source.pad, "crop_flip")
    together = list(training.inputs.batches(table))
    training.inputs.at_once = 1
    one_by_one = list(training.inputs.batches(table))
    assert len(together) == len(one_by_one) == n
    for (x, y), (x1, y1) in zip(together, one_by_one, strict=True):
        assert torch.equal(x, x1)
        assert torch.equal(y, y1)
        assert x.is_contiguous(memory_format=torch.channels_last)
