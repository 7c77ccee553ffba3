"""What every test on CUDA starts from."""

from __future__ import annotations

import pytest
import torch


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
