"""The algorithm for Composer resumes exactly, on one process and on two; Composer's own freezing does not.

Composer has an environment of its own: make test-composer.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from made_chains import equal, small_chain
from made_composer import EARLY, OPTIMIZERS, STEPS, Model, Watch, adamw, by_hand, fitted, made

pytest.importorskip("composer", reason="make composer-env")
from composer import Callback, Trainer
from composer.algorithms import LayerFreezing
from composer.optim import CosineAnnealingScheduler

from freezeout.plugins.composer import FreezeOutAlgorithm

# Advice about loaders and metrics, and what Composer itself does that torch and Python no longer like.
pytestmark = [pytest.mark.filterwarnings("ignore")]


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
    with pytest.raises(ValueError, match=r"^the checkpoint of batch 8 has no FreezeOutAlgorithm state: "):
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
