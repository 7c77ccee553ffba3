"""The stages of a traced network: its graph cut where exactly one tensor is live."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable

from torch import fx, nn

from freezeout.stages.tracing import Trace, is_norm, tensors_read, unused_name


def points(traced: Trace) -> list[int]:
    """The positions at which a graph can be cut, because exactly one tensor crosses them.

    A value crosses a position if it is computed before it and used after it. A parameter or buffer that is read on both
    sides crosses it too, so weights that are used twice are always inside one stage.

    Args:
        traced: The network.

    Returns:
        Indices i into `traced.nodes`, ascending: the graph can be cut after node i. The first is the input's.
    """
    nodes = traced.nodes
    index = {node: i for i, node in enumerate(nodes)}
    last = [max((index[user] for user in node.users), default=i) for i, node in enumerate(nodes)]
    read: dict[int, list[int]] = {}
    for i, node in enumerate(nodes):
        for _, _, tensor in tensors_read(node, traced.values):
            read.setdefault(id(tensor), []).append(i)
    spans = [(min(at), max(at)) for at in read.values() if min(at) < max(at)]
    found = []
    for i, node in enumerate(nodes[:-1]):
        live = [a for a in range(i + 1) if last[a] > i]
        straddled = any(first <= i < end for first, end in spans)
        # Only after a node that gives a tensor: after one that reads a size, say, the cut would repeat the one before.
        if len(live) == 1 and node in traced.tensors and not straddled:
            (value,) = (nodes[a] for a in live)
            if value in traced.tensors and value.op != "get_attr":
                found.append(i)
    return found


def cut(traced: Trace, model: nn.Module) -> dict[str, fx.GraphModule]:
    """Cuts a traced network into stages: consecutive pieces of its graph that share the network's own modules.

    A piece without parameters, or with those of normalisation layers only, is joined to the piece before it, or, at the
    beginning of the network, to the piece after it. Parameters and buffers that forward never reads are in the last
    stage, which never freezes.

    Args:
        traced: The network's graph.
        model: The network.

    Returns:
        The stages in running order, each named by the path of its first layer or parameter.

    Raises:
        ValueError: The network returns anything but one tensor.
    """
    nodes = traced.nodes
    end, result = len(nodes) - 1, nodes[-1].args[0]
    if not isinstance(result, fx.Node) or result not in traced.tensors:
        raise ValueError("the network must return a single tensor: logits (batch, classes)")
    inner = [p for p in points(traced) if nodes[p] is not result]
    starts: dict[int, str] = {}  # the point at which a stage begins: the path of its first weight
    for a, b in itertools.pairwise([*inner, end]):
        if first := _first_weight(traced, model, nodes[a + 1 : b + 1]):
            starts[a if starts else 0] = first
    starts = starts or {0: next(model.named_parameters())[0]}
    read = {id(t) for node in nodes for _, _, t in tensors_read(node, traced.values)}
    unread = {k: t for k, t in [*model.named_parameters(), *model.named_buffers()] if id(t) not in read}
    stages: dict[str, fx.GraphModule] = {}
    earlier: set[int] = set()
    for a, b in itertools.pairwise([*starts, end]):
        values = {**traced.values, **_own_stateless(traced, nodes[a + 1 : b + 1], earlier), **unread}
        piece = _piece(nodes, a, b, unread if b == end else {})
        stages[unused_name(starts[a], stages)] = fx.GraphModule(values, piece, class_name="Stage")
    return stages


def _first_weight(traced: Trace, model: nn.Module, nodes: list[fx.Node]) -> str | None:
    """The target of the first of these nodes that reads parameters; None if only normalisation layers have any."""
    first, only_norms = None, True
    for node in nodes:
        for path, module, tensor in tensors_read(node, traced.values):
            if isinstance(tensor, nn.Parameter):
                owner = module or model.get_submodule(path.rpartition(".")[0])
                only_norms = only_norms and is_norm(owner)
                first = first or str(node.target)
    return None if only_norms else first


def _own_stateless(traced: Trace, nodes: list[fx.Node], earlier: set[int]) -> dict[str, nn.Module]:
    """A stage's own copies of modules that an earlier stage runs too. Adds this stage's modules to `earlier`, by id.

    Such modules hold no parameters; otherwise the stages would be one. Without copies, a Dropout that is used
    throughout a network would be switched off everywhere as soon as the first stage freezes.
    """
    called = {str(node.target): traced.values[str(node.target)] for node in nodes if node.op == "call_module"}
    own = {path: copy.copy(module) for path, module in called.items() if id(module) in earlier}
    earlier |= {id(module) for module in called.values()}
    return own


def _piece(nodes: list[fx.Node], a: int, b: int, unread: Iterable[str]) -> fx.Graph:
    """The graph of nodes a + 1 to b: its input is the tensor that crosses after a, its output the one after b.

    `unread` names parameters and buffers that the piece must hold although no node uses them.
    """
    index = {node: i for i, node in enumerate(nodes)}
    graph = fx.Graph()
    x = graph.placeholder("x")
    known: dict[fx.Node, fx.Node] = dict.fromkeys(nodes[: a + 1], x)
    for node in nodes[a + 1 : b + 1]:
        if node.op != "output":
            known[node] = graph.node_copy(node, known.__getitem__)
    for path in unread:
        graph.get_attr(path)
    last = index[nodes[-1]] == b
    (out,) = nodes[-1].all_input_nodes if last else [n for n in nodes[: b + 1] if any(index[u] > b for u in n.users)]
    graph.output(known[out])
    return graph
