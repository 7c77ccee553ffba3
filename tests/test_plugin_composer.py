"""The algorithm for Composer is FreezeOut: the same weights as in a plain loop, logged, and refused in one line.

Composer has an environment of its own: make test-composer.
"""

from __future__ import annotations

import doctest
from itertools import pairwise

import pytest
import torch
from made_chains import equal, small_chain
from made_composer import EARLY, STEPS, Model, adamw, batches, by_hand, fitted, made
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from freezeout import FreezeOut, find_stages
from freezeout.strategies import Baseline
from freezeout.strategies import FreezeOut as Schedule

pytest.importorskip("composer", reason="make composer-env")
from composer import Trainer
from composer.loggers import InMemoryLogger
from composer.models import ComposerClassifier
from composer.optim import CosineAnnealingScheduler

from freezeout.plugins.composer import FreezeOutAlgorithm

# Advice about loaders and metrics, and what Composer itself does that torch and Python no longer like.
pytestmark = [pytest.mark.filterwarnings("ignore")]


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
    with pytest.raises(ValueError, match=r"^max_duration='96sp' does not set the number of batches: give epochs "):
        fitted(FreezeOutAlgorithm(EARLY), max_duration="96sp")
    with pytest.raises(ValueError, match=r"^compile_config: torch 2\.7.* does not recompile when parameters freeze: "):
        fitted(FreezeOutAlgorithm(EARLY), compile_config={"backend": "eager"})
    with pytest.raises(
        ValueError, match=r"^parallelism_config: FreezeOutAlgorithm works on a single device and with D"
    ):
        made(FreezeOutAlgorithm(EARLY), parallelism_config={"fsdp": {}})
    algorithm = FreezeOutAlgorithm(EARLY)
    trainer = made(algorithm, save_folder=str(tmp_path), save_interval="8ba", save_filename="{batch}.pt")
    trainer.fit()  # and left open
    with pytest.raises(
        ValueError, match=r"^FreezeOutAlgorithm is from another Trainer: create a new model, optimizer and "
    ):
        made(algorithm)
    with pytest.raises(ValueError, match=r"^this run has 16 batches, but freezing is planned for 12: "):
        trainer.fit(duration="1ep")
    with pytest.raises(ValueError, match=r"^12 batches are done, but Trainer counts 0: a frozen stage never thaws"):
        trainer.fit(reset_time=True, duration="3ep")
    with pytest.raises(ValueError, match=r"^this run has 20 batches, but freezing is planned for 12: "):
        fitted(FreezeOutAlgorithm(EARLY), load_path=str(tmp_path / "8.pt"), max_duration="5ep")


def test_a_run_of_batches_is_one_of_epochs() -> None:
    algorithm = FreezeOutAlgorithm(EARLY)
    trainer = fitted(algorithm, max_duration="12ba")
    assert algorithm.freezer.total_steps == STEPS
    assert equal(trainer.state.model.network, by_hand())
