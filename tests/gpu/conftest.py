"""What every test on CUDA starts from."""

from __future__ import annotations

import os

import pytest
import torch

from freezeout.train import captured
from freezeout.train.captured import CapturedStep

# torch looks once in a process: at its first matrix product, which is that of a test without machine.deterministic.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@pytest.fixture(autouse=True)
def _full_precision():
    """No tf32: it keeps 10 bits of a float32."""
    switches = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    before = [switch.fp32_precision for switch in switches]
    for switch in switches:
        switch.fp32_precision = "ieee"
    yield
    for switch, precision in zip(switches, before, strict=True):
        switch.fp32_precision = precision


@pytest.fixture(autouse=True)
def _short_lived(monkeypatch) -> None:
    """Prefixes that last for a few steps only are captured too."""
    monkeypatch.setattr(captured, "WORTH", 2)


@pytest.fixture
def captures(monkeypatch) -> list[int]:
    """The prefixes that were captured. A refused capture fails the test: warnings are errors here."""
    found: list[int] = []
    real = CapturedStep._capture

    def capture(step) -> None:
        real(step)
        found.append(step._freezeout.prefix)

    monkeypatch.setattr(CapturedStep, "_capture", capture)
    return found


@pytest.fixture
def repeatable():
    """The switch of machine.deterministic put back."""
    yield
    torch.use_deterministic_algorithms(False)
