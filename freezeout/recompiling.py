"""torch.compile of a whole network that freezes: a graph for each number of frozen stages, and never eager unseen."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from torch import nn


def compile_whole(network: nn.Module, events: int, **options: Any) -> Callable[..., Any]:
    """A network, compiled, with the promise that none of its training steps runs eagerly.

    Args:
        network: What freezes; each freeze event compiles it once more.
        events: How many steps there are at which something freezes.
        options: Of torch.compile.

    Returns:
        The compiled network. It raises torch's FailOnRecompileLimitHit where torch would otherwise give up compiling
        with a line in the log: other shapes and passes in evaluation mode are graphs, too.

    Raises:
        ValueError: Freezing alone needs more graphs than torch keeps.
    """
    config = torch._dynamo.config
    if events + 1 > config.recompile_limit:
        raise ValueError(
            f"{events} freeze events make {events + 1} graphs, and torch keeps {config.recompile_limit} of a function "
            f"(torch._dynamo.config.recompile_limit): FreezeOut(..., max_events={config.recompile_limit - 1})"
        )
    if "isolate_recompiles" in signature(torch.compile).parameters:  # in newer torch only
        # Or the graphs of all networks of one class count together, and the second one of a process finds none left.
        options = {"isolate_recompiles": True, **options}
    compiled = torch.compile(network, **options)

    def forward(*args: Any, **kwargs: Any) -> Any:
        with config.patch(fail_on_recompile_limit_hit=True):
            return compiled(*args, **kwargs)

    return forward
