"""Convolution and ReLU as one call: of cuDNN on CUDA, with tensors that only know their device here; else as ever."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from freezeout.stages.conv_relu import ConvReLU
from freezeout.stages.fold import prepare


@pytest.fixture
def asked(monkeypatch) -> list[tuple]:
    """What cuDNN was asked for."""
    calls: list[tuple] = []

    def cudnn_convolution_relu(x, weight, bias, stride, padding, dilation, groups):
        calls.append((x, weight, bias, stride, padding, dilation, groups))
        return functional.conv2d(x, weight, bias, stride, padding, dilation, groups).relu_()

    monkeypatch.setattr(torch, "cudnn_convolution_relu", cudnn_convolution_relu)
    return calls


@pytest.fixture
def cuda():
    """Tensors without contents: they have a shape, a type and a device, and a CUDA device need not be there."""
    with FakeTensorMode(), torch.device("cuda"), torch.no_grad():
        yield


def test_cudnn_gets_the_convolution_as_it_is(asked, cuda) -> None:
    conv = nn.Conv2d(4, 6, (3, 5), stride=(2, 1), padding=(1, 3), dilation=(1, 2))
    x = torch.randn(2, 4, 16, 16)
    out = ConvReLU(conv)(x)
    ((given, weight, *rest),) = asked
    assert given is x
    assert weight is conv.weight
    assert rest == [conv.bias, [2, 1], [1, 3], [1, 2], 1]
    assert out.shape == conv(x).shape


def test_under_autocast_the_images_are_cast_as_the_convolution_would_have_cast_them(asked, cuda, monkeypatch) -> None:
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind: True)
    monkeypatch.setattr(torch, "get_autocast_dtype", lambda kind: torch.bfloat16)
    x = torch.randn(2, 4, 8, 8)
    ConvReLU(nn.Conv2d(4, 6, 3, dtype=torch.bfloat16))(x)
    assert asked.pop()[0].dtype == torch.bfloat16
    ConvReLU(nn.Conv2d(4, 6, 3))(x)
    assert not asked, "its weight is not what autocast computes with"


OTHERS = {
    "float64": (lambda: nn.Conv2d(4, 4, 3, dtype=torch.float64), torch.float64),
    "grouped": (lambda: nn.Conv2d(4, 4, 3, groups=2), torch.float32),
    "padding by name": (lambda: nn.Conv2d(4, 4, 4, padding="valid"), torch.float32),
    "padding that is not zeros": (lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), torch.float32),
    "three dimensions": (lambda: nn.Conv3d(4, 4, 3), torch.float32),
}


@pytest.mark.parametrize("other", OTHERS)
def test_cudnn_is_not_asked_for_what_it_does_otherwise(asked, cuda, other) -> None:
    build, dtype = OTHERS[other]
    conv = build()
    x = torch.randn(2, 4, *[8] * (conv.weight.dim() - 2), dtype=dtype)
    assert ConvReLU(conv)(x).shape == conv(x).shape
    assert not asked


@pytest.mark.parametrize("switch", ["enabled", "deterministic", "all deterministic", "compiling"])
def test_cudnn_is_not_asked_against_a_setting_of_torch(asked, cuda, monkeypatch, switch) -> None:
    if switch == "compiling":
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    elif switch == "all deterministic":
        monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    else:
        monkeypatch.setattr(torch.backends.cudnn, switch, switch == "deterministic")
    ConvReLU(nn.Conv2d(4, 4, 3))(torch.randn(2, 4, 8, 8))
    assert not asked


def test_where_cudnn_has_no_kernel_it_is_asked_once(cuda, monkeypatch) -> None:
    calls = []

    def refuse(*args) -> None:
        calls.append(args)
        raise RuntimeError("FIND was unable to find an engine to execute this computation")

    monkeypatch.setattr(torch, "cudnn_convolution_relu", refuse)
    module = ConvReLU(nn.Conv2d(4, 6, 3))
    for _ in range(2):
        assert module(torch.randn(2, 4, 8, 8)).shape == (2, 6, 6, 6)
    assert len(calls) == 1


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_on_a_cpu_it_is_the_convolution_and_then_relu_bit_for_bit(asked, dtype) -> None:
    torch.manual_seed(0)
    conv, x = nn.Conv2d(3, 5, 3, padding=1).to(dtype), torch.randn(2, 3, 8, 8, dtype=dtype)
    given = x.clone()
    assert torch.equal(ConvReLU(conv)(x), functional.relu(conv(x)))
    assert torch.equal(x, given)
    assert not asked


class Chained(nn.Module):
    """Convolutions and ReLUs that are one, and such that must stay two."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.bn, self.relu = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.ReLU()
        self.twice, self.read = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

    def forward(self, x):
        x = self.relu(self.bn(self.first(x)))
        x = functional.relu(self.twice(self.twice(x)))
        y = self.read(x)
        return functional.relu(y) + y


@torch.no_grad()
def test_only_a_convolution_that_is_called_once_and_read_by_its_relu_alone_becomes_one_with_it() -> None:
    torch.manual_seed(0)
    stage, x = Chained().eval(), torch.randn(2, 3, 4, 4)
    made = prepare(stage)
    assert [name for name, m in made.named_modules() if isinstance(m, ConvReLU)] == ["0.first"]
    torch.testing.assert_close(made(x), stage(x))


@torch.no_grad()
def test_a_prepared_stage_takes_the_weights_of_another() -> None:
    x = torch.randn(2, 3, 4, 4)
    template, made = (prepare(Chained().eval()) for _ in range(2))
    assert not torch.equal(template(x), made(x))
    template.load_state_dict(made.state_dict())
    assert torch.equal(template(x), made(x))
