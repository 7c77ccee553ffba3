"""Adaptive strategies under Composer's Trainer: what they have seen is in the checkpoint, and found again.

Composer has an environment of its own: make test-composer.
"""

from __future__ import annotations

import pytest
import torch
from made_chains import equal, small_chain
from made_composer import STEPS, Model, fitted

from freezeout.adaptive import AutoFreeze, WeightDelta

pytest.importorskip("composer", reason="make composer-env")
from freezeout.plugins.composer import FreezeOutAlgorithm

# Advice about loaders and metrics, and what Composer itself does that torch and Python no longer like.
pytestmark = [pytest.mark.filterwarnings("ignore")]

RULES = {"autofreeze": AutoFreeze(intervals=6), "weight_delta": WeightDelta(intervals=6, threshold=0.05)}
every = pytest.mark.parametrize("name", RULES)


def through(folder, name: str, stopped_after: int):
    """The network of a whole run that leaves checkpoints, and when each stage froze in it."""
    algorithm = FreezeOutAlgorithm(RULES[name])
    saving = {"save_folder": str(folder), "save_interval": f"{stopped_after}ba", "save_filename": "{batch}.pt"}
    trainer = fitted(algorithm, **saving)
    return trainer.state.model.network, algorithm.freezer.times


def resumed(folder, name: str, stopped_after: int):
    model, algorithm = Model(small_chain()), FreezeOutAlgorithm(RULES[name])
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    trainer = fitted(algorithm, model=model, load_path=str(folder / f"{stopped_after}.pt"))
    assert len(trainer.watch.seen) == STEPS - stopped_after
    return trainer.state.model.network, algorithm.freezer


@every
@pytest.mark.parametrize("stopped_after", [3, 5, 6], ids=["mid-epoch", "within an interval", "at its end"])
def test_a_resumed_run_is_the_run_that_was_never_stopped_bitwise(tmp_path, name, stopped_after) -> None:
    whole, times = through(tmp_path, name, stopped_after)
    assert any(stopped_after / STEPS <= time < 1.0 for time in times), "something freezes afterwards"
    again, freezer = resumed(tmp_path, name, stopped_after)
    assert freezer.times == times
    assert freezer.state_dict()["adaptive"]["state"]["prefix"] == freezer.prefix > 0
    assert equal(again, whole)


@every
def test_with_something_else_seen_of_the_interval_it_would_be_another_run(tmp_path, name) -> None:
    whole, _ = through(tmp_path, name, 5)
    file = tmp_path / "5.pt"
    checkpoint = torch.load(file, weights_only=False)
    ((_, state),) = [kept for kept in checkpoint["state"]["algorithms"] if kept[0] == "FreezeOutAlgorithm"]
    active = next(own for own in state["adaptive"]["observed"] if own)
    for tensor in active:
        tensor.mul_(1000.0)
    torch.save(checkpoint, file)
    again, _ = resumed(tmp_path, name, 5)
    assert not equal(again, whole)
