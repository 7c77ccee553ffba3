"""The algorithm for Composer is FreezeOut: the same weights as in a plain loop, resumed exactly, logged.

Composer has an environment of its own: make test-composer.
"""

from __future__ import annotations

import doctest
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from made_chains import equal, small_chain
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from freezeout import Chain, FreezeOut, find_stages
from freezeout.strategies import Baseline
from freezeout.strategies import FreezeOut as Schedule

pytest.importorskip("composer", reason="make composer-env")
from composer import Callback, Trainer
from composer.algorithms import LayerFreezing
from composer.loggers import InMemoryLogger
from composer.models import ComposerClassifier, ComposerModel
from composer.optim import CosineAnnealingScheduler, DecoupledAdamW, DecoupledSGDW

from freezeout.plugins.composer import FreezeOutAlgorithm

# Advice about loaders and metrics, and what Composer itself does that torch and Python no longer like.
pytestmark = [pytest.mark.filterwarnings("ignore")]

STEPS = 12
EARLY = Schedule(t_0=0.25, how_scale="linear", scale_lr=True)


class Model(ComposerModel):
    """Trains on batches by their number, dropout included."""

    def __init__(self, network: nn.Module, double: bool = False) -> None:
        super().__init__()
        self.network = network.double() if double else network

    def forward(self, batch):
        return outputs(self.network, batch[0])

    def loss(self, outputs, batch):
        return outputs.square().mean()

    def eval_forward(self, batch, outputs=None):
        assert not self.network.training
        return self.forward(batch) if outputs is None else outputs

    def get_metrics(self, is_train):
        return {}

    def update_metric(self, batch, outputs, metric):
        raise AssertionError("there are no metrics")


def outputs(network: nn.Module, numbers: torch.Tensor) -> torch.Tensor:
    """Of a batch that the numbers of its images give."""
    torch.manual_seed(int(numbers[0]))
    x = torch.randn(8, 3, 4, 4, dtype=next(network.parameters()).dtype)[: len(numbers)]
    return network(x)


def batches(number: int = 4) -> DataLoader:
    return DataLoader(TensorDataset(torch.arange(8 * number)), batch_size=8)


class Watch(Callback):
    """Keeps all weights and statistics after each batch."""

    def __init__(self) -> None:
        self.seen: list[list[torch.Tensor]] = []

    def batch_end(self, state, logger):
        self.seen.append([t.clone() for t in state.model.state_dict().values()])


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=0.01)


def made(algorithm=None, *, model=None, optimizer=adamw, **options) -> Trainer:
    """A Trainer of three epochs of four batches."""
    model = model or Model(small_chain())
    usual = {"progress_bar": False, "device": "cpu", "seed": 3, "max_duration": "3ep", "callbacks": [Watch()]}
    usual |= {"optimizers": optimizer(model), "train_dataloader": batches()}
    trainer = Trainer(model=model, algorithms=[algorithm] if algorithm else [], **{**usual, **options})
    trainer.watch = next(c for c in trainer.state.callbacks if isinstance(c, Watch))
    return trainer


def fitted(*args, **options) -> Trainer:
    trainer = made(*args, **options)
    trainer.fit()
    trainer.close()
    return trainer


def by_hand(*, parts=1, double=False, cosine=False) -> Chain:
    """The same training in a plain loop, at a constant rate that FreezeOut scales or under the cosine that it sets."""
    chain = Model(small_chain(), double).network
    optimizer = adamw(chain)
    freezer = FreezeOut(chain, optimizer, EARLY, STEPS, rates="set" if cosine else "scale")
    for step in range(STEPS):
        chain.train()
        freezer.step()
        for numbers in (torch.arange(8) + 8 * (step % 4)).chunk(parts):
            (outputs(chain, numbers).square().mean() / parts).backward()
        optimizer.step()
        optimizer.zero_grad()
    return chain


def test_the_lines_of_the_docstring_train_and_freeze() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 2), nn.Flatten(), nn.Linear(3, 5))
    images, labels = torch.randn(32, 3, 4, 4), torch.arange(32) % 5
    options = {"train_dataloader": DataLoader(TensorDataset(images, labels), 8), "progress_bar": False, "device": "cpu"}
    names = {"find_stages": find_stages, "FreezeOutAlgorithm": FreezeOutAlgorithm, "Schedule": Schedule}
    names |= {"Trainer": Trainer, "ComposerClassifier": ComposerClassifier, "network": network, "images": images}
    (example,) = doctest.DocTestFinder(recurse=False).find(FreezeOutAlgorithm, globs=names | {"options": options})
    assert len(example.examples) == 3
    doctest.DebugRunner().run(example, clear_globs=False)
    freezer = example.globs["freezing"].freezer
    assert (freezer.prefix, freezer.steps_begun, len(freezer.stages)) == (2, STEPS, 3)


