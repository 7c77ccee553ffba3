"""Convolution, bias and ReLU of a frozen stage in one kernel of cuDNN, where there is one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# cuDNN adds the bias in float32 even when the convolution is in float64.
DTYPES = (torch.float32, torch.bfloat16)


class ConvReLU(nn.Module):
    """A convolution and the ReLU of it, for inference alone.

    On CUDA they are one call of cuDNN instead of three kernels: the bias and the ReLU are added while the convolution's
    sums are still in registers, and under bfloat16 rounded once instead of twice. Everywhere else it is the
    convolution, and then ReLU in place.

    Args:
        conv: Used as it is.
    """

    conv: nn.Conv1d | nn.Conv2d | nn.Conv3d

    def __init__(self, conv: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> None:
        super().__init__()
        self.conv = conv
        # cuDNN pads with zeros, and by the same number on both sides. Grouped convolutions have kernels of torch's own.
        self._fusible = (
            type(conv) is nn.Conv2d
            and conv.padding_mode == "zeros"
            and not isinstance(conv.padding, str)
            and conv.groups == 1
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, ...)."""
        # The compiler fuses bias and ReLU by itself, and knows nothing of cuDNN's call.
        if not torch.compiler.is_compiling() and self._fusible and x.is_cuda:
            conv, dtype = self.conv, computed_in(x)
            if dtype == conv.weight.dtype and dtype in DTYPES and cudnn_may_choose():
                how: Any = list(conv.stride), list(conv.padding), list(conv.dilation), conv.groups
                x = x.to(dtype)
                try:
                    return torch.cudnn_convolution_relu(x, conv.weight, conv.bias, *how)
                except RuntimeError:  # it has no kernel for these sizes; whatever else it was will be met again below
                    self._fusible = False
        return functional.relu(self.conv(x), inplace=True)


def computed_in(x: Tensor) -> torch.dtype:
    """What a convolution of `x` is computed in; autocast does not know cuDNN's call."""
    return torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else x.dtype


def cudnn_may_choose() -> bool:
    """Whether cuDNN is in use, with any kernel of its own: its fused call ignores the wish for deterministic ones."""
    cudnn = torch.backends.cudnn
    fixed = cudnn.deterministic or torch.are_deterministic_algorithms_enabled()
    return cudnn.is_available() and cudnn.enabled and not fixed
