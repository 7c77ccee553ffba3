"""The callback for Hugging Face's Trainer: BERT and ViT freeze beside its warm-up, and resume exactly."""

from __future__ import annotations

import doctest
import json
import math
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from made_trainers import EARLY, STEPS, Trainer, TrainerCallback, arguments, bert, equal, made, vit, weights
from torch import nn

from freezeout import FreezeOut, find_stages
from freezeout.strategies import Baseline
from freezeout.strategies import FreezeOut as Schedule

plugin = pytest.importorskip("freezeout.plugins.huggingface")
state = pytest.importorskip("accelerate.state")
FreezeOutCallback = plugin.FreezeOutCallback

# Advice about loaders and devices, and what transformers and accelerate do that torch no longer likes.
pytestmark = [pytest.mark.filterwarnings("ignore")]


class SaysAnything(doctest.OutputChecker):
    def check_output(self, want, got, optionflags):
        return True


def test_the_lines_of_the_docstring_train_and_freeze(tmp_path) -> None:
    model, data = bert()
    names = {"Trainer": Trainer, "FreezeOutCallback": FreezeOutCallback, "Schedule": Schedule, "model": model}
    names |= {"arguments": arguments(tmp_path), "data": data}
    (example,) = doctest.DocTestFinder(recurse=False).find(FreezeOutCallback, globs=names)
    assert len(example.examples) == 3
    doctest.DebugRunner(checker=SaysAnything()).run(example, clear_globs=False)
    freezer = example.globs["freezing"].freezer
    assert (freezer.prefix, freezer.steps_begun, len(freezer.stages)) == (4, STEPS, 5)


@pytest.mark.parametrize("build", [bert, vit])
def test_what_is_frozen_stands_still_and_asleep(tmp_path, build) -> None:
    callback = FreezeOutCallback(EARLY)
    trainer = made(tmp_path, build, callback)
    awake: list[set[bool]] = []
    block = next(m for m in trainer.model.modules() if isinstance(m, nn.ModuleList))[0]
    block.register_forward_hook(lambda module, *_: awake.append({m.training for m in module.modules()}))
    trainer.train()
    freezer = callback.freezer
    assert freezer.prefix == 4
    events = [freezer.schedule.freeze_step(i, STEPS) for i in range(5)]
    index = {id(p): n for n, p in enumerate(trainer.model.parameters())}
    for stage, event in zip(freezer.stages, events, strict=True):
        for p in stage.parameters():
            history = [seen[index[id(p)]] for seen in trainer.watch.seen]
            assert all(torch.equal(a, history[-1]) for a in history[(STEPS if event is None else event) - 1 :])
            assert p.requires_grad == (event is None)
    awake = awake[-STEPS:]  # find_stages looked at it, too
    assert [modes == {True} for modes in awake] == [step < events[1] for step in range(STEPS)]
    assert [modes == {False} for modes in awake] == [step >= events[1] for step in range(STEPS)]


def test_the_rates_are_the_warm_up_scaled_by_stage(tmp_path) -> None:
    callback = FreezeOutCallback(EARLY)
    trainer = made(tmp_path, bert, callback, logging_steps=1)
    trainer.train()
    logs = [row for row in trainer.state.log_history if "loss" in row]
    assert len(logs) == STEPS
    freezer = callback.freezer
    for step, row in enumerate(logs):
        prefix = freezer.prefix_at(step)
        assert (row["freezeout/prefix"], row["freezeout/active_stages"]) == (prefix, 5 - prefix)
        warm_up = 0.01 * min(step / 3, (STEPS - step) / (STEPS - 3))
        assert row["learning_rate"] == pytest.approx(warm_up), "the Trainer's own rate is what it was"
        t = step / STEPS
        plain = 0.5 * (1 + math.cos(math.pi * t))
        for i, t_i in enumerate(freezer.times):
            factor = 0.5 * (1 + math.cos(math.pi * t / t_i)) / t_i / plain if i >= prefix else 0.0
            assert row[f"freezeout/rate/{i}"] == pytest.approx(warm_up * factor)
    saved = json.dumps(trainer.state.log_history)
    assert "freezeout/rate/4" in saved


