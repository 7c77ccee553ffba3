"""Composer's functional form of layer freezing, for training loops that call it once per epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from torch import nn
from torch.optim import Optimizer

from freezeout.checks import check_share
from freezeout.schedule import frozen_prefix, linear_depth
from freezeout.stages.chain import Chain
from freezeout.strategy import REESTIMATE, Adaptive, Strategy, check_strategy

START, LEVEL = 0.5, 1.0  # Composer's defaults


def freeze_layers(
    model: nn.Module,
    optimizers: Optimizer | Sequence[Optimizer],
    current_duration: float,
    freeze_start: float = START,
    freeze_level: float = LEVEL,
    *,
    strategy: Strategy | None = None,
) -> tuple[int, float]:
    """Freeze the first layers of a network: the longer it has trained, the more layers.

    Nothing is remembered between calls. To resume, load the states of model and optimizers, in any order, before or
    after a call, and continue calling. (In Composer this is an error, because frozen parameters have been removed from
    the optimizer's groups.)

    A frozen layer computes no gradient, and the optimizers keep no state for it; the learning rate of other layers is
    unchanged. As in Composer, its BatchNorm continues to use batch statistics and to update its running statistics.
    With a strategy whose bn is "eval", it uses its running statistics, which stay constant, provided that this is
    called after each model.train():

    >>> model.train()
    >>> freeze_layers(model, optimizer, epoch / epochs, strategy=FreezeOnly(t_0=0.8))

    Args:
        model: A Chain, whose stages are its layers (see `find_stages`), or any other network, whose layers are the
            modules with parameters and without children, in the order of registration, as in Composer. Parameters held
            directly by a module with children (class tokens) belong to no layer and never freeze. A parameter shared
            with a later layer freezes with that layer.
        optimizers: One or several, over the model's parameters.
        current_duration: Fraction of training completed, in [0, 1].
        freeze_start: Fraction of training at which freezing begins, in [0, 1).
        freeze_level: Fraction of the layers, not counting the last, that are frozen at the end, in [0, 1].
        strategy: Replaces freeze_start and freeze_level. Its freeze times must be known in advance and it must not
            change learning rates, such as `freezeout.strategies.FreezeOnly`.

    Returns:
        The number of frozen layers, and freeze_level times the elapsed share of the time from freeze_start to the end;
        with a strategy, the frozen share of the layers, not counting the last.

    Raises:
        ValueError: A fraction is outside its range, the network has no layer, the strategy is of an unsuitable kind, or
            it is given together with the two fractions that it replaces.

    Source: Composer 0.32, composer/algorithms/layer_freezing.
    """
    check_share("current_duration", current_duration, zero=True)
    check_share("freeze_start", freeze_start, zero=True, one=False)
    check_share("freeze_level", freeze_level, zero=True)
    layers = list(model) if isinstance(model, Chain) else list(leaves(model))
    if not layers:
        raise ValueError(f"{type(model).__name__} has no layer with parameters: there is nothing to freeze")
    if strategy is None:
        depth, fraction = linear_depth(len(layers), current_duration, freeze_start, freeze_level)
    else:
        if (freeze_start, freeze_level) != (START, LEVEL):
            given = f"freeze_start={freeze_start}, freeze_level={freeze_level}"
            raise ValueError(f"{given}: strategy={type(strategy).__name__} says when layers freeze: give only one")
        depth = depth_of(strategy, len(layers), current_duration)
        fraction = depth / max(1, len(layers) - 1)
    trained = {id(p) for layer in layers[depth:] for p in layer.parameters()}
    every: Iterable[Optimizer] = (optimizers,) if isinstance(optimizers, Optimizer) else optimizers
    for p in (p for layer in layers[:depth] for p in layer.parameters() if id(p) not in trained):
        p.requires_grad_(False)
        p.grad = None  # optimizers skip parameters without a gradient, weight decay and momentum included
        for optimizer in every:
            optimizer.state.pop(p, None)
    if strategy is not None and strategy.bn == "eval":
        for layer in layers[:depth]:
            layer.eval()
    return depth, fraction


def depth_of(strategy: Strategy, n: int, t: float) -> int:
    """How many of n layers a strategy has frozen at t.

    Raises:
        ValueError: The strategy is adaptive, changes learning rates, or recomputes running statistics.
    """
    check_strategy(strategy)
    schedule = strategy.schedule(n)
    if isinstance(strategy, Adaptive) or {*schedule.anneal} != {1.0} or strategy.bn == REESTIMATE:
        name = type(strategy).__name__
        raise ValueError(f"strategy={name}: freeze_layers only freezes; FreezeOut(...) does what this needs")
    return min(frozen_prefix(t, schedule.freeze), n - 1)


def leaves(module: nn.Module) -> Iterator[nn.Module]:
    """The modules with parameters and without children, in the order of registration."""
    children = list(module.children())
    if not children and any(True for _ in module.parameters()):
        yield module
    for child in children:
        yield from leaves(child)
