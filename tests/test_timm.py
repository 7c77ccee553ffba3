"""timm's networks: run stage by stage as they are, and frozen as any other."""

from __future__ import annotations

import copy
import logging
import re
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmarks.ceiling import TIMM
from freezeout import FreezeOut, find_stages, models
from freezeout.stages.chain import Chain
from freezeout.strategies import FreezeOut as Strategy

timm = pytest.importorskip("timm", reason="pip install 'freezeout[timm]'")

TINY = ["mobilenetv3_small_050", "regnetx_002", "levit_128s"]  # BatchNormAct2d, DropPath, biases kept for evaluation
PAGE = Path(__file__).parent.parent / "docs" / "ceiling.md"
WITHOUT_DROP_PATH = {"densenet121", "ghostnet_050", "efficientvit_b0", "dla46_c", "hrnet_w18_small"}


def made(name: str) -> tuple[nn.Module, Chain, Tensor]:
    """A network that drops layers and paths, its chain and two images."""
    options: dict = {"drop_rate": 0.2} | ({} if name in WITHOUT_DROP_PATH else {"drop_path_rate": 0.3})
    if timm.get_pretrained_cfg(name).fixed_input_size:
        options["img_size"] = 64
    torch.manual_seed(0)
    model, x = timm.create_model(name, num_classes=10, **options), torch.randn(2, 3, 64, 64)
    return model, find_stages(model, x), x


def outcome(module: nn.Module, buffers: list[Tensor], x: Tensor, training: bool) -> list[Tensor]:
    """What a module gives for `x`, and the statistics that it then has; they are put back afterwards."""
    before = [b.clone() for b in buffers]
    torch.manual_seed(7)
    with torch.no_grad():
        found = [module.train(training)(x), *(b.clone() for b in buffers)]
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)
    return found


def assert_same(name: str) -> None:
    model, chain, x = made(name)
    assert chain.executable
    buffers = list(model.buffers())
    for training in (True, False, True):
        expected, got = (outcome(module, buffers, x, training) for module in (model, chain))
        assert all(torch.equal(a, b) for a, b in zip(expected, got, strict=True))


@pytest.mark.parametrize("name", TINY)
def test_a_network_runs_stage_by_stage_bitwise_as_a_whole(name) -> None:
    assert_same(name)


def listed() -> dict[str, str]:
    """The networks that run as a whole, as the page lists them, and why."""
    return dict(re.findall(r"^\| `timm` `(\w+)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE))


@pytest.mark.slow
@pytest.mark.parametrize("name", TIMM)
def test_every_network_of_the_list_does_so_or_is_listed_with_the_reason(name, caplog) -> None:
    if name not in listed():
        assert_same(name)
        return
    with caplog.at_level(logging.WARNING):
        chain = made(name)[1]
    assert not chain.executable
    assert listed()[name] in caplog.text


def test_at_least_40_of_44_run_stage_by_stage() -> None:
    assert len(set(TIMM)) == 44
    assert set(listed()) < set(TIMM)
    assert len(set(TIMM) - set(listed())) >= 40


@pytest.mark.parametrize("name", TINY)
def test_a_frozen_stage_obeys_the_contract(name) -> None:
    _, chain, x = made(name)
    optimizer = torch.optim.SGD(chain.parameters(), lr=0.01, momentum=0.9, weight_decay=0.1)
    freezeout = FreezeOut(chain, optimizer, Strategy(t_0=0.25, how_scale="linear", scale_lr=False), 8)
    prefix, state = 0, []
    for _ in range(6):
        chain.train()
        freezeout.step()
        assert freezeout.prefix >= prefix
        if freezeout.prefix > prefix:
            prefix, state = freezeout.prefix, [copy.deepcopy(chain[i].state_dict()) for i in range(freezeout.prefix)]
        y = x
        for i, stage in enumerate(chain):
            y = stage(y)
            assert (y.grad_fn is None) == (i < prefix)
        y.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        for i, was in enumerate(state):
            assert all(torch.equal(v, was[k]) for k, v in chain[i].state_dict().items()), chain.names[i]
            assert not any(p in optimizer.state for p in chain[i].parameters())
    assert prefix > len(chain) // 3


def test_a_network_made_for_one_size_is_made_for_the_datas() -> None:
    with torch.device("meta"):
        chain = models.build("timm", 10, network="vit_tiny_patch16_224", image=(64, 64))
    assert {tuple(t.shape) for name, t in chain.state_dict().items() if "pos_embed" in name} == {(1, 17, 192)}


def test_without_timm_one_line_says_what_to_install(monkeypatch, freezeout) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)  # as if it were not installed
    said = freezeout("model=timm")
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "pip install 'freezeout[timm]'" in said.err
