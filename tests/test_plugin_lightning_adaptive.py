"""Adaptive strategies under Lightning's Trainer: what they have seen is in the checkpoint, and found again."""

from __future__ import annotations

import pytest
import torch
from made_chains import equal, small_chain
from made_lightning import STEPS, Classifier, batches, trainer

from freezeout import FreezeOut
from freezeout.adaptive import AutoFreeze, WeightDelta

pytest.importorskip("lightning", reason="pip install 'freezeout[lightning]'")
from lightning.pytorch.callbacks import ModelCheckpoint

from freezeout.plugins.lightning import FreezeOutCallback

# Advice about loaders, folders and devices, and what Lightning itself does that torch and Python no longer like.
pytestmark = [pytest.mark.filterwarnings("ignore")]

RULES = {"autofreeze": AutoFreeze(intervals=6), "weight_delta": WeightDelta(intervals=6, threshold=0.05)}
every = pytest.mark.parametrize("name", RULES)


def through(tmp_path, name: str, every_n: int, scheduler: bool = False) -> tuple[Classifier, tuple[float, ...]]:
    """A whole run that leaves checkpoints, and when each stage froze in it."""
    keep = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=every_n, save_top_k=-1)
    module, callback = Classifier(small_chain(), scheduler), FreezeOutCallback(RULES[name])
    trainer(tmp_path, callback, keep).fit(module, batches())
    return module, callback.freezer.times


def resumed(tmp_path, name: str, step: int, scheduler: bool = False) -> tuple[Classifier, FreezeOut]:
    module, callback = Classifier(small_chain(), scheduler), FreezeOutCallback(RULES[name])
    fitting = trainer(tmp_path, callback, enable_checkpointing=False)
    fitting.fit(module, batches(), ckpt_path=tmp_path / f"step={step}.ckpt")
    return module, callback.freezer


@every
@pytest.mark.parametrize("stopped_after", [3, 5, 6], ids=["mid-epoch", "within an interval", "at its end"])
@pytest.mark.parametrize("scheduler", [False, True], ids=["set", "scale"])
def test_a_resumed_run_is_the_run_that_was_never_stopped_bitwise(tmp_path, name, stopped_after, scheduler) -> None:
    whole, times = through(tmp_path, name, stopped_after, scheduler)
    assert any(stopped_after / STEPS <= time < 1.0 for time in times), "something freezes afterwards"
    again, freezer = resumed(tmp_path, name, stopped_after, scheduler)
    assert len(again.seen) == STEPS - stopped_after
    assert freezer.times == times
    assert freezer.state_dict()["adaptive"]["state"]["prefix"] == freezer.prefix > 0
    assert equal(again.network, whole.network)


@every
def test_with_something_else_seen_of_the_interval_it_would_be_another_run(tmp_path, name) -> None:
    whole, _ = through(tmp_path, name, 5)
    file = tmp_path / "step=5.ckpt"
    checkpoint = torch.load(file, weights_only=False)
    active = next(own for own in checkpoint["callbacks"]["freezeout"]["adaptive"]["observed"] if own)
    for tensor in active:
        tensor.mul_(1000.0)
    torch.save(checkpoint, file)
    again, _ = resumed(tmp_path, name, 5)
    assert not equal(again.network, whole.network)
