"""FreezeOut in Lightning: a callback."""

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
    """Freezes the stages of a LightningModule's network from the front, as a strategy says.

    >>> network = find_stages(network, images[:1])
    >>> freezing = FreezeOutCallback(Schedule(t_0=0.5))
    >>> Trainer(max_epochs=2, callbacks=[freezing], **options).fit(Classifier(network), batches)

    Checkpoints hold its state, and `fit(..., ckpt_path=...)` continues to bitwise the run that was never stopped. Under
    DDP frozen parameters are no longer synchronised (`FreezeOut.distribute`), and find_unused_parameters is not needed.
    Steps are those of the optimizer, whatever accumulate_grad_batches is. Loggers get the number of frozen and of
    active stages and the rate of each, every log_every_n_steps and whenever something freezes.

    Args:
        strategy: When stages freeze and what their rates are; see `freezeout.strategies`.
        stages: What makes the stages of the LightningModule. None takes the one Chain among its attributes, as
            `find_stages` makes it of any network.
        rates: "set" or "scale", see FreezeOut. None scales the rates where configure_optimizers returns a scheduler.
        options: Of FreezeOut: `warmup`, `max_events`.

    Attributes:
        freezer: The FreezeOut at work; None before `fit`.
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
        """Optimizers exist by now, and their state is loaded later.

        Raises:
            ValueError: The length of the run is not known, or the trainer, its optimizers or its other callbacks are of
                another kind than can freeze; or stages that this callback froze in an earlier `fit` would have to thaw.
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
            raise ValueError(f"{was_frozen} stages are frozen from an earlier fit: make module and callback anew")
        if isinstance(trainer.strategy.model, DistributedDataParallel):
            distribute(self.freezer, trainer.strategy, pl_module)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Prepares a step with the first batch of it.

        Raises:
            RuntimeError: The checkpoint was written without this callback, or the batch before took several steps.
        """
        assert self.freezer is not None
        if 0 < self.freezer.steps_begun < trainer.global_step:
            raise RuntimeError(
                f"{trainer.global_step} steps of the optimizer are over, and {self.freezer.steps_begun} were begun: "
                "FreezeOutCallback works with at most one step in a batch"
            )
        if self.freezer.steps_begun < trainer.global_step:
            raise RuntimeError(
                f"the checkpoint is of step {trainer.global_step} and holds no state of FreezeOutCallback: "
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
            self.freezer.set_modes()  # a validation between two accumulated batches may have woken what is frozen

    @property
    def state_key(self) -> str:
        """The same for subclasses, which resume each other's checkpoints."""
        return "freezeout"

    def state_dict(self) -> dict[str, Any]:
        """FreezeOut's state, and the length of the run that it counts in."""
        if self.freezer is None:
            return {}
        return kept(self.freezer)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lightning calls it before there are optimizers: what needs them waits for `on_fit_start`."""
        self._loaded = dict(state_dict)

    def _load(self) -> None:
        assert self.freezer is not None
        state, self._loaded = self._loaded, None
        if state:
            refuse_another_length(self.freezer, state)
            self.freezer.load_state_dict(state)


def refuse_callbacks(trainer: Trainer, module: LightningModule) -> None:
    """Refuse other callbacks that change how long a run is, of which the trainer's own estimate knows nothing.

    Raises:
        ValueError: There is one.
    """
    for callback in trainer.callbacks:
        if isinstance(callback, StochasticWeightAveraging) and callback.pl_module_contains_batch_norm(module):
            raise ValueError(
                "StochasticWeightAveraging resets the statistics of BatchNorm in an epoch of its own, in which frozen "
                "stages would not gather them again: WeightAveraging does without"
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
    """Put a handle that rebuilds DistributedDataParallel at each freeze where Lightning has its wrapper."""
    strategy.model = module  # the old wrapper goes first, and its hooks on the gradients with it
    network = freezer.distribute(module, device_ids=strategy.determine_ddp_device_ids(), **strategy._ddp_kwargs)
    strategy.model = network
    # Lightning asks the class of its wrapper before it holds back synchronisation while gradients are accumulated.
    strategy.block_backward_sync = network.no_sync