@pytest.mark.parametrize("parts", [1, 2])
def test_it_trains_as_freezeout_does_in_a_plain_loop_bitwise(parts) -> None:
    algorithm = FreezeOutAlgorithm(EARLY)
    trainer = fitted(algorithm, device_train_microbatch_size=8 // parts, eval_dataloader=batches(1))
    assert (algorithm.freezer.total_steps, algorithm.freezer.prefix) == (STEPS, 4)
    assert equal(trainer.state.model.network, by_hand(parts=parts))


def test_beside_torchs_cosine_the_rates_are_the_papers() -> None:
    model = Model(small_chain(), double=True)
    optimizer = adamw(model)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS)
    schedule = {"optimizers": optimizer, "schedulers": cosine, "step_schedulers_every_batch": True}
    trainer = fitted(FreezeOutAlgorithm(EARLY), model=model, **schedule)
    by_paper = by_hand(double=True, cosine=True)
    for ours, plain in zip(trainer.state.model.parameters(), by_paper.parameters(), strict=True):
        torch.testing.assert_close(ours, plain, rtol=0, atol=1e-9)  # AdamW magnifies rounding


def test_the_baseline_is_the_run_without_it_bitwise() -> None:
    with_it, without = (
        fitted(a, schedulers=CosineAnnealingScheduler()) for a in (FreezeOutAlgorithm(Baseline()), None)
    )
    assert equal(with_it.state.model, without.state.model)
    assert not equal(with_it.state.model.network, small_chain())


def test_what_is_frozen_stands_still_although_metrics_wake_it() -> None:
    """Composer evaluates its training metrics after each microbatch, and calls model.train() then."""
    data = TensorDataset(torch.randn(32, 3, 4, 4), torch.arange(32) % 5)
    algorithm = FreezeOutAlgorithm(EARLY)
    trainer = fitted(
        algorithm,
        model=ComposerClassifier(small_chain(), num_classes=5),
        device_train_microbatch_size=4,
        train_dataloader=DataLoader(data, 8),
        eval_dataloader=DataLoader(data, 8),
    )
    first = len(small_chain()[0].state_dict())
    event = algorithm.freezer.schedule.freeze_step(0, STEPS)
    seen = trainer.watch.seen[event:]
    assert 0 < event < STEPS - 3
    for before, after in pairwise(seen):
        assert all(torch.equal(a, b) for a, b in zip(before[:first], after[:first], strict=True))
        assert not all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


class Forgets(FreezeOutAlgorithm):
    """Resumes without its state."""

    def load_state_dict(self, state):
        pass


def resumed(folder, kind=FreezeOutAlgorithm, stopped_after=8, **options) -> tuple[Trainer, Trainer]:
    """The run that was stopped and resumed, and the one that wrote the checkpoint and went on."""
    common = {"optimizer": adamw, **options}
    saving = {"save_folder": str(folder), "save_interval": f"{stopped_after}ba", "save_filename": "{batch}.pt"}
    through = fitted(FreezeOutAlgorithm(EARLY), **common, **saving)
    model = Model(small_chain())
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    again = fitted(kind(EARLY), model=model, load_path=str(folder / f"{stopped_after}.pt"), **common)
    return again, through


OPTIMIZERS = {
    "adamw": adamw,
    "sgd": lambda model: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01),
    "plain sgd": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
    "decoupled sgd": lambda model: DecoupledSGDW(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01),
    "decoupled adam": lambda model: DecoupledAdamW(model.parameters(), lr=0.01, weight_decay=0.01),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("stopped_after", [2, 6, 8], ids=["before", "mid-epoch", "epoch"])
def test_a_resumed_run_is_the_run_that_was_never_stopped_bitwise(tmp_path, optimizer, stopped_after) -> None:
    """Composer's own layer freezing cannot: github.com/mosaicml/composer/issues/1002."""
    scheduler = CosineAnnealingScheduler()
    again, through = resumed(tmp_path, stopped_after=stopped_after, optimizer=optimizer, schedulers=scheduler)
    assert len(again.watch.seen) == STEPS - stopped_after
    assert equal(again.state.model, through.state.model)
    assert not equal(again.state.model.network, small_chain())


def test_without_a_scheduler_too(tmp_path) -> None:
    again, through = resumed(tmp_path)
    assert equal(again.state.model, through.state.model)
    assert equal(through.state.model.network, by_hand())


