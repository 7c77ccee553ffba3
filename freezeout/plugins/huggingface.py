"""FreezeOut as a callback of Hugging Face's Trainer."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from freezeout.freeze import FreezeOut
from freezeout.plugins.kept import keep_in_checkpoints, loaded_with, refuse_another_run
from freezeout.plugins.logged import logged
from freezeout.plugins.rebuilt import build_anew
from freezeout.stages.chain import find_stages
from freezeout.strategies import Strategy

try:
    # Imported first: without accelerate, transformers' Trainer fails with an error of many lines.
    from accelerate.state import DistributedType, PartialState
    from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ImportError as error:
    raise ImportError(f"freezeout.plugins.huggingface: {error}: pip install 'freezeout[huggingface]'") from None


class FreezeOutCallback(TrainerCallback):
    """Freezes a model's stages from the front, as a strategy prescribes: embeddings, then each block.

    >>> trainer = Trainer(model=model, args=arguments, train_dataset=data)
    >>> freezing = FreezeOutCallback(Schedule(t_0=0.5)).add_to(trainer)
    >>> output = trainer.train()

    The Trainer's own scheduler keeps working, and FreezeOut scales its rates (`rates="scale"`). Frozen blocks stay in
    evaluation mode, with dropout off, although the Trainer calls model.train() before each batch. FreezeOut resumes
    from the Trainer's global_step, and an adaptive strategy's observations and decisions are in the checkpoint's
    optimizer.pt, so `resume_from_checkpoint` continues a run bitwise as if it had never stopped. Under DDP, frozen
    parameters are no longer synchronised: the wrapper is rebuilt at each freeze event.

    It can also be passed as `callbacks=[...]`, with two differences. W&B, TensorBoard and the like are called before
    it, so they do not receive its values. And it has no access to the DDP wrapper, so that DDP needs
    find_unused_parameters, the Trainer's default, and synchronises all parameters.

    Args:
        strategy: When stages freeze and what their rates are; see `freezeout.strategies`.
        stages: Returns the stages of the model. None finds them (`find_stages`) with the first item of the data.
        options: Keyword arguments of FreezeOut: `warmup`, `max_events`.

    Attributes:
        freezer: The FreezeOut in use; None before `train`.
    """

    def __init__(
        self, strategy: Strategy, *, stages: Callable[[nn.Module], Iterable[nn.Module]] | None = None, **options: Any
    ) -> None:
        self.freezer: FreezeOut | None = None
        self._strategy = strategy
        self._stages = stages
        self._options = options
        self._trainer: Trainer | None = None
        self._hook: RemovableHandle | None = None

    def add_to(self, trainer: Trainer) -> FreezeOutCallback:
        """Register with a Trainer, before the callbacks that report to W&B, TensorBoard and the like.

        Returns:
            The callback itself.
        """
        self._trainer = trainer
        trainer.callback_handler.callbacks.insert(0, self)
        return self

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Makes FreezeOut: by now the optimizer exists and has loaded its state.

        Raises:
            ValueError: Stages cannot be found, or would have to thaw; the model is sharded; DDP is told not to look for
                unused parameters; or the checkpoint is of a run of another length, or lacks the adaptive strategy's
                state.
        """
        refuse_shards(PartialState().distributed_type)
        model, optimizer = kwargs["model"], torch_optimizer(kwargs["optimizer"])
        loaded = loaded_with(optimizer)
        if self._wrapper() is None:
            refuse_ddp_without_unused(args, model)
        if self.freezer is None:
            stages = self._stages(model) if self._stages else self._find(model, kwargs["train_dataloader"], args.device)
            self._optimizer = optimizer
            self.freezer = FreezeOut(stages, optimizer, self._strategy, state.max_steps, rates="scale", **self._options)
            keep_in_checkpoints(self.freezer, optimizer)
        elif optimizer is not self._optimizer or state.max_steps != self.freezer.total_steps:
            raise ValueError("FreezeOutCallback is from another run: create a new model, Trainer and callback")
        refuse_another_run(self.freezer, loaded, state.global_step)
        self.freezer.load_state_dict({**loaded, "step": state.global_step})
        if self.freezer.prefix:
            self._build_anew()
        if self._hook:  # left by an interrupted call
            self._hook.remove()
        freezer = self.freezer  # the hook undoes the Trainer's model.train() for frozen stages
        self._hook = model.register_forward_pre_hook(lambda *_: freezer.set_modes())

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Removes the hook from the model, so that it can be pickled as before."""
        assert self._hook is not None
        self._hook.remove()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Prepares an optimizer step, before the first of the batches whose gradients it accumulates."""
        assert self.freezer is not None
        if self.freezer.steps_begun == state.global_step:  # else the step was begun, and its epoch was stopped
            before = self.freezer.prefix
            self.freezer.step()
            if self.freezer.prefix != before:
                self._build_anew()

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Stores the rates of this step: when logs are written, the scheduler has already set those of the next."""
        self._rates = [group["lr"] for group in self._optimizer.param_groups]

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Adds the number of frozen and active stages, and the rate of each stage, to a step's logs."""
        if self.freezer is None or logs is None or "loss" not in logs:  # logs of an evaluation or of the whole run
            return
        groups = zip(self._optimizer.param_groups, self._rates, strict=True)
        figures = logged(self.freezer, [{**group, "lr": rate} for group, rate in groups], scaled=True)
        logs.update(figures)
        state.log_history[-1].update(figures)  # holds a copy of the logs that was made earlier

    def _wrapper(self) -> DistributedDataParallel | None:
        """The Trainer's DDP wrapper, if it has one and `add_to` was used."""
        wrapper = getattr(self._trainer, "model_wrapped", None)
        return wrapper if isinstance(wrapper, DistributedDataParallel) else None

    def _build_anew(self) -> None:
        wrapper = self._wrapper()
        if wrapper is not None:
            assert self._trainer is not None
            handler = self._trainer.accelerator.ddp_handler
            build_anew(wrapper, **(handler.to_kwargs() if handler else {}))
            if handler:
                handler.register_comm_hook(wrapper)

    @staticmethod
    def _find(model: nn.Module, batches: Any, device: torch.device) -> Iterable[nn.Module]:
        try:
            item = drawing_nothing(lambda: batches.collate_fn([batches.dataset[0]]))
        except (TypeError, KeyError, NotImplementedError, AttributeError):
            raise ValueError(
                "train_dataset has no first item to find the stages with: "
                "FreezeOutCallback(..., stages=lambda model: freezeout.find_stages(model, inputs))"
            ) from None
        return find_stages(model, {k: v.to(device) if isinstance(v, Tensor) else v for k, v in item.items()})


