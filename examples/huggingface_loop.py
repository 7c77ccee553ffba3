"""FreezeOut in Hugging Face's Trainer: python examples/huggingface_loop.py

A small, randomly initialised BERT, with the Trainer's own linear warm-up. It is resumed from the checkpoint at half of
the run, and ends with bitwise the weights of a run that was never stopped.
"""

import tempfile

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from freezeout.plugins.huggingface import FreezeOutCallback
from freezeout.strategies import FreezeOut as Schedule

STEPS = 24
words = torch.randint(50, (64, 12), generator=torch.Generator().manual_seed(0))
data = [{"input_ids": sentence, "labels": int(sentence[0]) % 3} for sentence in words]


def train(folder: str, checkpoint: str | None = None) -> torch.nn.Module:
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 64}
    model = BertForSequenceClassification(BertConfig(vocab_size=50, num_labels=3, **size))
    arguments = TrainingArguments(
        folder, max_steps=STEPS, save_steps=STEPS // 2, learning_rate=0.001, warmup_steps=4, report_to=[], use_cpu=True
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=data)  # line 1
    freezing = FreezeOutCallback(Schedule(t_0=0.4, how_scale="linear")).add_to(trainer)  # line 2
    trainer.train(resume_from_checkpoint=checkpoint)  # line 3
    freezer = freezing.freezer
    print(f"{freezer.prefix} of {len(freezer.stages)} stages are frozen after {trainer.state.global_step} steps")
    return model


with tempfile.TemporaryDirectory() as folder:
    through = train(folder)
    again = train(folder, f"{folder}/checkpoint-{STEPS // 2}")
same = all(torch.equal(a, b) for a, b in zip(again.parameters(), through.parameters(), strict=True))
print(f"resumed: {'bitwise the run that was never stopped' if same else 'another run'}")