def test_callbacks_that_report_get_what_is_logged(tmp_path) -> None:
    class Reports(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **_):
            rows.append(dict(logs))

    rows: list[dict] = []
    model, data = bert()
    trainer = Trainer(model=model, args=arguments(tmp_path, logging_steps=4), train_dataset=data, callbacks=[Reports])
    freezing = FreezeOutCallback(EARLY).add_to(trainer)
    trainer.train()
    assert [row["freezeout/prefix"] for row in rows[:-1]] == [freezing.freezer.prefix_at(step) for step in (3, 7, 11)]
    assert "freezeout/prefix" not in rows[-1], "of the whole run"


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_baseline_is_the_run_without_it_bitwise(tmp_path, accumulate) -> None:
    found = []
    for callback in (FreezeOutCallback(Baseline()), None):
        trainer = made(tmp_path, bert, callback, gradient_accumulation_steps=accumulate)
        trainer.train()
        found.append(weights(trainer))
    assert equal(*found)
    assert not equal(found[0], list(bert()[0].state_dict().values()))


def test_steps_are_those_of_the_optimizer(tmp_path) -> None:
    callback = FreezeOutCallback(EARLY)
    trainer = made(tmp_path, bert, callback, gradient_accumulation_steps=3, num_train_epochs=4)
    trainer.train()
    assert callback.freezer.total_steps == callback.freezer.steps_begun == trainer.state.global_step == 8


