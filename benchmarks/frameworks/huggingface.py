"""Hugging Face's Trainer, and what its users do: requires_grad_(False) in a callback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerState, TrainingArguments

from benchmarks.frameworks.protocol import AT, BATCH, EPOCHS, OURS, STEPS, STOPPED, AtEpochs, Watch, images, sgd
from freezeout.plugins.huggingface import FreezeOutCallback
from freezeout.stages.chain import Chain

NAME, THEIRS = "transformers", "Trainer, requires_grad_(False)"


class Flags(TrainerCallback):
    """Sets the flags of a stage as an epoch begins."""

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: Any, *, model: Any, **_: Any
    ) -> None:
        epoch = round(state.epoch or 0)
        if epoch in AT:
            model.network[AT.index(epoch)].requires_grad_(False)


class Watching(TrainerCallback):
    """Lets a Watch look."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.watch.begin()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.watch.end()


class Classifier(nn.Module):
    """The network with the inputs and outputs of Hugging Face's."""

    def __init__(self, network: Chain) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixel_values: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.network(pixel_values)
        return {"loss": cross_entropy(logits, labels), "logits": logits}


def stages(model: Any) -> Chain:
    """Its network, which is a chain already."""
    return model.network


def train(way: str, watch: Watch, folder: Path, *, saves: bool = False, resumes: bool = False) -> None:
    """See `Host`."""
    model = Classifier(watch.network)
    arguments = TrainingArguments(
        str(folder),
        num_train_epochs=EPOCHS,
        per_device_train_batch_size=BATCH,
        lr_scheduler_type="constant",
        save_strategy="epoch" if saves else "no",
        use_cpu=True,
        disable_tqdm=True,
        report_to=[],
    )
    data = [{"pixel_values": x, "labels": y} for x, y in zip(*images().tensors, strict=True)]
    trainer = Trainer(model=model, args=arguments, train_dataset=data, optimizers=(sgd(model), None))
    if way == OURS:
        FreezeOutCallback(AtEpochs(), stages=stages).add_to(trainer)
    else:
        trainer.add_callback(Flags())
    trainer.callback_handler.callbacks.insert(0, Watching(watch))
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(folder / f"checkpoint-{STEPS * STOPPED}") if resumes else None)
