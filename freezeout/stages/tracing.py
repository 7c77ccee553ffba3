"""A network as one torch.fx graph that is valid in both training and evaluation mode."""

from __future__ import annotations

import operator
import pickle
import random
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

# Modules of these packages become one node each, so that whatever depends on their `training` flag (Dropout,
# StochasticDepth) stays inside them.
LIBRARIES = ("torch.nn", "torchvision.ops")
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.Transformer, nn.TransformerEncoder, nn.TransformerDecoder)

CHECKPOINTED = "its forward recomputes activations (checkpoints) or packs them, which a graph does not record"
DIFFERENT = "its forward differs between training and evaluation"


class UntraceableError(Exception):
    """The network's forward is not one fixed graph."""


class _DifferentError(Exception):
    """Arguments of a node in training and in evaluation differ in more than the training flag."""


def is_library_module(module: nn.Module) -> bool:
    """Whether a module comes from torch.nn or torchvision.ops and is not a container of other modules."""
    return type(module).__module__.startswith(LIBRARIES) and not isinstance(module, CONTAINERS)


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a normalisation layer, by the name of its class."""
    # Those of other packages (LayerNorm2d, FrozenBatchNorm2d, BatchNormAct2d, GroupNorm1) share no base class.
    return re.fullmatch(r"\w*Norm(Act)?(\dd?)?", type(module).__name__) is not None


def unused_name(path: str, taken: Container[str]) -> str:
    """A key for a module in an nn.ModuleDict.

    Args:
        path: The module's path in its network: "layer1.0.conv1"; "" for the network itself.
        taken: Names that are in use already.

    Returns:
        The path with dots replaced by underscores, and further underscores appended until it is unused and valid.
    """
    name = path.replace(".", "_") or "network"
    while name in taken or hasattr(nn.ModuleDict, name):
        name += "_"
    return name


class _Tracer(fx.Tracer):
    proxy_buffer_attributes = True  # the graph reads a buffer when it runs, instead of keeping its present value

    def __init__(self, leaves: Container[type]) -> None:
        super().__init__()
        self._leaves = leaves
        self._modes = self._read_modes()

    @staticmethod
    def _read_modes() -> tuple[bool, ...]:
        return torch.is_grad_enabled(), *(torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda"))

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_library_module(m) or type(m) in self._leaves

    def call_module(self, m: nn.Module, forward: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        hooks = (m._forward_pre_hooks, m._forward_hooks, m._backward_pre_hooks, m._backward_hooks)
        if any(hooks) and not self.is_leaf_module(m, ""):
            raise UntraceableError(f"a hook of its {type(m).__name__} would run while it is traced and never again")
        return super().call_module(m, forward, args, kwargs)

    def create_node(self, *args, **kwargs) -> fx.Node:
        if self._read_modes() != self._modes:
            raise UntraceableError("its forward switches gradients or autocast, which a graph does not record")
        return super().create_node(*args, **kwargs)


@dataclass(frozen=True)
class Trace:
    """The graph of a network.

    Attributes:
        graph: Its nodes refer to modules and tensors by name.
        values: Modules, parameters, buffers and constants by these names, and "training", the graph's training flag.
        tensors: The nodes whose value is a tensor.
    """

    graph: fx.Graph
    values: dict[str, Any]
    tensors: frozenset[fx.Node]

    @property
    def nodes(self) -> list[fx.Node]:
        """The nodes in running order: the input first, the output last."""
        return list(self.graph.nodes)


def trace(model: nn.Module, example: Tensor) -> Trace:
    """Traces a network into one graph for both modes.

    The network is traced once in training and once in evaluation mode. If the two graphs differ only in an argument
    that is True in training and False in evaluation, as in F.dropout(x, training=self.training), the combined graph
    reads the flag when it runs. If they differ otherwise inside a module, as in DropPath, all modules of its class
    become one node each and run unchanged. If they differ otherwise in the network's own forward, or in that of a
    module with more than half of all parameters (as one node, it would hide the network's stages), tracing fails.

    Args:
        model: The network; unchanged afterwards, including its modes.
        example: Images (batch, channels, height, width) that the network accepts. The graph is run on them once, in
            evaluation mode, to determine which nodes return tensors.

    Returns:
        The graph with the modules and tensors that it uses.

    Raises:
        UntraceableError: The network's forward is not one fixed graph.
    """
    flags = {module: module.training for module in model.modules()}
    leaves: set[type] = set()
    try:
        while True:
            (train, constants), (evaluation, other) = (_trace_as(model, mode, leaves) for mode in (True, False))
            where = _read_training_flag(train, evaluation)
            if where is None:
                break
            leaves.add(_class_that_differs(*where, leaves, model))
        if constants.keys() != other.keys() or any(not _same_tensor(constants[k], other[k]) for k in constants):
            raise UntraceableError("its constants differ between training and evaluation")
        values = _values(model, train, constants)
        return Trace(train, values, _tensor_nodes(train, values, example))
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        raise UntraceableError(f"its graph does not run: {error}") from error
    finally:
        model.train()  # makes modules with caches for evaluation (LeViT's biases) drop what tracing stored there
        for module, flag in flags.items():
            module.training = flag


def _trace_as(model: nn.Module, training: bool, leaves: Container[type]) -> tuple[fx.Graph, dict[str, Any]]:
    model.train(training)
    # In a Sequential, optional arguments of forward keep their defaults instead of becoming inputs of the graph, and fx
    # stores its constants on the Sequential instead of on the user's network.
    root = nn.Sequential(model)
    drawn = _random_states()
    before = [(module, dict(vars(module))) for module in model.modules()]
    try:
        with torch.autograd.graph.disable_saved_tensors_hooks(CHECKPOINTED):
            graph = _Tracer(leaves).trace(root)
    except Exception as error:  # the user's forward runs on proxies: if it cannot be traced, it may raise anything
        raise UntraceableError(str(error)) from error
    finally:
        kept = _forget_proxies(before)
    if kept:
        raise UntraceableError(f"its forward stores results as {kept[0]}, which a graph would not")
    if _random_states() != drawn:
        raise UntraceableError("it draws a random number that decides what its forward does")
    graph.owning_module = None
    for node in graph.nodes:
        if node.op in ("get_attr", "call_module"):
            node.target = node.target.removeprefix("0.")
    return graph, {name: v for name, v in vars(root).items() if name.startswith("_tensor_constant")}


def _forget_proxies(before: list[tuple[nn.Module, dict[str, Any]]]) -> list[str]:
    """Restore attributes that the trace set to fx proxies. Returns their names, as self.name."""
    found = []
    for module, was in before:
        for name in [name for name, value in vars(module).items() if isinstance(value, fx.Proxy)]:
            found.append(f"self.{name}")
            del vars(module)[name]
            vars(module).update({name: was[name]} if name in was else {})
    return found


def _random_states() -> bytes:
    import numpy as np  # only here, as in `freezeout.schedule`

    return pickle.dumps((random.getstate(), np.random.get_state(), torch.get_rng_state().numpy()))


def _same_tensor(a: Any, b: Any) -> bool:
    return isinstance(a, Tensor) and isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)


def _read_training_flag(train: fx.Graph, evaluation: fx.Graph) -> tuple[fx.Node, fx.Node] | None:
    """Replaces each argument that is True in `train` and False in `evaluation` by the training flag, in `train`.

    Returns:
        The first pair of nodes that differ in anything else; None if there is none.
    """
    twin: dict[fx.Node, fx.Node] = {}
    for a, b in zip([*train.nodes], evaluation.nodes, strict=False):  # a list: nodes are inserted on the way
        if a.op != b.op or a.target != b.target:
            return a, b
        twin[a] = b
        with train.inserting_before(a):
            try:
                a.args, a.kwargs = _merged(a.args, b.args, twin, train), _merged(a.kwargs, b.kwargs, twin, train)
            except _DifferentError:
                return a, b
    return None  # both end with their one output


def _class_that_differs(train: fx.Node, evaluation: fx.Node, leaves: Container[type], model: nn.Module) -> type:
    """The class of the innermost module in whose forward the graphs of the two modes diverge at these nodes.

    If a module does something in one mode only, as DropPath in training, the other mode's node already belongs to the
    code after it. So modules that only the training node is in are tried first, then those that only the evaluation
    node is in, then those that both are in.
    """
    inner, other = (list((node.meta.get("nn_module_stack") or {}).values()) for node in (train, evaluation))
    both = [entry for entry in inner if entry in other]
    order = [[e for e in inner if e not in both], [e for e in other if e not in both], both]
    half = sum(p.numel() for p in model.parameters()) / 2
    for path, kind in (entry for stack in order for entry in reversed(stack)):
        if kind in leaves or kind.__module__.startswith(LIBRARIES):
            continue
        # Paths begin with the Sequential around the network.
        module = model.get_submodule(path.partition(".")[2])
        if module is not model and sum(p.numel() for p in module.parameters()) <= half:
            return kind
    raise UntraceableError(DIFFERENT)


def _merged(x: Any, y: Any, twin: dict[fx.Node, fx.Node], graph: fx.Graph) -> Any:
    """An argument for the combined graph, from x in training and y in evaluation; `twin` pairs their nodes."""
    if x is True and y is False:
        return graph.get_attr("training")
    if isinstance(x, fx.Node) and twin.get(x) is y:
        return x
    if type(x) is type(y):
        if isinstance(x, tuple | list) and len(x) == len(y):
            return type(x)(_merged(i, j, twin, graph) for i, j in zip(x, y, strict=True))
        if isinstance(x, dict) and x.keys() == y.keys():
            return {key: _merged(x[key], y[key], twin, graph) for key in x}
        if isinstance(x, slice):
            return slice(*(_merged(getattr(x, k), getattr(y, k), twin, graph) for k in ("start", "stop", "step")))
        if x == y or (x != x and y != y):  # both NaN
            return x
    raise _DifferentError


def _values(model: nn.Module, graph: fx.Graph, constants: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {"training": True, **constants}
    for node in graph.nodes:
        if node.op in ("get_attr", "call_module") and node.target not in values:
            # A network that is itself a library module is one node, under the name that the Sequential gives it.
            alone = is_library_module(model)
            values[node.target] = model if alone else operator.attrgetter(node.target)(model)
    return values


def _tensor_nodes(graph: fx.Graph, values: dict[str, Any], example: Tensor) -> frozenset[fx.Node]:
    found = set()

    class Watch(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            result = super().run_node(n)
            if isinstance(result, Tensor):
                found.add(n)
            return result

    with torch.no_grad():
        Watch(fx.GraphModule(values, graph).eval()).run(example)
    return frozenset(found)


def tensors_read(node: fx.Node, values: dict[str, Any]) -> Iterator[tuple[str, nn.Module | None, Tensor]]:
    """The parameters and buffers that a node reads.

    Args:
        node: A node of a traced graph.
        values: Modules and tensors by the names that nodes use (`Trace.values`).

    Yields:
        The tensor's path in the network, the module that holds it (None if the network's forward reads the tensor
        directly), and the tensor.
    """
    if node.op == "call_module":
        module = values[str(node.target)]
        for prefix, inner in module.named_modules(prefix=str(node.target)):
            for name, tensor in [*inner._parameters.items(), *inner._buffers.items()]:
                if tensor is not None:
                    yield f"{prefix}.{name}", inner, tensor
    elif node.op == "get_attr" and isinstance(values[str(node.target)], Tensor):
        yield str(node.target), None, values[str(node.target)]
