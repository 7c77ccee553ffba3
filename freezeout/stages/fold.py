"""A frozen stage as a pure function: traced once, with its constant arithmetic precomputed."""

from __future__ import annotations

import copy
import operator
from collections import Counter

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from freezeout.stages.conv_relu import ConvReLU

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
RELUS = (functional.relu, torch.relu)


class MultiplyAdd(nn.Module):
    """BatchNorm with constant statistics: x (batch, channels, ...) times `scale` plus `shift`, both per channel."""

    scale: Tensor
    shift: Tensor

    def __init__(self, bn: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) -> None:
        super().__init__()
        assert bn.running_mean is not None
        assert bn.running_var is not None
        scale = torch.rsqrt(bn.running_var + bn.eps) * (1.0 if bn.weight is None else bn.weight.detach())
        shift = (0.0 if bn.bias is None else bn.bias.detach()) - bn.running_mean * scale
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Tensor:
        shape = (1, -1) + (1,) * (x.dim() - 2)
        return torch.addcmul(self.shift.view(shape), x, self.scale.view(shape))


def prepare(stage: nn.Module, dtype: torch.dtype | None = None) -> nn.Module:
    """A frozen stage as a module for inference only, with its own copy of the weights.

    BatchNorm is folded into the convolution before it, or becomes one multiply-add. A ReLU is fused with the
    convolution before it, or works in place if nothing else reads its input. The result differs from that of the stage
    in evaluation mode by rounding only: below 1e-12 of the largest value in float64, 1e-5 in float32, 2e-2 in bfloat16
    (tests/test_fold.py; tests/gpu/test_cuda_fold.py).

    Args:
        stage: Left unchanged; changing it later does not affect the prepared module.
        dtype: The dtype of autocast, if it is on. The weights of convolutions and linear layers are then cast once
            instead of in every step, and a BatchNorm that cannot be folded stays (its sums need float32).

    Returns:
        The prepared module; the stage itself if torch.fx cannot trace it or it has hooks.
    """
    if any(m._forward_hooks or m._forward_pre_hooks for m in stage.modules()):
        return stage
    root = nn.Sequential(copy.deepcopy(stage)).eval()
    try:
        graph = fx.Tracer().trace(root)
    except Exception:  # whatever the error: the stage itself gives the same result, only more slowly
        return stage
    _fold(graph, root, keep_norms=dtype is not None)
    for module in root.modules():
        if dtype is not None and type(module) in (*CONVOLUTIONS, nn.Linear):
            module.to(dtype)
    return fx.GraphModule(root, graph).requires_grad_(False)


def _fold(graph: fx.Graph, root: nn.Module, *, keep_norms: bool) -> None:
    """Rewrite `graph` and replace modules of `root`, the copy of the stage that the graph runs."""
    modules = dict(root.named_modules())
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")

    def is_a(node: object, kinds: tuple[type, ...]) -> bool:
        return isinstance(node, fx.Node) and node.op == "call_module" and type(modules[str(node.target)]) in kinds

    def is_fresh(node: object) -> bool:
        """Whether the node's result is a new tensor, which only the graph holds."""
        made = is_a(node, (*CONVOLUTIONS, nn.Linear, *NORMS, MultiplyAdd))
        return made or (isinstance(node, fx.Node) and node.target in (operator.add, torch.add))

    def replace(target: str, module: nn.Module) -> None:
        root.set_submodule(target, module)
        modules[target] = module

    for node in list(graph.nodes):
        if is_a(node, NORMS) and modules[node.target].running_mean is not None:
            bn, source = modules[node.target], node.args[0]
            alone = is_a(source, CONVOLUTIONS) and len(source.users) == calls[source.target] == calls[node.target] == 1
            if alone:
                replace(source.target, fuse_conv_bn_eval(modules[source.target], bn))
                node.replace_all_uses_with(source)
                graph.erase_node(node)
            elif not keep_norms:
                replace(node.target, MultiplyAdd(bn))
    for node in list(graph.nodes):
        relu = is_a(node, (nn.ReLU,)) or (node.op == "call_function" and node.target in RELUS)
        # Only a new tensor that nothing else reads may be overwritten: never the stage's own input.
        if not relu or not is_fresh(node.args[0]) or len(node.args[0].users) > 1:
            continue
        source = node.args[0]
        if is_a(source, CONVOLUTIONS) and calls[source.target] == 1:
            replace(source.target, ConvReLU(modules[source.target]))
            node.replace_all_uses_with(source)
            graph.erase_node(node)
        else:
            node.op, node.target = "call_function", functional.relu
            node.args, node.kwargs = node.args[:1], {"inplace": True}
