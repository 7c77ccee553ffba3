"""One of the processes that torchrun starts: trains with the Trainer under DDP and leaves what it saw in a file.

torchrun --standalone --nproc-per-node 2 huggingface_ranks.py FOLDER; test_plugin_huggingface.py runs it.
"""

import sys
from pathlib import Path

import torch
import transformers
from ranks import counting
from torch import distributed
from transformers import Trainer, TrainerCallback, TrainingArguments

from freezeout.adaptive import AutoFreeze, WeightDelta
from freezeout.plugins.huggingface import FreezeOutCallback
from freezeout.strategies import FreezeOut as Schedule
from freezeout.strategies import Strategy

ADAPTIVE = {"autofreeze": AutoFreeze(intervals=6), "weight_delta": WeightDelta(intervals=6, threshold=0.0625)}
SCHEDULED = Schedule(t_0=0.25, how_scale="linear")
SMALL = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32, "num_labels": 3}


class Counts(TrainerCallback):
    """Notes the bytes of gradients that each step sends, through the wrapper as it then is."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.hooked: object = None

    def of(self, trainer: Trainer) -> TrainerCallback:
        self.trainer = trainer
        return self

    def on_step_begin(self, args, state, control, **_):
        wrapper = self.trainer.model_wrapped
        if wrapper.reducer is not self.hooked:
            wrapper.register_comm_hook(self.sent, counting)
            self.hooked = wrapper.reducer
        self.sent.append(0)


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    seen: dict = {}

    def train(resume: Path | None = None, strategy: Strategy = SCHEDULED, added: bool = True, **options) -> int:
        torch.manual_seed(0)
        config = transformers.BertConfig(vocab_size=50, max_position_embeddings=16, **SMALL)
        model = transformers.BertForSequenceClassification(config)
        data = [{"input_ids": torch.randint(50, (7,)), "labels": i % 3} for i in range(32)]
        usual = {"max_steps": 12, "per_device_train_batch_size": 4, "learning_rate": 0.01, "warmup_steps": 3}
        usual |= {"save_steps": 6, "report_to": [], "use_cpu": True, "ddp_backend": "gloo", "disable_tqdm": True}
        arguments = TrainingArguments(str(folder), **{**usual, **options})
        freezing, counts = FreezeOutCallback(strategy), Counts()
        trainer = Trainer(model=model, args=arguments, train_dataset=data, callbacks=[] if added else [freezing])
        trainer.add_callback(counts.of(trainer))
        if added:
            freezing.add_to(trainer)
        trainer.train(resume_from_checkpoint=resume and str(resume))
        seen["weights"] = [t.clone() for t in model.state_dict().values()]
        seen["times"], seen["bytes"] = freezing.freezer.times, counts.sent
        return freezing.freezer.prefix

    seen["prefix"] = train()
    seen["through"], seen["sent"] = seen.pop("weights"), seen["bytes"]
    train(folder / "checkpoint-6")
    seen["resumed"], seen["sent when resumed"] = seen.pop("weights"), seen["bytes"]
    train(ddp_find_unused_parameters=False)
    seen["no walk"] = seen.pop("weights")
    train(added=False)
    seen["passed"], seen["sent when passed"] = seen.pop("weights"), seen["bytes"]
    for name, strategy in ADAPTIVE.items():
        train(strategy=strategy, save_steps=5, warmup_steps=0)
        through = seen.pop("weights"), seen["times"]
        train(folder / "checkpoint-5", strategy, warmup_steps=0)
        seen[name] = through, (seen.pop("weights"), seen["times"])
    try:
        train(ddp_find_unused_parameters=False, added=False)
    except ValueError as error:
        seen["refused"] = str(error)
    torch.save(seen, folder / f"{distributed.get_rank()}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
