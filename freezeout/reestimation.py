"""Recomputing the running statistics of stages that are about to freeze: strategy.bn=reestimate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase


@torch.no_grad()
def reestimate(stages: Sequence[nn.Module], first: int, last: int, batches: Iterable[Any]) -> None:
    """Replace the running statistics of some stages by plain means over batches, computed with the current weights.

    In training, running statistics are an average over the last ten or twenty steps and lag behind the weights. Here,
    all batches have equal weight. The stages in question normalise each batch by its own statistics, as in training;
    those before them use their running statistics. Dropout is off. Afterwards, all stages before `last` are in
    evaluation mode.

    Args:
        stages: In running order.
        first: The first stage whose statistics are replaced.
        last: The stage after the last of these.
        batches: Inputs of stage 0.

    Raises:
        ValueError: There is no batch.

    Source: PreciseBN (Wu and Johnson 2021, arXiv 2105.07576, section 3); torch.optim.swa_utils.update_bn does the same
    for a whole network.
    """
    for stage in stages[:last]:
        stage.eval()
    found = {id(m): m for stage in stages[first:last] for m in stage.modules() if isinstance(m, _NormBase)}
    norms = [m for m in found.values() if m.track_running_stats]
    momenta = [m.momentum for m in norms]
    for m in norms:
        m.reset_running_stats()
        m.momentum = None  # torch's convention for the plain mean of all batches
        m.train()
    seen = 0
    try:
        with torch.compiler.set_stance("force_eager"):  # not worth compiling for these modes
            for x in batches:
                seen += 1
                for stage in stages[:last]:
                    x = stage(x)
    finally:
        for m, momentum in zip(norms, momenta, strict=True):
            m.momentum = momentum
            m.eval()
    if not seen:
        raise ValueError("bn=reestimate: there is no batch to compute the running statistics from")