@pytest.mark.parametrize("build", [bert, vit])
@pytest.mark.parametrize("stopped_after", [6, 8], ids=["mid-epoch", "epoch"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_resumed_run_is_the_run_that_was_never_stopped_bitwise(tmp_path, build, stopped_after, accumulate) -> None:
    options = {"save_strategy": "steps", "save_steps": stopped_after, "gradient_accumulation_steps": accumulate}
    options["num_train_epochs"] = 3 * accumulate
    through = made(tmp_path, build, FreezeOutCallback(EARLY), **options)
    through.train()
    callback = FreezeOutCallback(EARLY)
    checkpoint = tmp_path / f"checkpoint-{stopped_after}"
    # The Trainer of transformers 5 does not find the weights of a ViT's blocks again, under other names in the file.
    model = type(through.model).from_pretrained(checkpoint) if build is vit else None
    again = made(tmp_path, build, callback, model=model, **options)
    again.train(resume_from_checkpoint=str(checkpoint))
    assert len(again.watch.seen) == STEPS - stopped_after
    assert callback.freezer.prefix == 4
    assert equal(weights(again), weights(through))


class Forgets(FreezeOutCallback):
    """Begins at the first step whatever the checkpoint says."""

    def on_train_begin(self, args, state, control, **kwargs):
        step, state.global_step = state.global_step, 0
        super().on_train_begin(args, state, control, **kwargs)
        state.global_step = step

    def on_step_begin(self, args, state, control, **kwargs):
        self.freezer.step()


def test_with_its_step_forgotten_it_would_be_another_run(tmp_path) -> None:
    options = {"save_strategy": "steps", "save_steps": 6}
    through = made(tmp_path, bert, FreezeOutCallback(EARLY), **options)
    through.train()
    again = made(tmp_path, bert, Forgets(EARLY), **options)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-6"))
    assert not equal(weights(again), weights(through))


def test_the_same_trainer_goes_on_from_its_last_checkpoint(tmp_path) -> None:
    class Stops(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            control.should_training_stop = state.global_step == 6
            return control

    options = {"save_strategy": "steps", "save_steps": 6}
    through = made(tmp_path, bert, FreezeOutCallback(EARLY), **options)
    through.train()
    trainer = made(tmp_path, bert, FreezeOutCallback(EARLY), **options)
    trainer.add_callback(Stops)
    trainer.train()
    trainer.remove_callback(Stops)
    trainer.train(resume_from_checkpoint=True)
    assert equal(weights(trainer), weights(through))
    with pytest.raises(ValueError, match=r"cannot go back from step 12 to 0: a frozen stage never thaws"):
        trainer.train()


def test_a_run_that_was_interrupted_leaves_no_hook_once_it_is_resumed(tmp_path) -> None:
    class Interrupts(TrainerCallback):
        def on_save(self, args, state, control, **_):
            raise KeyboardInterrupt

    options = {"save_strategy": "steps", "save_steps": 6}
    trainer = made(tmp_path, bert, FreezeOutCallback(EARLY), **options)
    trainer.add_callback(Interrupts)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    trainer.remove_callback(Interrupts)
    trainer.train(resume_from_checkpoint=True)
    assert all(m.training for m in trainer.model.train().modules())
    trainer.model(input_ids=torch.zeros(1, 3, dtype=torch.long))
    assert all(m.training for m in trainer.model.modules()), "a hook still puts frozen stages into evaluation mode"


def test_a_trained_model_can_be_pickled(tmp_path) -> None:
    trainer = made(tmp_path, bert, FreezeOutCallback(EARLY))
    trainer.train()
    copied = pickle.loads(pickle.dumps(trainer.model))
    assert equal(list(copied.state_dict().values()), weights(trainer))


@pytest.mark.parametrize("kind", ["FSDP", "DEEPSPEED", "MEGATRON_LM"])
def test_a_model_in_shards_is_refused_in_one_line_before_anything_freezes(tmp_path, monkeypatch, kind) -> None:
    callback = FreezeOutCallback(EARLY)
    trainer = made(tmp_path, bert, callback)
    monkeypatch.setitem(state.PartialState._shared_state, "distributed_type", state.DistributedType[kind])
    model = trainer.model
    with pytest.raises(ValueError, match=rf"^{kind}: FreezeOutCallback works on a single device and with DDP$"):
        callback.on_train_begin(
            trainer.args, trainer.state, trainer.control, model=model, optimizer=torch.optim.SGD(model.parameters())
        )
    assert callback.freezer is None


def test_without_a_first_item_the_stages_are_asked_for_in_one_line(tmp_path) -> None:
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(bert()[1])

    trainer = made(tmp_path, bert, FreezeOutCallback(EARLY), data=Stream(), max_steps=STEPS)
    with pytest.raises(ValueError, match=r"^train_dataset has no first item to find the stages with: ") as caught:
        trainer.train()
    assert "\n" not in str(caught.value)
    inputs = {"input_ids": torch.zeros(2, 7, dtype=torch.long)}
    callback = FreezeOutCallback(EARLY, stages=lambda model: find_stages(model, inputs), max_events=2)
    made(tmp_path, bert, callback, data=Stream(), max_steps=STEPS).train()
    assert callback.freezer.prefix == 4
    assert len(callback.freezer.events) == 2


@pytest.mark.slow
def test_two_processes_hold_equal_networks_and_resume(tmp_path) -> None:
    script = Path(__file__).parent / "huggingface_ranks.py"
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script, tmp_path]
    done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    seen = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for way in ("through", "resumed"):
        assert equal(seen[0][way], seen[1][way]), "ranks hold equal networks"
    assert equal(seen[0]["resumed"], seen[0]["through"])
    assert seen[0]["prefix"] == 4
    assert seen[0]["sent"] == sorted(seen[0]["sent"], reverse=True)
    assert len(set(seen[0]["sent"])) == 5, "falls at each event"
    assert seen[0]["sent when resumed"] == seen[0]["sent"][6:]
    assert equal(seen[0]["no walk"], seen[0]["through"])
    assert equal(seen[0]["passed"], seen[0]["through"])
    assert len(set(seen[0]["sent when passed"])) == 1, "who does not know the Trainer cannot do that"
    for name in ("autofreeze", "weight_delta"):
        (one, times), (again, own) = seen[0][name]
        assert any(5 / STEPS < time < 1.0 for time in times)
        assert times == own == seen[1][name][0][1] == seen[1][name][1][1], "ranks decide alike, resumed or not"
        assert equal(one, again)
        assert equal(one, seen[1][name][0][0])
    assert seen[0]["refused"].endswith("TrainingArguments(ddp_find_unused_parameters=True)")


def test_freezeout_is_what_it_holds(tmp_path) -> None:
    callback = FreezeOutCallback(EARLY)
    assert callback.freezer is None
    made(tmp_path, bert, callback).train()
    assert isinstance(callback.freezer, FreezeOut)
