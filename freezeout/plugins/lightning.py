"""FreezeOut as a callback of Lightning."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from freezeout.freeze import FreezeOut
from freezeout.plugins.kept import kept, refuse_another_length
from freezeout.plugins.logged import logged
from freezeout.plugins.only_chain import only_chain
from freezeout.strategies import Strategy

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
    from lightning.pytorch.callbacks import GradientAccumulationScheduler, StochasticWeightAveraging
    from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
except ImportError as error:
    raise ImportError(f"freezeout.plugins.lightning: {error}: pip install 'freezeout[lightning]'") from None


class FreezeOutCallback(Callback):
    """Freezes the stages of a LightningModule's network from the front, as a strategy prescribes.

    >>> network = find_stages(network, images[:1])
    >>> freezing = FreezeOutCallback(Schedule(t_0=0.5))
    >>> Trainer(max_epochs=2, callbacks=[freezing], **options).fit(Classifier(network), batches)

    Checkpoints hold its state, so `fit(..., ckpt_path=...)` continues a run bitwise as if it had never stopped. Under
    DDP, frozen parameters are no longer synchronised (`FreezeOut.distribute`), and find_unused_parameters is not
    needed. Steps are optimizer steps, whatever accumulate_grad_batches is. Loggers receive the number of frozen and
    active stages and the learning rate of each stage, every log_every_n_steps and at each freeze event.

    Args:
        strategy: When stages freeze and what their rates are; see `freezeout.strategies`.
        stages: Returns the stages of the LightningModule. None takes the only Chain among its attributes, as made by
            `find_stages`.
        rates: "set" or "scale", see FreezeOut. None means "scale" if configure_optimizers returns a scheduler, else
            "set".
        options: Keyword arguments of FreezeOut: `warmup`, `max_events`.

    Attributes:
        freezer: The FreezeOut in use; None before `fit`.
    """

    def __init__(
        self,
        strategy: Strategy,
        *,
        stages: Callable[[LightningModule], Iterable[nn.Module]] | None = None,
        rates: str | None = None,
        **options: Any,
    ) -> None:
        self.freezer: FreezeOut | None = None
        self._strategy = strategy
        self._stages = stages or partial(only_chain, asked_by="FreezeOutCallback")
        self._rates = rates
        self._options = options
        self._loaded: dict[str, Any] | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Makes FreezeOut: by now the optimizers exist; their state is loaded later.

        Raises:
            ValueError: The length of the run is not known; the trainer, its optimizers or its other callbacks are not
                supported; or stages that this callback froze in an earlier `fit` would have to thaw.
        """
        if len(trainer.optimizers) != 1:
            raise ValueError(f"configure_optimizers made {len(trainer.optimizers)} optimizers: FreezeOut needs one")
        if not isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy):
            name = type(trainer.strategy).__name__
            raise ValueError(f"strategy={name}: FreezeOutCallback works on a single device and with DDP")
        refuse_callbacks(trainer, pl_module)
        steps = trainer.estimated_stepping_batches
        if not 0 < steps < float("inf"):
            raise ValueError(f"the length of the run is not known ({steps} steps): Trainer(max_steps=...)")
        was_frozen = self.freezer.prefix if self.freezer else 0
        rates = self._rates or ("scale" if trainer.lr_scheduler_configs else "set")
        self._scaled = rates == "scale"
        self.freezer = FreezeOut(
            self._stages(pl_module), trainer.optimizers[0], self._strategy, int(steps), rates=rates, **self._options
        )
        self._load()
        if self.freezer.prefix < was_frozen:
            raise ValueError(f"{was_frozen} stages froze in an earlier fit: create a new module and callback")
        if isinstance(trainer.strategy.model, DistributedDataParallel):
            distribute(self.freezer, trainer.strategy, pl_module)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Prepares an optimizer step, before the first of its batches.

        Raises:
            RuntimeError: The checkpoint was written without this callback, or the previous batch took several optimizer
                steps.
        """
        assert self.freezer is not None
        if 0 < self.freezer.steps_begun < trainer.global_step:
            raise RuntimeError(
                f"optimizer steps: {trainer.global_step} taken, but {self.freezer.steps_begun} prepared: "
                "FreezeOutCallback allows at most one step per batch"
            )
        if self.freezer.steps_begun < trainer.global_step:
            raise RuntimeError(
                f"the checkpoint of step {trainer.global_step} has no FreezeOutCallback state: "
                "it was written without one"
            )
        if self.freezer.steps_begun == trainer.global_step:
            before = self.freezer.prefix
            self.freezer.step()
            every = trainer.log_every_n_steps
            if self.freezer.prefix != before or (every and self.freezer.steps_begun % every == 0):
                for logger in trainer.loggers:
                    figures = logged(self.freezer, trainer.optimizers[0].param_groups, scaled=self._scaled)
                    logger.log_metrics(figures, step=trainer.global_step)
        else:
            self.freezer.set_modes()  # validation between two accumulated batches may have changed the modes

    @property
    def state_key(self) -> str:
        """The same key for all subclasses, so that they can resume each other's checkpoints."""
        return "freezeout"

    def state_dict(self) -> dict[str, Any]:
        """FreezeOut's state and total_steps; empty before FreezeOut exists."""
        if self.freezer is None:
            return {}
        return kept(self.freezer)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the state until `on_fit_start`: Lightning calls this before the optimizers exist."""
        self._loaded = dict(state_dict)

    def _load(self) -> None:
        assert self.freezer is not None
        state, self._loaded = self._loaded, None
        if state:
            refuse_another_length(self.freezer, state)
            self.freezer.load_state_dict(state)


def refuse_callbacks(trainer: Trainer, module: LightningModule) -> None:
    """Refuse other callbacks that FreezeOut cannot work with.

    Raises:
        ValueError: StochasticWeightAveraging would reset the statistics of frozen BatchNorm layers, or
            GradientAccumulationScheduler makes the trainer's own estimate of the run's length wrong.
    """
    for callback in trainer.callbacks:
        if isinstance(callback, StochasticWeightAveraging) and callback.pl_module_contains_batch_norm(module):
            raise ValueError(
                "StochasticWeightAveraging recomputes BatchNorm statistics in an extra epoch, in which frozen "
                "stages would not update theirs: use WeightAveraging"
            )
        if (
            isinstance(callback, GradientAccumulationScheduler)
            and callback.going_to_accumulate_grad_batches()
            and trainer.max_epochs != -1
        ):
            raise ValueError(
                "GradientAccumulationScheduler: the length of the run is not known: "
                "Trainer(max_epochs=-1, max_steps=...), or Trainer(accumulate_grad_batches=...)"
            )


def distribute(freezer: FreezeOut, strategy: DDPStrategy, module: LightningModule) -> None:
    """Replace Lightning's DistributedDataParallel by a wrapper that is rebuilt at each freeze event."""
    strategy.model = module  # remove the old wrapper first, and with it its gradient hooks
    network = freezer.distribute(module, device_ids=strategy.determine_ddp_device_ids(), **strategy._ddp_kwargs)
    strategy.model = network
    # Lightning suspends synchronisation during gradient accumulation only if its wrapper is a DistributedDataParallel.
    strategy.block_backward_sync = network.no_sync
