"""FLOPs of each stage of a chain, forward and backward, and the bytes that it allocates, counted by running it."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from itertools import chain as joined
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from freezeout.savings.cost import StageCost
from freezeout.stages.chain import Chain


class Counts(NamedTuple):
    """The cost of one training step.

    Attributes:
        costs: FLOPs of every stage.
        bytes: Peak forward bytes of any stage: the size of all tensors of its forward pass, as if none were freed. If
            only one stage's tensors exist at a time, as in a frozen prefix, no more memory is needed.
    """

    costs: list[StageCost]
    bytes: int


def stage_costs(chain: Chain, batch_shape: Sequence[int]) -> list[StageCost]:
    """FLOPs of every stage for one training step; see `count`."""
    return count(chain, batch_shape).costs


def count(chain: Chain, batch_shape: Sequence[int]) -> Counts:
    """FLOPs (2 per multiply-add) and bytes of one training step.

    Convolutions, matrix products and attention are counted, the last as plain matrix products whatever the kernel.
    BatchNorm, activations, pooling, the loss and the optimizer are not: FlopCounterMode has no formula for elementwise
    operations. Counts are for training with every parameter trainable, whatever is frozen now. They are taken on copies
    without data (a chain that cannot run without data is copied and run on the CPU, more slowly); the chain, its
    buffers and torch's random state are not changed.

    Args:
        chain: The network.
        batch_shape: (batch, 3, height, width).

    Raises:
        ValueError: The chain's stages cannot be run one by one.
    """
    if not chain.executable:
        raise ValueError(f"the {len(chain)} stages cannot be run one by one: their costs cannot be counted apart")
    with torch.random.fork_rng(devices=[]):
        try:
            return _count(chain, batch_shape, "meta")
        except RuntimeError:
            # A stage that reads values, or holds tensors that are not buffers, runs only with data.
            return _count(chain, batch_shape, "cpu")


class Traffic(TorchDispatchMode):
    """Adds up the bytes of the inputs and outputs of operations, except views."""

    read = made = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.read += _bytes((args, kwargs))
            self.made += _bytes(out)
        return out

    @property
    def total(self) -> int:
        return self.read + self.made


def _bytes(tree: object) -> int:
    return sum(leaf.numel() * leaf.element_size() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def counter() -> FlopCounterMode:
    """torch's counter, with the weight gradient of grouped convolutions divided by the number of groups."""
    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten.convolution_backward: _convolution_backward})


def _convolution_backward(
    grad_shape, x_shape, w_shape, bias, stride, padding, dilation, transposed, output_padding, groups, mask, **_: Any
) -> int:
    """FLOPs of a convolution's backward pass: the gradients of input and weight each cost as much as the forward pass.

    torch's own formula computes the weight gradient as for an ungrouped convolution, `groups` times too much. The shape
    of the weight, (out, in / groups, *kernel), already accounts for the groups.
    """
    pixels = math.prod((x_shape if transposed else grad_shape)[2:])
    return 2 * x_shape[0] * pixels * math.prod(w_shape) * (mask[0] + mask[1])


def _count(chain: Chain, batch_shape: Sequence[int], device: str) -> Counts:
    x = torch.zeros(tuple(batch_shape), dtype=next(chain.parameters()).dtype, device=device)
    costs: list[StageCost] = []
    most = 0
    # Attention as plain matrix products: the fused kernels differ by device, and there is no formula for the CPU's.
    with sdpa_kernel(SDPBackend.MATH):
        for stage in chain:
            twin = _twin(stage, device)
            with counter() as forward, Traffic() as traffic:
                y = twin(x)
            most = max(most, traffic.made)
            own = _backward(y)
            # Images need no gradient, so stage 0 never computes one for its input.
            full = _backward(twin(x.requires_grad_())) if costs else own
            costs.append(StageCost(forward.get_total_flops(), own, full - own))
            x = y.detach()
    return Counts(costs, most)


def _backward(y: Tensor) -> int:
    with counter() as flops:
        y.backward(torch.zeros_like(y))
    return flops.get_total_flops()


def _twin(stage: nn.Module, device: str) -> nn.Module:
    """A copy in training mode with all parameters trainable; on "meta" it has shapes but no data, so uses no memory."""
    if device == "meta":
        tensors = joined(stage.parameters(), stage.buffers())
        # deepcopy treats the entries of its memo as already copied: no weight is read or written.
        memo: dict[int, Any] = {id(t): _shape_of(t) for t in tensors}
    else:
        memo = {}
    twin = copy.deepcopy(stage, memo).to(device).train()
    for p in twin.parameters():
        p.requires_grad_(p.is_floating_point())
        p.grad = None
    return twin


def _shape_of(tensor: Tensor) -> Tensor:
    empty = torch.empty_like(tensor, device="meta", requires_grad=False)
    return nn.Parameter(empty, requires_grad=False) if isinstance(tensor, nn.Parameter) else empty
