"""torch.compile of a whole network that freezes: one graph per prefix, and no silent fallback to eager execution."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from torch import nn


def compile_whole(network: nn.Module, events: int, **options: Any) -> Callable[..., Any]:
    """Compile a network so that none of its training steps silently runs eagerly.

    Args:
        network: The network that freezes; it is compiled again at each freeze event.
        events: Number of freeze events.
        options: Keyword arguments of torch.compile.

    Returns:
        The compiled network. It raises torch's FailOnRecompileLimitHit where torch would otherwise only log that it
        stops compiling. Other input shapes and passes in evaluation mode count as graphs, too.

    Raises:
        ValueError: Freezing alone needs more graphs than torch keeps.
    """
    config = torch._dynamo.config
    if events + 1 > config.recompile_limit:
        raise ValueError(
            f"{events} freeze events make {events + 1} graphs, but torch keeps {config.recompile_limit} per function "
            f"(torch._dynamo.config.recompile_limit): FreezeOut(..., max_events={config.recompile_limit - 1})"
        )
    if "isolate_recompiles" in signature(torch.compile).parameters:  # in newer torch only
        # Otherwise the graphs of all networks of a class count together, and a process's second network hits the limit.
        options = {"isolate_recompiles": True, **options}
    compiled = torch.compile(network, **options)

    def forward(*args: Any, **kwargs: Any) -> Any:
        with config.patch(fail_on_recompile_limit_hit=True):
            return compiled(*args, **kwargs)

    return forward
