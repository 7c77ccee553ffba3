"""Adaptive strategies under Hugging Face's Trainer: what they have seen is in the checkpoint, and found again."""

from __future__ import annotations

import pytest
import torch
from made_trainers import STEPS, TrainerCallback, bert, equal, made, weights

from freezeout.adaptive import AutoFreeze, WeightDelta
from freezeout.plugins.kept import KEY
from freezeout.strategies import Baseline

plugin = pytest.importorskip("freezeout.plugins.huggingface")
FreezeOutCallback = plugin.FreezeOutCallback

# Advice about loaders and devices, and what transformers and accelerate do that torch no longer likes.
pytestmark = [pytest.mark.filterwarnings("ignore")]

RULES = {"autofreeze": AutoFreeze(intervals=6), "weight_delta": WeightDelta(intervals=6, threshold=0.0625)}
every = pytest.mark.parametrize("name", RULES)


def trained(folder, name: str, resume=None, **options):
    """A Trainer after its run, its callback, and when each stage froze."""
    callback = FreezeOutCallback(RULES[name])
    trainer = made(folder, bert, callback, warmup_steps=0, **options)
    trainer.train(resume_from_checkpoint=resume and str(resume))
    return trainer, callback, callback.freezer.times


@every
@pytest.mark.parametrize("stopped_after", [3, 5, 6], ids=["before the first", "within an interval", "at its end"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_resumed_run_is_the_run_that_was_never_stopped_bitwise(tmp_path, name, stopped_after, accumulate) -> None:
    options = {"save_strategy": "steps", "save_steps": stopped_after, "gradient_accumulation_steps": accumulate}
    options |= {"num_train_epochs": 3 * accumulate}
    through, _, times = trained(tmp_path, name, **options)
    assert any(stopped_after / STEPS <= time < 1.0 for time in times)
    checkpoint = (tmp_path / f"checkpoint-{stopped_after}").rename(tmp_path / "elsewhere")
    again, callback, own = trained(tmp_path / "new", name, checkpoint, **options)
    assert len(again.watch.seen) == STEPS - stopped_after
    assert own == times
    assert callback.freezer.state_dict()["adaptive"]["state"]["prefix"] == callback.freezer.prefix
    assert equal(weights(again), weights(through))
    assert not any(KEY in group for group in callback._optimizer.param_groups)


@every
def test_with_what_was_seen_of_the_interval_forgotten_it_would_be_another_run(tmp_path, name) -> None:
    options = {"save_strategy": "steps", "save_steps": 5, "gradient_accumulation_steps": 2, "num_train_epochs": 6}
    through, _, _ = trained(tmp_path, name, **options)
    file = tmp_path / "checkpoint-5" / "optimizer.pt"
    state = torch.load(file)
    for own in state["param_groups"][0][KEY]["adaptive"]["observed"]:
        for tensor in own:
            tensor.zero_()
    torch.save(state, file)
    again, _, _ = trained(tmp_path, name, file.parent, **options)
    assert not equal(weights(again), weights(through))


class Stops(TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        control.should_training_stop = state.global_step == 5


@every
def test_the_same_trainer_goes_on_from_its_last_checkpoint(tmp_path, name) -> None:
    options = {"save_strategy": "steps", "save_steps": 5}
    through, _, times = trained(tmp_path / "through", name, **options)
    callback = FreezeOutCallback(RULES[name])
    trainer = made(tmp_path, bert, callback, warmup_steps=0, **options)
    trainer.add_callback(Stops)
    trainer.train()
    trainer.remove_callback(Stops)
    trainer.train(resume_from_checkpoint=True)
    assert callback.freezer.times == times
    assert equal(weights(trainer), weights(through))


@every
@pytest.mark.parametrize("how", ["without it", "of the weights alone", "of another strategy"])
def test_a_checkpoint_without_its_state_is_refused_in_one_line(tmp_path, name, how) -> None:
    writers = {"without it": None, "of another strategy": FreezeOutCallback(Baseline())}
    writer = writers.get(how, FreezeOutCallback(RULES[name]))
    alone = how == "of the weights alone"
    made(tmp_path, bert, writer, save_strategy="steps", save_steps=5, save_only_model=alone).train()
    with pytest.raises(
        ValueError, match=r"^the checkpoint of step 5 has no state of an adaptive strategy: it was "
    ) as caught:
        trained(tmp_path, name, tmp_path / "checkpoint-5")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("strategy", [*RULES.values(), Baseline()], ids=[*RULES, "baseline"])
def test_a_checkpoint_of_a_run_of_another_length_is_refused(tmp_path, strategy) -> None:
    made(tmp_path, bert, FreezeOutCallback(strategy), save_strategy="steps", save_steps=5).train()
    longer = made(tmp_path, bert, FreezeOutCallback(strategy), num_train_epochs=4)
    with pytest.raises(ValueError, match=r"^the checkpoint is of a run of 12 steps, and this one has 16: stages would"):
        longer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-5"))


def test_a_checkpoint_trains_on_without_freezing_too(tmp_path) -> None:
    """As it did when the state was not in it: torch's optimizers do not look at what else a group holds."""
    trained(tmp_path, "autofreeze", save_strategy="steps", save_steps=5)
    plain = made(tmp_path, bert)
    plain.train(resume_from_checkpoint=str(tmp_path / "checkpoint-5"))
    assert plain.state.global_step == STEPS