def torch_optimizer(optimizer: Any) -> Optimizer:
    """The optimizer inside accelerate's wrapper, if it is wrapped."""
    return getattr(optimizer, "optimizer", optimizer)


def refuse_shards(kind: DistributedType) -> None:
    """Refuse ways of training on several devices for which this callback is not tested.

    Raises:
        ValueError: `kind` is FSDP, DeepSpeed or Megatron-LM.
    """
    if kind in (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM):
        raise ValueError(f"{kind.value}: FreezeOutCallback works on a single device and with DDP")


def refuse_ddp_without_unused(args: TrainingArguments, model: nn.Module) -> None:
    """Refuse DDP that would wait for the gradients of frozen parameters.

    Raises:
        ValueError: find_unused_parameters is off, by the arguments or by the Trainer's default for this model.
    """
    unused = args.ddp_find_unused_parameters
    if unused is None:  # the Trainer's own rule
        unused = not getattr(model, "is_gradient_checkpointing", False)
    if args.world_size > 1 and not unused:
        raise ValueError(
            "DistributedDataParallel waits for the gradients of frozen parameters: "
            "FreezeOutCallback(...).add_to(trainer), or TrainingArguments(ddp_find_unused_parameters=True)"
        )


def drawing_nothing(make: Callable[[], Any]) -> Any:
    """The result of `make()`, with the random states of torch, NumPy and Python restored afterwards."""
    states = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            return make()
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
