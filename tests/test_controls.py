"""A FreezeOut whose frozen stages normalise as in training is its control lr_only, bit for bit, in less time.

From the step at which lr_only's rate of a stage is 0, SGD changes no weight there (nor does its decay, which the
rate multiplies), and with bn=train a frozen stage normalises by the batch and moves its running statistics as that
of lr_only does.
What is left of freezing is the backward pass that nobody needs.
"""

from __future__ import annotations

import pytest
import torch
from launched import only_run

from freezeout.records import read_lines, read_record

SCHEDULES = [("cubic", "true", 0.5), ("cubic", "false", 0.8), ("linear", "true", 0.3), ("linear", "false", 0.5)]


def trained(freezeout, out, *words: str):
    """The record, the losses of each epoch, and the weights and buffers after the last step."""
    said = freezeout(f"out={out}", "model=densenet_bc_16_4", "epochs=2", "batch_size=100", *words)
    assert said.code == 0, said.err
    folder = only_run(out)
    losses = [
        [epoch[key] for key in ("train_loss", "eval_loss", "error")] for epoch in read_lines(folder / "metrics.jsonl")
    ]
    return read_record(folder), losses, torch.load(folder / "checkpoint.pt", weights_only=True)["model"]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(value, b[key]) for key, value in a.items())


@pytest.mark.parametrize(("how_scale", "scale_lr", "t_0"), SCHEDULES)
def test_freezing_with_batch_statistics_trains_bit_for_bit_what_rates_alone_train(
    freezeout, tmp_path, how_scale: str, scale_lr: str, t_0: float
) -> None:
    schedule = [f"strategy.how_scale={how_scale}", f"strategy.scale_lr={scale_lr}", f"t_0={t_0}"]
    frozen, losses, weights = trained(
        freezeout, tmp_path / "frozen", "strategy=freezeout", "strategy.bn=train", *schedule
    )
    rates, own_losses, own_weights = trained(freezeout, tmp_path / "rates", "strategy=lr_only", *schedule)
    assert max(block["prefix"] for block in frozen["prefixes"]) > 1
    assert {block["prefix"] for block in rates["prefixes"]} == {0}
    assert losses == own_losses
    assert same(weights, own_weights)
    _, _, still = trained(freezeout, tmp_path / "still", "strategy=freezeout", *schedule)
    assert not same(still, own_weights), "running statistics that stand still are another network"
