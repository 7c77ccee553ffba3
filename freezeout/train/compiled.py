"""torch.compile, one stage at a time, entirely before the first training step.

A stage runs in three ways: active; as the first active stage, without a gradient for its input; and frozen. So there
are at most three graphs per stage, instead of a graph of the whole network for each prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from freezeout.train.step import Step

LIMIT = 1024  # compiled versions of one function: a function at a graph break may be shared by many stages


def compile_stages(step: Step, images: Tensor, *, ahead: int = 1, backend: str | Callable = "inductor") -> None:
    """Compile every stage of a step, and run each graph once, forward and backward.

    The network's parameters, buffers and gradients are restored afterwards; torch's random state is not.

    Args:
        step: The eager step; its stages and the templates of its prefix are compiled in place.
        images: A preprocessed batch; batches of another shape would be compiled again.
        ahead: Number of batches that the frozen prefix may receive at once; if above 1, its stages get one more graph.
        backend: Backend of torch.compile.
    """
    torch._dynamo.reset()  # otherwise a process that makes many runs would keep the graphs of all of them
    torch._dynamo.config.recompile_limit = LIMIT
    torch._dynamo.config.accumulated_recompile_limit = LIMIT
    stages, prefix = list(step.stages), step.prefix
    templates = [prefix.prepared(i) for i in range(len(stages))]
    for module in {id(m): m for m in [*stages, *templates]}.values():
        module._compiled_call_impl = torch.compile(_own_call(module), dynamic=False, backend=backend)
    prefix.templates = templates
    with _untouched(stages):
        _train(step, stages, 0, images)
        for k in range(1, len(stages)):
            images = _freeze(step, stages[k - 1], templates[k - 1], images, ahead)
            _train(step, stages[k : k + 1], k, images)


def _own_call(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """The module's call as a function with a code object of its own.

    torch stores compiled versions by code object, searches all of them at each call, and limits their number. With
    `Module.compile` all modules share the code object of `Module._call_impl`, and torch 2.11 does not compile modules
    of torch's own classes (Conv2d, Sequential) at all.
    """

    def call(x: Tensor) -> Tensor:
        return module._call_impl(x)

    call.__code__ = call.__code__.replace()
    return call


def _train(step: Step, stages: list[nn.Module], first: int, x: Tensor) -> None:
    with step.autocast(), step.counting(first):
        for stage in stages:
            x = stage(x)
    x.float().sum().backward()


def _freeze(step: Step, stage: nn.Module, template: nn.Module, x: Tensor, ahead: int) -> Tensor:
    """The stage's output as when frozen: no gradients, and evaluation mode unless frozen stages update statistics."""
    flags = [(p, p.requires_grad) for p in stage.parameters()]
    for p, _ in flags:
        p.requires_grad_(False)
    mode = stage.training
    stage.train(mode and not step.prefix.pure)
    with torch.no_grad(), step.autocast():
        if ahead > 1:
            template(torch.cat([x] * ahead))
        x = template(x)
    stage.train(mode)
    for p, flag in flags:
        p.requires_grad_(flag)
    return x


@contextmanager
def _untouched(stages: list[nn.Module]) -> Iterator[None]:
    """A context after which running statistics are restored and gradients cleared."""
    buffers = [b for stage in stages for b in stage.buffers()]
    kept = [b.clone() for b in buffers]
    try:
        yield
    finally:
        for b, before in zip(buffers, kept, strict=True):
            b.copy_(before)
        for stage in stages:
            stage.zero_grad(set_to_none=True)
