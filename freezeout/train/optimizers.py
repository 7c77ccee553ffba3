"""The optimizers, from their fields."""

from __future__ import annotations

from typing import Any

from torch import optim

from freezeout.stages.chain import Chain
from freezeout.train.schema import AdamW, Sgd


def make_optimizer(fields: Any, chain: Chain, *, capture: bool = False) -> optim.Optimizer:
    """The optimizer of a network: one fused kernel per group instead of several per parameter.

    Args:
        fields: An instance of one of `freezeout.train.schema.OPTIMIZERS`.
        chain: The network, on its device.
        capture: Whether steps are captured in CUDA graphs, so that all of the optimizer's state lies on the device.

    Raises:
        ValueError: The fields are of no optimizer that is known here.
    """
    parameters = chain.parameters()
    if isinstance(fields, Sgd):
        return optim.SGD(
            parameters,
            lr=fields.lr,
            momentum=fields.momentum,
            nesterov=fields.nesterov,
            weight_decay=fields.weight_decay,
            fused=True,
        )
    if isinstance(fields, AdamW):
        return optim.AdamW(
            parameters,
            lr=fields.lr,
            betas=(fields.beta1, fields.beta2),
            weight_decay=fields.weight_decay,
            fused=True,
            capturable=capture,
        )
    raise ValueError(f"optimizer={type(fields).__name__}: there is no such optimizer; there are sgd and adamw")
