"""FreezeOut as an algorithm of MosaicML's Composer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from freezeout.freeze import FreezeOut
from freezeout.plugins.kept import kept
from freezeout.plugins.logged import logged
from freezeout.plugins.only_chain import only_chain
from freezeout.strategies import Strategy

try:
    from composer.core import Algorithm, Event, State, TimeUnit
    from composer.distributed import prepare_ddp_module
    from composer.loggers import Logger
except ImportError as error:
    raise ImportError(f"freezeout.plugins.composer: {error}: make composer-env") from None


class FreezeOutAlgorithm(Algorithm):
    """Freezes the stages of a ComposerModel's network from the front, as a strategy prescribes.

    >>> model = ComposerClassifier(find_stages(network, images[:1]), num_classes=5)
    >>> freezing = FreezeOutAlgorithm(Schedule(t_0=0.5))
    >>> Trainer(model=model, max_duration="3ep", algorithms=[freezing], **options).fit()

    Schedulers keep working, and FreezeOut scales their rates (`rates="scale"`). With a cosine scheduler the result is
    the paper's rates (with Composer's own cosine, one batch late); without a scheduler the head's rate stays constant.
    Checkpoints hold the algorithm's state, so `load_path` and `autoresume` continue a run bitwise as if it had never
    stopped. Under DDP, frozen parameters are no longer synchronised: the wrapper is rebuilt at each freeze event. In
    every batch, loggers receive the number of frozen and active stages and the learning rate of each stage.

    Args:
        strategy: When stages freeze and what their rates are; see `freezeout.strategies`.
        stages: Returns the stages of the ComposerModel. None takes the only Chain among its attributes, as made by
            `find_stages`.
        options: Keyword arguments of FreezeOut: `warmup`, `max_events`.

    Attributes:
        freezer: The FreezeOut in use; None before `fit`, or before a checkpoint is loaded.
    """

    def __init__(
        self, strategy: Strategy, *, stages: Callable[[nn.Module], Iterable[nn.Module]] | None = None, **options: Any
    ) -> None:
        self.freezer: FreezeOut | None = None
        self._strategy = strategy
        self._stages = stages or partial(only_chain, asked_by="FreezeOutAlgorithm")
        self._options = options

    def match(self, event: Event, state: State) -> bool:
        """Whether to act on an event: a Trainer is made, or training, a batch or a microbatch begins."""
        return event in (Event.INIT, Event.FIT_START, Event.BATCH_START, Event.BEFORE_FORWARD)

    def apply(self, event: Event, state: State, logger: Logger) -> None:
        """Act on an event: check the Trainer, make FreezeOut, prepare a step, or restore the modes of frozen stages.

        Raises:
            ValueError: The Trainer, its duration or its checkpoint is not supported, or stages would have to thaw.
        """
        if event == Event.INIT:
            self._enter(state)
        elif event == Event.FIT_START:
            self._start(state)
        elif event == Event.BATCH_START:
            self._step(state, logger)
        else:  # Composer computes metrics between microbatches and then calls model.train()
            self._made().set_modes()

    def state_dict(self) -> dict[str, Any]:
        """FreezeOut's state and total_steps; empty before FreezeOut exists."""
        if self.freezer is None:
            return {}
        return kept(self.freezer)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load FreezeOut's state; Composer calls this after loading the model and before loading the optimizer.

        Stages freeze here, so that the optimizer does not expect state for them: the checkpoint has none.
        """
        if state:
            self._make(self._state, state["total_steps"]).load_state_dict(state)

    def _enter(self, state: State) -> None:
        if self.freezer is not None:
            raise ValueError("FreezeOutAlgorithm is from another Trainer: create a new model, optimizer and algorithm")
        if state.fsdp_config is not None:  # tensor parallelism needs it, too
            raise ValueError("parallelism_config: FreezeOutAlgorithm works on a single device and with DDP, not FSDP")
        self._state = state  # kept for load_state_dict, which Composer calls without it

    def _start(self, state: State) -> None:
        if hasattr(state.model.forward, "_torchdynamo_orig_callable"):  # as Trainer leaves a compiled model
            raise ValueError(
                f"compile_config: torch {torch.__version__} does not recompile when parameters freeze: leave it out"
            )
        total, batch = batches(state), int(state.timestamp.batch)
        if self.freezer is None and batch:
            raise ValueError(
                f"the checkpoint of batch {batch} has no FreezeOutAlgorithm state: it was written without one"
            )
        freezer = self.freezer or self._make(state, total)
        if total != freezer.total_steps:
            raise ValueError(
                f"this run has {total} batches, but freezing is planned for {freezer.total_steps}: "
                "stages would freeze at other times"
            )
        if batch not in (freezer.steps_begun, freezer.steps_begun - 1):  # the latter if a batch was interrupted
            raise ValueError(
                f"{freezer.steps_begun} batches are done, but Trainer counts {batch}: a frozen stage never thaws; "
                "create a new model, optimizer, algorithm and Trainer"
            )

    def _step(self, state: State, logger: Logger) -> None:
        freezer = self._made()
        if freezer.steps_begun == int(state.timestamp.batch):
            before = freezer.prefix
            freezer.step()
            if freezer.prefix != before and isinstance(state.model, DistributedDataParallel):
                rebuild(state)
        logger.log_metrics(logged(freezer, state.optimizers[0].param_groups, scaled=True))

    def _make(self, state: State, total_steps: int) -> FreezeOut:
        wrapped = isinstance(state.model, DistributedDataParallel)
        stages = self._stages(state.model.module if wrapped else state.model)
        optimizer = state.optimizers[0]  # Composer takes no more than one
        self.freezer = FreezeOut(stages, optimizer, self._strategy, total_steps, rates="scale", **self._options)
        return self.freezer

    def _made(self) -> FreezeOut:
        assert self.freezer is not None
        return self.freezer


def batches(state: State) -> int:
    """Total number of batches of the run.

    Raises:
        ValueError: Its length is given in a unit from which the number of batches is not known.
    """
    duration = state.max_duration
    if duration.unit == TimeUnit.EPOCH:
        return int(duration) * int(state.dataloader_len)
    if duration.unit == TimeUnit.BATCH:
        return int(duration)
    raise ValueError(
        f"max_duration={duration.to_timestring()!r} does not set the number of batches: give epochs ('3ep') or "
        "batches ('1200ba')"
    )


def rebuild(state: State) -> None:
    """Wrap the model again as Composer does, so that frozen parameters are no longer synchronised."""
    module = state.model.module
    state.model = module  # remove the old wrapper first, and with it its gradient hooks
    state.model = prepare_ddp_module(module, any(a.find_unused_parameters for a in state.algorithms))
