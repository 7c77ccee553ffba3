"""The optimizers, from their fields."""

from __future__ import annotations

from torch.optim import SGD, AdamW, Optimizer

from freezeout.stages.chain import Chain
from freezeout.train.schema import AdamW as AdamWFields
from freezeout.train.schema import Sgd as SgdFields


def make_optimizer(fields: SgdFields | AdamWFields, chain: Chain, *, capture: bool = False) -> Optimizer:
    """One kernel a group instead of several a parameter; on CUDA the one kind that reads its rate on the device."""
    if isinstance(fields, SgdFields):
        return SGD(
            chain.parameters(),
            lr=fields.lr,
            momentum=fields.momentum,
            nesterov=fields.nesterov,
            weight_decay=fields.weight_decay,
            fused=True,
        )
    return AdamW(
        chain.parameters(),
        lr=fields.lr,
        betas=(fields.beta1, fields.beta2),
        weight_decay=fields.weight_decay,
        fused=True,
        capturable=capture,
    )