class Stop(Callback):
    """Ends the process, as far as a Trainer can tell."""

    def batch_end(self, state, logger):
        if int(state.timestamp.batch) == 9:
            raise KeyboardInterrupt


def test_autoresume_goes_on_where_a_run_was_killed(tmp_path) -> None:
    saving = {"save_folder": str(tmp_path), "save_interval": "2ba", "autoresume": True, "run_name": "one"}
    first = made(FreezeOutAlgorithm(EARLY), callbacks=[Watch(), Stop()], **saving)
    with pytest.raises(KeyboardInterrupt):
        first.fit()
    first.close()
    again = fitted(FreezeOutAlgorithm(EARLY), **saving)
    assert len(again.watch.seen) == STEPS - 8
    assert equal(again.state.model.network, by_hand())


class StopOnce(Callback):
    """Interrupts a batch that has begun."""

    def before_forward(self, state, logger):
        if int(state.timestamp.batch) == 6 and not hasattr(self, "done"):
            self.done = True
            raise KeyboardInterrupt


def test_an_interrupted_batch_is_begun_once() -> None:
    algorithm = FreezeOutAlgorithm(EARLY)
    trainer = made(algorithm, callbacks=[Watch(), StopOnce()])
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    trainer.fit()
    trainer.close()
    assert algorithm.freezer.steps_begun == STEPS
    assert equal(trainer.state.model.network, by_hand())


def test_a_checkpoint_without_its_state_is_refused_and_not_trained_on(tmp_path) -> None:
    fitted(None, save_folder=str(tmp_path), save_interval="8ba", save_filename="{batch}.pt")
    with pytest.raises(ValueError, match=r"^the checkpoint is of batch 8 and holds no state of FreezeOutAlgorithm: "):
        fitted(FreezeOutAlgorithm(EARLY), load_path=str(tmp_path / "8.pt"))


def test_what_its_state_is_good_for(tmp_path) -> None:
    """Without it the optimizer is asked for momenta of frozen stages, which the checkpoint does not have."""
    with pytest.raises(KeyError, match="conv0"):
        resumed(tmp_path, Forgets)


def test_weights_alone_begin_a_new_run(tmp_path) -> None:
    fitted(FreezeOutAlgorithm(EARLY), save_folder=str(tmp_path), save_interval="8ba", save_filename="{batch}.pt")
    algorithm = FreezeOutAlgorithm(EARLY)
    fitted(algorithm, load_path=str(tmp_path / "8.pt"), load_weights_only=True)
    assert (algorithm.freezer.steps_begun, algorithm.freezer.prefix) == (STEPS, 4)


def values(logger: InMemoryLogger, name: str) -> dict[int, float]:
    return {int(at.batch): value for at, value in logger.data[name]}


def test_the_logger_gets_prefix_active_stages_and_rates_of_a_resumed_run_too(tmp_path) -> None:
    cosine = CosineAnnealingScheduler()
    saving = {"save_folder": str(tmp_path), "save_interval": "6ba", "save_filename": "{batch}.pt"}
    whole, rest = InMemoryLogger(), InMemoryLogger()
    algorithm = FreezeOutAlgorithm(EARLY)
    fitted(algorithm, loggers=whole, schedulers=cosine, **saving)
    fitted(FreezeOutAlgorithm(EARLY), loggers=rest, schedulers=cosine, load_path=str(tmp_path / "6.pt"))
    chain = small_chain()
    alone = FreezeOut(chain, adamw(chain), EARLY, STEPS)
    for step in range(STEPS):
        prefix = alone.prefix_at(step)
        expected = {"prefix": prefix, "active_stages": 5 - prefix}
        # Composer's schedulers know the time of the last batch, not of this one; ours is a factor on what they say.
        theirs = alone.rates(max(step - 1, 0))[-1] / alone.rates(step)[-1]
        rates = [0.0] * prefix + [theirs * rate for rate in alone.rates(step)[prefix:]]
        expected |= {f"rate/{i}": pytest.approx(rate) for i, rate in enumerate(rates)}
        assert {name: values(whole, f"freezeout/{name}")[step] for name in expected} == expected
    for name in expected:
        after = {step: v for step, v in values(whole, f"freezeout/{name}").items() if step >= 6}
        assert values(rest, f"freezeout/{name}") == after


def test_stages_may_be_told_and_grouped() -> None:
    model = Model(nn.Sequential(*small_chain()))
    algorithm = FreezeOutAlgorithm(EARLY, stages=lambda model: list(model.network), max_events=2)
    fitted(algorithm, model=model)
    assert algorithm.freezer.prefix == 4
    assert len(algorithm.freezer.events) == 2


