"""What a plan resolves: the precision that is trained in, where the configuration leaves it open."""

from __future__ import annotations

import dataclasses
import os

import pytest
import torch
from configurations import plan_of, start

from freezeout.run import assemble, identity, resolve
from freezeout.run.config import ConfigError
from freezeout.run.plan import Plan, with_machine


def on(monkeypatch, capability: tuple[int, int], **machine: object) -> Plan:
    """A plan on a GPU, as far as one can be had without it."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(identity, "device_model", lambda device: "GPU")
    config = start("machine", "machine")
    config["machine"] |= {"device": "auto", "run_ahead": 1, **machine}
    return dataclasses.replace(plan_of(config), device=torch.device("cuda"))


def test_the_precision_is_tf32_where_the_device_has_it_and_fp32_elsewhere(monkeypatch) -> None:
    assert plan_of(start("machine", "machine")).precision == "fp32"
    assert on(monkeypatch, (9, 0)).precision == on(monkeypatch, (8, 0)).precision == "tf32"
    assert on(monkeypatch, (7, 5)).precision == "fp32", "it would be fp32 under another name"
    for given in ("fp32", "bf16"):
        assert on(monkeypatch, (9, 0), precision=given).precision == given


def test_a_run_is_named_by_the_precision_that_it_is_trained_in(monkeypatch) -> None:
    config = start("machine", "machine")
    given = config | {"machine": config["machine"] | {"precision": "fp32"}}
    assert identity.name(plan_of(config)) == identity.name(plan_of(given))
    open_one, fp32 = on(monkeypatch, (9, 0)), on(monkeypatch, (9, 0), precision="fp32")
    assert identity.machine(open_one)["precision"] == "tf32"
    assert identity.name(open_one) != identity.name(fp32)
    assert identity.setting_id(open_one) != identity.setting_id(fp32), "they share no panel"
    assert identity.profile_path(open_one) != identity.profile_path(fp32)


@pytest.mark.parametrize(("precision", "switch"), [(None, "tf32"), ("fp32", "ieee"), ("bf16", "ieee")])
def test_torch_multiplies_in_the_plans_precision(monkeypatch, precision: str | None, switch: str) -> None:
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    switches = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    before, tuned = [one.fp32_precision for one in switches], torch.backends.cudnn.benchmark
    try:
        assemble.configure_torch(on(monkeypatch, (9, 0), precision=precision))
        assert [one.fp32_precision for one in switches] == [switch] * 2
    finally:
        torch.backends.cudnn.benchmark = tuned
        for one, value in zip(switches, before, strict=True):
            one.fp32_precision = value


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_deterministic_run_tells_cublas_so_itself(monkeypatch, deterministic: bool) -> None:
    """On a GPU, torch refuses its first matrix product otherwise."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "put back afterwards")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    config = start("machine", "machine")
    config["machine"] |= {"deterministic": deterministic}
    try:
        assemble.configure_torch(plan_of(config))
        assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == (":4096:8" if deterministic else None)
    finally:
        torch.use_deterministic_algorithms(False)


def test_another_machine_leaves_the_plan_as_it_was() -> None:
    planned = plan_of(start("machine", "machine"))
    other = with_machine(planned, fold=False)
    assert (planned.fold, other.fold) == (True, False)
    assert other.config_dict["machine"]["fold"] is False


def test_tf32_is_refused_in_one_line_where_the_device_has_none(monkeypatch) -> None:
    on(monkeypatch, (7, 0))
    monkeypatch.setattr(resolve, "choose_device", lambda wanted: torch.device("cuda"))
    monkeypatch.setattr(resolve, "device_model", lambda device: "Tesla V100")
    config = start("machine", "machine")
    config["machine"] |= {"device": "auto", "precision": "tf32"}
    with pytest.raises(ConfigError, match=r"^machine.precision=tf32: Tesla V100 has no tf32; choose fp32 or bf16$"):
        plan_of(config)


def test_counting_a_network_touches_no_gpu(monkeypatch, two_gpus) -> None:
    monkeypatch.setattr(resolve, "_counts", {})
    assert plan_of(start("machine", "machine")).counts is not None
