"""Frozen stages prepared for CUDA, where convolution and ReLU are one call of cuDNN. Run by `make test-gpu`."""

from __future__ import annotations

import copy

import pytest
import torch
from test_fold import BOUNDS, NETWORKS, assert_close_in_bfloat16, trained
from torch import nn

from freezeout.stages.conv_relu import ConvReLU
from freezeout.stages.fold import prepare

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; torch sees none here"),
]
CUDA = torch.device("cuda")
every_network = pytest.mark.parametrize("name", NETWORKS)
formats = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)


def on_device(name: str, dtype: torch.dtype, layout: torch.memory_format):
    """A trained network in evaluation mode, and images for it."""
    chain = trained(name, dtype).eval().to(CUDA).to(memory_format=layout)
    return chain, torch.randn(8, 3, 32, 32, dtype=dtype).to(CUDA).contiguous(memory_format=layout)


@every_network
@formats
@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@torch.no_grad()
def test_a_prepared_stage_is_the_stage_within_the_stated_bound(name, layout, dtype) -> None:
    chain, x = on_device(name, dtype, layout)
    for stage in chain:
        right = stage(x)
        out = prepare(stage)(x)
        assert out.dtype == right.dtype
        assert (out - right).abs().max() <= BOUNDS[dtype] * right.abs().max()
        x = right


@every_network
@formats
@torch.no_grad()
def test_in_bfloat16_too(name, layout) -> None:
    assert_close_in_bfloat16(*on_device(name, torch.float32, layout))


@formats
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)], ids=str)
@torch.no_grad()
def test_what_the_memory_of_the_output_held_before_does_not_matter(layout, dtype, bound, monkeypatch) -> None:
    """cuDNN's call adds a third tensor, times 0; torch gives it the output, which holds anything: here, no numbers."""
    real, asked = torch.cudnn_convolution_relu, []

    def counted(*args):
        asked.append(args)
        return real(*args)

    monkeypatch.setattr(torch, "cudnn_convolution_relu", counted)
    torch.manual_seed(0)
    conv = nn.Conv2d(64, 64, 3, padding=1).to(CUDA, dtype).to(memory_format=layout)
    x = torch.randn(16, 64, 32, 32).to(CUDA, dtype).contiguous(memory_format=layout)
    right = copy.deepcopy(conv)(x).relu()
    module = ConvReLU(conv)
    for _ in range(3):
        torch.full_like(right, float("nan"))  # and the allocator has its memory back
        out = module(x)
        # Images' bytes are such numbers, too: if it fails, all that ran from folded weights on this GPU is wrong.
        assert (out - right).abs().max() <= bound * right.abs().max(), (
            "cuDNN reads the memory of the output: no ConvReLU"
        )
        del out
    assert len(asked) == 3, "cuDNN has a kernel for these sizes"
