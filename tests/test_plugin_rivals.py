"""What frameworks' own ways of freezing do where the plug-ins do otherwise: the table of docs/plugins.md."""

from __future__ import annotations

import time
from statistics import median

import pytest
import torch
from torch import nn

pytest.importorskip("lightning", reason="pip install 'freezeout[lightning]'")
pytest.importorskip("accelerate", reason="pip install 'freezeout[huggingface]'")
import test_plugin_huggingface as huggingface
import test_plugin_lightning as lightning
import transformers
from lightning.pytorch.callbacks import BaseFinetuning, Callback, ModelCheckpoint
from transformers import Trainer, TrainerCallback

from freezeout.plugins.huggingface import FreezeOutCallback as InTrainer
from freezeout.plugins.lightning import FreezeOutCallback as InLightning

pytestmark = [pytest.mark.filterwarnings("ignore")]


class Reversed(BaseFinetuning):
    """Lightning's BackboneFinetuning the other way round: its `freeze` of the first stage when an epoch begins."""

    def freeze_before_training(self, pl_module):
        pass

    def finetune_function(self, pl_module, epoch, optimizer):
        if epoch == 1:
            self.freeze(pl_module.network[0])


class Flags(TrainerCallback):
    """What Hugging Face's users do: requires_grad_(False), here of the first block, in the middle."""

    def on_step_begin(self, args, state, control, model=None, **_):
        if state.global_step == 6:
            model.bert.encoder.layer[0].requires_grad_(False)


def test_lightnings_own_freezing_trains_batch_normalisation_and_keeps_the_optimizers_state(tmp_path) -> None:
    module = lightning.Classifier(lightning.small_chain())
    keep = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=8, save_top_k=-1)
    trainer = lightning.trainer(tmp_path, Reversed(), keep)
    trainer.fit(module, lightning.batches())
    names = list(lightning.small_chain().state_dict())
    then, now = module.seen[4], module.seen[-1]
    moved = {n.split(".")[-1] for n, a, b in zip(names, then, now, strict=True) if "conv0.1" in n and not a.equal(b)}
    assert moved == {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    assert torch.equal(then[0], now[0]), "the convolution stands still"
    assert module.network[0][0].weight in trainer.optimizers[0].state
    again = lightning.Classifier(lightning.small_chain())
    resuming = lightning.trainer(tmp_path, Reversed(), enable_checkpointing=False)
    resuming.fit(again, lightning.batches(), ckpt_path=tmp_path / "step=8.ckpt")
    assert not lightning.equal(again.network, module.network)
    assert again.network[0][0].weight.requires_grad, "the resumed run has thawed it"


def test_flags_leave_dropout_awake_and_the_optimizers_state_kept(tmp_path) -> None:
    trainer = huggingface.made(tmp_path, huggingface.bert)
    trainer.add_callback(Flags())
    awake: list[bool] = []
    block = trainer.model.bert.encoder.layer[0]
    block.register_forward_hook(lambda module, *_: awake.append(module.output.dropout.training))
    trainer.train()
    assert awake == [True] * huggingface.STEPS
    assert block.output.dense.weight in trainer.optimizer.state
    assert block.output.dense.weight.grad is None


class Timed(Callback):
    """Seconds of each batch."""

    def on_train_batch_start(self, *_):
        self.started = time.perf_counter()

    def on_train_batch_end(self, *_):
        self.seconds = [*getattr(self, "seconds", []), time.perf_counter() - self.started]


class TimedSteps(TrainerCallback):
    """The same in a Trainer."""

    def on_step_begin(self, *_, **__):
        self.started = time.perf_counter()

    def on_step_end(self, *_, **__):
        self.seconds = [*getattr(self, "seconds", []), time.perf_counter() - self.started]


def shares(seconds: list[float], prefixes: list[int]) -> dict[int, float]:
    """Median step time with each number of frozen stages, as a share of the one with none; first steps are left out."""
    by_prefix = {k: [s for s, p in zip(seconds, prefixes, strict=True) if p == k][1:] for k in sorted(set(prefixes))}
    return {k: median(times) / median(by_prefix[0]) for k, times in by_prefix.items() if len(times) > 2}


@pytest.mark.slow
@pytest.mark.long
def test_lightnings_steps_take_less_time_once_stages_are_frozen(tmp_path) -> None:
    class Wide(lightning.Classifier):
        def training_step(self, batch, batch_idx):
            torch.manual_seed(batch_idx)
            return self.network(torch.randn(16, 3, 24, 24)).square().mean()

    torch.manual_seed(0)
    conv = {f"conv{i}": nn.Sequential(nn.Conv2d(32 if i else 3, 32, 3, padding=1), nn.ReLU()) for i in range(5)}
    chain = lightning.Chain({**conv, "head": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5))})
    freezing, timed = InLightning(lightning.Schedule(t_0=0.3, how_scale="linear")), Timed()
    trainer = lightning.trainer(tmp_path, timed, freezing, epochs=1, enable_checkpointing=False)
    trainer.fit(Wide(chain), lightning.batches(60))
    found = shares(timed.seconds, [freezing.freezer.prefix_at(step) for step in range(60)])
    print("lightning", found)
    assert found[max(found)] < 0.8


@pytest.mark.slow
@pytest.mark.long
def test_the_trainers_steps_take_less_time_once_stages_are_frozen(tmp_path) -> None:
    torch.manual_seed(0)
    size = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 512}
    model = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=50, num_labels=3, **size))
    data = [{"input_ids": torch.randint(50, (64,)), "labels": i % 3} for i in range(64)]
    timed = TimedSteps()
    arguments = huggingface.arguments(tmp_path, max_steps=60)
    trainer = Trainer(model=model, args=arguments, train_dataset=data, callbacks=[timed])
    freezing = InTrainer(huggingface.Schedule(t_0=0.3, how_scale="linear")).add_to(trainer)
    trainer.train()
    found = shares(timed.seconds, [freezing.freezer.prefix_at(step) for step in range(60)])
    print("huggingface", found)
    assert found[max(found)] < 0.8
