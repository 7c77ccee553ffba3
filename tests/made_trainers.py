"""Small networks under Hugging Face's Trainer: what to train, for how long, and what came of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from freezeout.strategies import FreezeOut as Schedule

pytest.importorskip("accelerate", reason="pip install 'freezeout[huggingface]'")
transformers = pytest.importorskip("transformers", reason="pip install 'freezeout[huggingface]'")
Trainer, TrainerCallback = transformers.Trainer, transformers.TrainerCallback
TrainingArguments = transformers.TrainingArguments

STEPS = 12
EARLY = Schedule(t_0=0.25, how_scale="linear", scale_lr=True)
SMALL = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32, "num_labels": 3}


def bert() -> tuple[nn.Module, list[dict]]:
    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=50, max_position_embeddings=16, **SMALL)
    model = transformers.BertForSequenceClassification(config)
    return model, [{"input_ids": torch.randint(50, (7,)), "labels": i % 3} for i in range(32)]


def vit() -> tuple[nn.Module, list[dict]]:
    torch.manual_seed(0)
    drops = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.2}
    model = transformers.ViTForImageClassification(transformers.ViTConfig(image_size=8, patch_size=4, **SMALL, **drops))
    return model, [{"pixel_values": torch.randn(3, 8, 8), "labels": i % 3} for i in range(32)]


class Watch(TrainerCallback):
    """Keeps the weights after each step."""

    def __init__(self) -> None:
        self.seen: list[list[torch.Tensor]] = []

    def on_step_end(self, args, state, control, model=None, **_):
        self.seen.append([p.detach().clone() for p in model.parameters()])


def arguments(tmp_path, **options) -> TrainingArguments:
    """Three epochs of four steps, with a linear warm-up."""
    usual = {"num_train_epochs": 3, "per_device_train_batch_size": 8, "learning_rate": 0.01, "warmup_steps": 3}
    usual |= {"weight_decay": 0.01, "report_to": [], "save_strategy": "no", "use_cpu": True, "disable_tqdm": True}
    return TrainingArguments(str(tmp_path), **{**usual, **options})


def made(tmp_path, build, callback=None, *, data=None, model=None, **options) -> Trainer:
    new, default = build()
    model = model or new
    watch = Watch()
    trainer = Trainer(
        model=model, args=arguments(tmp_path, **options), train_dataset=data or default, callbacks=[watch]
    )
    trainer.watch = watch
    if callback:
        callback.add_to(trainer)
    return trainer


def weights(trainer: Trainer) -> list[torch.Tensor]:
    return list(trainer.model.state_dict().values())


def equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a, b, strict=True))
