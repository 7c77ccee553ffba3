"""Composer's functional form of layer freezing, for loops that call it once an epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from torch import nn
from torch.optim import Optimizer

from freezeout.checks import check_share
from freezeout.schedule import linear_depth
from freezeout.stages.chain import Chain


def freeze_layers(
    model: nn.Module,
    optimizers: Optimizer | Sequence[Optimizer],
    current_duration: float,
    freeze_start: float = 0.5,
    freeze_level: float = 1.0,
) -> tuple[int, float]:
    """Freeze the first layers of a network, more of them the longer it has trained.

    Nothing is remembered between calls. To resume, load the states of model and optimizers, in any order and also
    after a call, and go on calling: in Composer that is an error, since frozen parameters have left the groups.

    A frozen layer computes no gradient, and the optimizers keep no state for it. As in Composer, its BatchNorm goes on
    normalising with the batch and moving its running statistics; `FreezeOut` freezes these, too.

    Args:
        model: Its layers are the stages of a Chain (see `find_stages`); of any other network the modules that hold
            parameters and no other modules, in the order of registration, as in Composer. Parameters of a module that
            holds others (class tokens) are of no layer; those that a later layer shares wait for it.
        optimizers: One or several, over its parameters.
        current_duration: Fraction of training completed, in [0, 1].
        freeze_start: Fraction of training after which layers freeze, in [0, 1).
        freeze_level: Fraction of the layers, the last one not counted, that are frozen at the end, in [0, 1].

    Returns:
        How many layers are frozen, and freeze_level times the share of the freezing time that is over.

    Raises:
        ValueError: A fraction lies outside its range, or the network has no layer.

    Source: Composer 0.32, composer/algorithms/layer_freezing.
    """
    check_share("current_duration", current_duration, zero=True)
    check_share("freeze_start", freeze_start, zero=True, one=False)
    check_share("freeze_level", freeze_level, zero=True)
    layers = list(model) if isinstance(model, Chain) else list(leaves(model))
    if not layers:
        raise ValueError(f"{type(model).__name__} has no layer with parameters: there is nothing to freeze")
    depth, fraction = linear_depth(len(layers), current_duration, freeze_start, freeze_level)
    trained = {id(p) for layer in layers[depth:] for p in layer.parameters()}
    every: Iterable[Optimizer] = (optimizers,) if isinstance(optimizers, Optimizer) else optimizers
    for p in (p for layer in layers[:depth] for p in layer.parameters() if id(p) not in trained):
        p.requires_grad_(False)
        p.grad = None  # without one every optimizer passes over it, decay and momentum included
        for optimizer in every:
            optimizer.state.pop(p, None)
    return depth, fraction


def leaves(module: nn.Module) -> Iterator[nn.Module]:
    """The modules with parameters and without children, in the order of registration."""
    children = list(module.children())
    if not children and any(True for _ in module.parameters()):
        yield module
    for child in children:
        yield from leaves(child)