def test_mistakes_are_one_line(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"^Model has 0 Chains: make its network one .*FreezeOutAlgorithm\(\.\.\., st"):
        fitted(FreezeOutAlgorithm(EARLY), model=Model(nn.Sequential(*small_chain())))
    with pytest.raises(ValueError, match=r"^max_duration='96sp' says nothing of the number of batches: give epochs "):
        fitted(FreezeOutAlgorithm(EARLY), max_duration="96sp")
    with pytest.raises(
        ValueError, match=r"^compile_config: torch 2\.7.* does not compile anew when parameters freeze: "
    ):
        fitted(FreezeOutAlgorithm(EARLY), compile_config={"backend": "eager"})
    with pytest.raises(
        ValueError, match=r"^parallelism_config: FreezeOutAlgorithm works on a single device and with D"
    ):
        made(FreezeOutAlgorithm(EARLY), parallelism_config={"fsdp": {}})
    algorithm = FreezeOutAlgorithm(EARLY)
    trainer = made(algorithm, save_folder=str(tmp_path), save_interval="8ba", save_filename="{batch}.pt")
    trainer.fit()  # and left open
    with pytest.raises(ValueError, match=r"^FreezeOutAlgorithm has served another Trainer: make model, optimizer and "):
        made(algorithm)
    with pytest.raises(ValueError, match=r"^this run has 16 batches, and stages freeze as in one of 12: "):
        trainer.fit(duration="1ep")
    with pytest.raises(ValueError, match=r"^12 batches are over, and the Trainer counts 0: a frozen stage never thaws"):
        trainer.fit(reset_time=True, duration="3ep")
    with pytest.raises(ValueError, match=r"^this run has 20 batches, and stages freeze as in one of 12: "):
        fitted(FreezeOutAlgorithm(EARLY), load_path=str(tmp_path / "8.pt"), max_duration="5ep")


def test_a_run_of_batches_is_one_of_epochs() -> None:
    algorithm = FreezeOutAlgorithm(EARLY)
    trainer = fitted(algorithm, max_duration="12ba")
    assert algorithm.freezer.total_steps == STEPS
    assert equal(trainer.state.model.network, by_hand())


@pytest.mark.slow
def test_two_processes_train_as_one_and_send_less_from_event_to_event(tmp_path) -> None:
    script = str(Path(__file__).parent / "composer_ranks.py")
    launcher = [sys.executable, "-m", "composer.cli", "-n", "2"]
    for command in ([*launcher, script, str(tmp_path)], [sys.executable, script, str(tmp_path)]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stderr
    seen = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for way in ("through", "resumed", "in parts"):
        for one, other in zip(*(rank[way] for rank in seen), strict=True):
            assert torch.equal(one, other), "ranks hold equal networks"
    for again, through in zip(seen[0]["resumed"], seen[0]["through"], strict=True):
        assert torch.equal(again, through)
    for way in ("through", "in parts"):
        for ours, alone in zip(seen[0][way], torch.load(tmp_path / "alone.pt"), strict=True):
            torch.testing.assert_close(ours, alone, rtol=0, atol=1e-12)
    assert seen[0]["bytes"] == sorted(seen[0]["bytes"], reverse=True)
    assert len(set(seen[0]["bytes"])) == 5, "falls at each event"
    assert len(set(seen[0]["bytes of theirs"])) == 1, "Composer's own freezing sends all to the end"


@pytest.mark.parametrize(("optimizer", "stopped_after"), [("sgd", None), ("plain sgd", 8)])
def test_composers_own_freezing_saves_or_loads_no_checkpoint_once_it_has_frozen(
    tmp_path, optimizer, stopped_after
) -> None:
    """The row "resumed" of docs/plugins.md; with momentum the training ends at the first checkpoint."""
    saving = {"save_folder": str(tmp_path), "save_interval": "4ba", "save_filename": "{batch}.pt"}
    common = {"optimizer": OPTIMIZERS[optimizer]}
    if stopped_after is None:
        with pytest.raises(KeyError, match=r"^\d+$"):
            fitted(LayerFreezing(freeze_start=0.0), **common, **saving)
        return
    fitted(LayerFreezing(freeze_start=0.0), **common, **saving)
    with pytest.raises(ValueError, match="a parameter group that doesn't match the size of optimizer's group"):
        fitted(LayerFreezing(freeze_start=0.0), load_path=str(tmp_path / f"{stopped_after}.pt"), **common)
