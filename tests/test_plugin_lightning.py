"""The callback for Lightning is FreezeOut: the same weights as in a plain loop, resumed exactly, logged."""

from __future__ import annotations

import csv
import doctest
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from made_chains import equal, small_chain
from made_lightning import EARLY, STEPS, Classifier, Trainer, batches, loss_of, trainer
from torch import nn

from freezeout import Chain, FreezeOut, find_stages
from freezeout.strategies import Baseline
from freezeout.strategies import FreezeOut as Schedule

pytest.importorskip("lightning", reason="pip install 'freezeout[lightning]'")
from lightning.pytorch.callbacks import GradientAccumulationScheduler, ModelCheckpoint, StochasticWeightAveraging
from lightning.pytorch.loggers import CSVLogger

from freezeout.plugins.lightning import FreezeOutCallback

# Advice about loaders, folders and devices, and what Lightning itself does that torch and Python no longer like.
pytestmark = [pytest.mark.filterwarnings("ignore")]


def by_hand(strategy=EARLY, *, scheduler=False, accumulate=1, kind=FreezeOut) -> Chain:
    """The same training in a plain loop."""
    chain = small_chain()
    optimizer = torch.optim.AdamW(chain.parameters(), lr=0.01)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS) if scheduler else None
    freezer = kind(chain, optimizer, strategy, STEPS // accumulate, rates="scale" if scheduler else "set")
    for step in range(STEPS // accumulate):
        chain.train()
        freezer.step()
        for part in range(accumulate):
            (loss_of(chain, accumulate * step + part) / accumulate).backward()
        optimizer.step()
        optimizer.zero_grad()
        if cosine:
            cosine.step()
    return chain


def test_the_lines_of_the_docstring_train_and_freeze(tmp_path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 2), nn.Flatten(), nn.Linear(3, 5))
    options = {"default_root_dir": tmp_path, "enable_progress_bar": False, "enable_model_summary": False}
    names = {"find_stages": find_stages, "FreezeOutCallback": FreezeOutCallback, "Schedule": Schedule}
    names |= {"Trainer": Trainer, "Classifier": Classifier, "network": network, "images": torch.randn(2, 3, 4, 4)}
    names |= {"batches": batches(), "options": options}
    (example,) = doctest.DocTestFinder(recurse=False).find(FreezeOutCallback, globs=names)
    assert len(example.examples) == 3
    doctest.DebugRunner().run(example, clear_globs=False)
    assert example.globs["freezing"].freezer.prefix == 2
    assert example.globs["freezing"].freezer.steps_begun == 8


@pytest.mark.parametrize("scheduler", [False, True], ids=["set", "scale"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_it_trains_as_freezeout_does_in_a_plain_loop_bitwise(tmp_path, scheduler, accumulate) -> None:
    module, callback = Classifier(small_chain(), scheduler), FreezeOutCallback(EARLY)
    fitting = trainer(tmp_path, callback, accumulate_grad_batches=accumulate, enable_checkpointing=False)
    fitting.fit(module, batches(), batches())
    assert callback.freezer.total_steps == STEPS // accumulate == fitting.global_step
    assert callback.freezer.prefix == 4
    assert equal(module.network, by_hand(scheduler=scheduler, accumulate=accumulate))


def test_the_baseline_is_the_run_without_it_bitwise(tmp_path) -> None:
    networks = []
    for callback in (FreezeOutCallback(Baseline()), None):
        module = Classifier(small_chain(), scheduler=True)
        trainer(tmp_path, callback, enable_checkpointing=False).fit(module, batches())
        networks.append(module.network)
    assert equal(*networks)
    assert not equal(networks[0], small_chain())


def test_what_is_frozen_stands_still_through_validation(tmp_path) -> None:
    module, callback = Classifier(small_chain()), FreezeOutCallback(EARLY)
    trainer(tmp_path, callback, enable_checkpointing=False).fit(module, batches(), batches())
    first = len(module.network[0].state_dict())
    event = callback.freezer.schedule.freeze_step(0, STEPS)
    assert 0 < event < STEPS - 3
    for before, after in zip(module.seen[event:-1], module.seen[event + 1 :], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(before[:first], after[:first], strict=True))
        assert not all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


class Forgets(FreezeOutCallback):
    """Resumes without its state."""

    def load_state_dict(self, state_dict):
        pass


def resumed(tmp_path, kind, scheduler, stopped_after) -> tuple[nn.Module, nn.Module]:
    """The network of a run that was stopped and resumed, and that of the one that wrote the checkpoint and went on."""
    keep = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=stopped_after, save_top_k=-1)
    through = Classifier(small_chain(), scheduler)
    trainer(tmp_path, FreezeOutCallback(EARLY), keep).fit(through, batches(), batches())
    again = Classifier(small_chain(), scheduler)
    with torch.no_grad():
        for p in again.parameters():
            p.zero_()
    callback = kind(EARLY)
    checkpoint = tmp_path / f"step={stopped_after}.ckpt"
    trainer(tmp_path, callback, enable_checkpointing=False).fit(again, batches(), batches(), ckpt_path=checkpoint)
    assert len(again.seen) == STEPS - stopped_after
    return again.network, through.network


@pytest.mark.parametrize("scheduler", [False, True], ids=["set", "scale"])
@pytest.mark.parametrize("stopped_after", [6, 8], ids=["mid-epoch", "epoch"])
def test_a_resumed_run_is_the_run_that_was_never_stopped_bitwise(tmp_path, scheduler, stopped_after) -> None:
    again, through = resumed(tmp_path, FreezeOutCallback, scheduler, stopped_after)
    assert equal(again, through)
    assert equal(through, by_hand(scheduler=scheduler))


def test_a_checkpoint_without_its_state_is_refused_and_not_trained_on(tmp_path) -> None:
    with pytest.raises(RuntimeError, match=r"^the checkpoint of step 8 has no FreezeOutCallback state: "):
        resumed(tmp_path, Forgets, True, 8)


def test_the_logger_gets_prefix_active_stages_and_rates(tmp_path) -> None:
    callback = FreezeOutCallback(EARLY)
    logger = CSVLogger(tmp_path)
    fitting = trainer(tmp_path, callback, logger=logger, log_every_n_steps=4, enable_checkpointing=False)
    fitting.fit(Classifier(small_chain()), batches())
    logger.save()
    rows = list(csv.DictReader((Path(logger.log_dir) / "metrics.csv").open()))
    seen = {int(row["step"]): row for row in rows if row["freezeout/prefix"]}
    freezer = callback.freezer
    assert seen.keys() == {*freezer.events, 3, 7, 11}
    for step, row in seen.items():
        prefix = freezer.prefix_at(step)
        assert (float(row["freezeout/prefix"]), float(row["freezeout/active_stages"])) == (prefix, 5 - prefix)
        rates = [float(row[f"freezeout/rate/{i}"]) for i in range(5)]
        assert rates == pytest.approx([0.0] * prefix + freezer.rates(step)[prefix:])


def test_beside_a_scheduler_the_logged_rates_are_the_scaled_ones(tmp_path) -> None:
    logger = CSVLogger(tmp_path)
    fitting = trainer(
        tmp_path, FreezeOutCallback(EARLY), logger=logger, log_every_n_steps=4, enable_checkpointing=False
    )
    fitting.fit(Classifier(small_chain(), scheduler=True), batches())
    logger.save()
    rows = list(csv.DictReader((Path(logger.log_dir) / "metrics.csv").open()))
    (row,) = [row for row in rows if row["step"] == "3"]
    chain = small_chain()
    alone = FreezeOut(chain, torch.optim.AdamW(chain.parameters(), lr=0.01), EARLY, STEPS)
    rates = [float(row[f"freezeout/rate/{i}"]) for i in range(5)]
    prefix = alone.prefix_at(3)
    assert rates == pytest.approx([0.0] * prefix + alone.rates(3)[prefix:])


class TwoOptimizers(Classifier):
    def configure_optimizers(self):
        self.automatic_optimization = False
        return [torch.optim.SGD([p], lr=0.1) for p in list(self.parameters())[:2]]


def test_mistakes_are_one_line(tmp_path) -> None:
    def fit(module, callback, **options):
        trainer(tmp_path, callback, enable_checkpointing=False, **options).fit(module, batches())

    with pytest.raises(ValueError, match=r"^Classifier has 0 Chains: make its network one \(freezeout.find_stages\)"):
        fit(Classifier(nn.Sequential(*small_chain())), FreezeOutCallback(EARLY))
    with pytest.raises(ValueError, match=r"made 2 optimizers: FreezeOut needs one$"):
        fit(TwoOptimizers(small_chain()), FreezeOutCallback(EARLY))
    sharded = SimpleNamespace(optimizers=[None], strategy=object())
    with pytest.raises(ValueError, match=r"^strategy=object: FreezeOutCallback works on a single device and with DDP$"):
        FreezeOutCallback(EARLY).on_fit_start(sharded, None)
    with pytest.raises(ValueError, match=r"^the length of the run is not known \(inf steps\): Trainer\(max_steps="):
        fit(Classifier(small_chain()), FreezeOutCallback(EARLY), epochs=-1)
    callback, module = FreezeOutCallback(EARLY), Classifier(small_chain())
    fit(module, callback)
    with pytest.raises(ValueError, match=r"^4 stages froze in an earlier fit: create a new module and callback$"):
        fit(module, callback)


def test_callbacks_that_change_the_length_of_the_run_are_refused_in_one_line(tmp_path) -> None:
    averaging = StochasticWeightAveraging(swa_lrs=0.01, swa_epoch_start=1)
    accumulating = GradientAccumulationScheduler({0: 1, 1: 2})
    for other, line in ((averaging, "recomputes BatchNorm statistics"), (accumulating, r"max_epochs=-1, max_steps=")):
        with pytest.raises(ValueError, match=rf"^{type(other).__name__}:? .*{line}"):
            trainer(tmp_path, FreezeOutCallback(EARLY), other).fit(Classifier(small_chain()), batches())
    callback = FreezeOutCallback(EARLY)
    trainer(tmp_path, callback, accumulating, epochs=-1, max_steps=7).fit(Classifier(small_chain()), batches())
    assert callback.freezer.steps_begun == callback.freezer.total_steps == 7, "the remedy"


class WakesAll(Classifier):
    """Goes into training mode as a whole after each validation, and notes what that wakes."""

    awake = 0

    def on_validation_model_train(self):
        self.train()

    def training_step(self, batch, batch_idx):
        frozen = [stage for stage in self.network if not any(p.requires_grad for p in stage.parameters())]
        self.awake += sum(module.training for stage in frozen for module in stage.modules())
        return super().training_step(batch, batch_idx)


def test_what_is_frozen_sleeps_after_a_validation_between_accumulated_batches(tmp_path) -> None:
    module, callback = WakesAll(small_chain()), FreezeOutCallback(EARLY)
    options = {"accumulate_grad_batches": 2, "val_check_interval": 1, "num_sanity_val_steps": 0}
    trainer(tmp_path, callback, enable_checkpointing=False, **options).fit(module, batches(), batches(1))
    assert callback.freezer.prefix == 4
    assert module.awake == 0


class TwoSteps(Classifier):
    def __init__(self, network) -> None:
        super().__init__(network)
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        for _ in range(2):
            self.manual_backward(loss_of(self.network, batch_idx))
            self.optimizers().step()


def test_several_steps_in_a_batch_are_named_as_such(tmp_path) -> None:
    with pytest.raises(RuntimeError, match=r"^optimizer steps: 2 taken, but 1 prepared: "):
        trainer(tmp_path, FreezeOutCallback(EARLY)).fit(TwoSteps(small_chain()), batches())


def test_a_checkpoint_of_a_run_of_another_length_is_refused(tmp_path) -> None:
    keep = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=8, save_top_k=-1)
    trainer(tmp_path, FreezeOutCallback(EARLY), keep).fit(Classifier(small_chain()), batches())
    longer = trainer(tmp_path, FreezeOutCallback(EARLY), epochs=5, enable_checkpointing=False)
    with pytest.raises(ValueError, match=r"^the checkpoint is of a run of 12 steps, and this one has 20: "):
        longer.fit(Classifier(small_chain()), batches(), ckpt_path=tmp_path / "step=8.ckpt")


def test_stages_may_be_told(tmp_path) -> None:
    module = Classifier(nn.Sequential(*small_chain()))
    callback = FreezeOutCallback(EARLY, stages=lambda module: list(module.network), max_events=2)
    trainer(tmp_path, callback, enable_checkpointing=False).fit(module, batches())
    assert callback.freezer.prefix == 4
    assert len(callback.freezer.events) == 2


@pytest.mark.slow
def test_two_processes_train_as_one_and_send_less_from_event_to_event(tmp_path) -> None:
    script = Path(__file__).parent / "lightning_ranks.py"
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    seen = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for way in ("through", "resumed", "accumulated"):
        for one, other in zip(*(rank[way] for rank in seen), strict=True):
            assert torch.equal(one, other), "ranks hold equal networks"
    for again, through in zip(seen[0]["resumed"], seen[0]["through"], strict=True):
        assert torch.equal(again, through)
    alone = torch.load(tmp_path / "alone.pt")
    for way in ("through", "accumulated"):
        for ours, theirs in zip(seen[0][way], alone, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    assert seen[0]["bytes"] == sorted(seen[0]["bytes"], reverse=True)
    assert len(set(seen[0]["bytes"])) == 5, "falls at each event"
    assert "parameters that were not used" in seen[0]["flags only"], "Lightning's own way of freezing"
