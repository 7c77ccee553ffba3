"""Convolution, bias and ReLU of a frozen stage in one cuDNN kernel, if cuDNN has one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# cuDNN adds the bias in float32 even when the convolution is in float64.
DTYPES = (torch.float32, torch.bfloat16)


class ConvReLU(nn.Module):
    """A convolution followed by ReLU, for inference only.

    On CUDA this is one cuDNN call instead of three kernels: bias and ReLU are applied while the convolution's sums are
    still in registers, and bfloat16 results are rounded once instead of twice. Otherwise it runs the convolution, then
    ReLU in place.

    Args:
        conv: The convolution; used as it is, not copied.
    """

    conv: nn.Conv1d | nn.Conv2d | nn.Conv3d

    def __init__(self, conv: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> None:
        super().__init__()
        self.conv = conv
        # cuDNN pads with zeros, equally on both sides. torch has kernels of its own for grouped convolutions.
        self._fusible = (
            type(conv) is nn.Conv2d
            and conv.padding_mode == "zeros"
            and not isinstance(conv.padding, str)
            and conv.groups == 1
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, ...)."""
        # torch.compile fuses bias and ReLU itself, and does not know the cuDNN call.
        if not torch.compiler.is_compiling() and self._fusible and x.is_cuda:
            conv, dtype = self.conv, computed_in(x)
            if dtype == conv.weight.dtype and dtype in DTYPES and cudnn_may_choose():
                how: Any = list(conv.stride), list(conv.padding), list(conv.dilation), conv.groups
                x = x.to(dtype)
                try:
                    return torch.cudnn_convolution_relu(x, conv.weight, conv.bias, *how)
                except RuntimeError:  # no kernel for these sizes; any other error will be raised again below
                    self._fusible = False
        return functional.relu(self.conv(x), inplace=True)


def computed_in(x: Tensor) -> torch.dtype:
    """The dtype in which a convolution of `x` is computed. Autocast does not cover the cuDNN call."""
    return torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else x.dtype


def cudnn_may_choose() -> bool:
    """Whether cuDNN may use any of its kernels: its fused call ignores the setting for deterministic ones."""
    cudnn = torch.backends.cudnn
    fixed = cudnn.deterministic or torch.are_deterministic_algorithms_enabled()
    return cudnn.is_available() and cudnn.enabled and not fixed
