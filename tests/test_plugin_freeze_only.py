"""FreezeOnly in the plug-ins: the framework's own run to the bit until a layer freezes, and its rates to the end."""

from __future__ import annotations

import pytest
import torch
from made_chains import equal, small_chain

from freezeout.strategies import FreezeOnly

# Advice about loaders, folders and devices, and what the frameworks do that torch and Python no longer like.
pytestmark = [pytest.mark.filterwarnings("ignore")]

STEPS, FIRST = 12, 7  # the first of five stages freezes at t = 0.512
MEASURED = FreezeOnly(t_0=0.8)


@pytest.mark.parametrize("scheduler", ["linear", "cosine", "constant_with_warmup"])
@pytest.mark.parametrize("optim", ["sgd", "adamw_torch"])
def test_under_the_trainer_of_hugging_face(tmp_path, scheduler: str, optim: str) -> None:
    plugin = pytest.importorskip("freezeout.plugins.huggingface")
    from made_trainers import bert, made

    runs = []
    for callback in (None, plugin.FreezeOutCallback(MEASURED)):
        trainer = made(tmp_path, bert, callback, lr_scheduler_type=scheduler, optim=optim, logging_steps=1)
        trainer.train()
        runs.append((trainer, [row for row in trainer.state.log_history if "loss" in row]))
    (plain, right), (trainer, rows) = runs
    for step, (row, alone) in enumerate(zip(rows, right, strict=True)):
        assert row["learning_rate"] == alone["learning_rate"]
        frozen = row["freezeout/prefix"]
        assert (frozen > 0) == (step >= FIRST)
        rates = [row[f"freezeout/rate/{i}"] for i in range(5)]
        assert rates == [0.0] * frozen + [alone["learning_rate"]] * (5 - frozen)
        weights = zip(trainer.watch.seen[step], plain.watch.seen[step], strict=True)
        assert all(torch.equal(a, b) for a, b in weights) == (step < FIRST)
    assert rows[-1]["freezeout/prefix"] == 4


@pytest.mark.parametrize("scheduled", [True, False], ids=["one cycle", "constant"])
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_under_lightnings_trainer(tmp_path, scheduled: bool, kind) -> None:
    pytest.importorskip("lightning", reason="pip install 'freezeout[lightning]'")
    from test_plugin_lightning import Classifier, batches, trainer

    from freezeout.plugins.lightning import FreezeOutCallback

    class Module(Classifier):
        def configure_optimizers(self):
            optimizer = kind(self.network.parameters(), lr=0.01)
            if not scheduled:
                return optimizer
            cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.02, total_steps=STEPS + 1)
            return [optimizer], [{"scheduler": cycle, "interval": "step"}]

        def on_before_optimizer_step(self, optimizer):
            self.rates = [*getattr(self, "rates", []), [group["lr"] for group in optimizer.param_groups]]

    rates = None if scheduled else "scale"
    plain, ours = Module(small_chain()), Module(small_chain())
    freezing = FreezeOutCallback(MEASURED, rates=rates)
    trainer(tmp_path, enable_checkpointing=False).fit(plain, batches())
    trainer(tmp_path, freezing, enable_checkpointing=False).fit(ours, batches())
    assert ours.rates == plain.rates
    for step in range(STEPS):
        same = all(torch.equal(a, b) for a, b in zip(ours.seen[step], plain.seen[step], strict=True))
        assert same == (step < FIRST)
    assert freezing.freezer.prefix == 4
    assert not equal(ours.network, plain.network)
