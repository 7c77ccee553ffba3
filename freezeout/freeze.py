"""FreezeOut, the mechanism: each stage leaves training for good at its freeze time."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from freezeout.adapting import Adapting
from freezeout.checks import check_at_least, check_choice, check_share, check_whole
from freezeout.distributed import Distributed
from freezeout.forward import Forward
from freezeout.parameter_groups import RATES
from freezeout.recompiling import compile_whole
from freezeout.reestimation import reestimate
from freezeout.schedule import Schedule, lr_factor, progress
from freezeout.stages.chain import Chain, check_stages
from freezeout.strategy import REESTIMATE, Adaptive, Strategy, check_strategy


class FreezeOut:
    """Sets each stage's learning rate and freezes stages from the front, as a strategy prescribes (Brock et al. 2017).

    Call `step()` before each training step. From its freeze time on, a stage (1) computes no gradient and builds no
    autograd graph, (2) normalises with its running statistics and stops updating them (unless the strategy's bn is
    "train"), (3) is not updated by the optimizer, which keeps no state for it, and (4) never thaws.

    `state_dict()` holds one number, plus an adaptive strategy's observations and decisions. To resume, build everything
    as for a new run and load the states of the model, of FreezeOut (which freezes the stages again) and of the
    optimizer, in any order.

    Args:
        stages: A Chain, or any sequence of modules in running order (see `find_stages`).
        optimizer: Any torch optimizer over the stages' parameters, except LBFGS. (Rprop reads its rate only once, so
            its stages freeze but do not anneal.)
        strategy: When stages freeze and what their rates are; see `freezeout.strategies`.
        total_steps: Length of the whole run, in training steps.
        warmup: Fraction of the run, from its start, over which every rate is also multiplied by a ramp from 0 to 1.
            The paper has none.
        rates: "set": FreezeOut sets the rates. Each parameter group's current rate is its base rate; the groups are
            split by stage, and nothing else may change the rates. "scale": a scheduler sets the rates, or they stay
            constant, and FreezeOut multiplies them during each optimizer step by its own rate divided by that of the
            plain cosine. Under torch's CosineAnnealingLR over total_steps, both give the same rates. The factor is
            exactly 1 for the head, for all stages under the baseline, and for all active stages under a strategy that
            only freezes.
        max_events: Upper limit on the number of steps at which stages freeze. Some stages then freeze later, together
            with others, but keep the learning rates of their own times. None freezes each stage at its own time.
        batches: Returns inputs of the network, from which the running statistics of stages are recomputed before they
            freeze. Required if the strategy's bn is "reestimate"; not used otherwise.

    Attributes:
        stages: The stages, as a list.
        schedule: The strategy's freeze and annealing times for these stages; for an adaptive strategy, as decided so
            far.
        total_steps: As given.
        bn: The strategy's: "eval", "reestimate" or "train".
        prefix: Number of leading stages that are frozen now.
        steps_begun: Training steps that `step()` has prepared so far, including the one in progress.

    Raises:
        ValueError: The optimizer holds a parameter of no stage, or has a scheduler although rates is "set"; two stages
            share a parameter; stages is not a sequence of modules, total_steps not a positive integer or batches not a
            function; warmup is outside [0, 1]; statistics cannot be recomputed; or max_events is given with an adaptive
            strategy.
    """

    def __init__(
        self,
        stages: Iterable[nn.Module],
        optimizer: Optimizer,
        strategy: Strategy,
        total_steps: int,
        *,
        warmup: float = 0.0,
        rates: str = "set",
        max_events: int | None = None,
        batches: Callable[[], Iterable[Any]] | None = None,
    ) -> None:
        check_choice("rates", rates, tuple(RATES))
        check_strategy(strategy)
        check_whole("total_steps", total_steps, 1)
        if batches is not None and not callable(batches):
            raise ValueError(f"batches={type(batches).__name__}: must be a function returning them (lambda: inputs)")
        check_share("warmup", warmup, zero=True)
        self.stages = sequence(stages)
        check_stages(self.stages)
        self.schedule: Schedule = strategy.schedule(len(self.stages))
        if max_events is not None:
            check_at_least("max_events", max_events, 1)
            if isinstance(strategy, Adaptive):
                raise ValueError(f"max_events={max_events}: unknown to an adaptive strategy; set its intervals")
            self.schedule = self.schedule.with_events(max_events, total_steps)
        self.total_steps = total_steps
        self.bn = strategy.bn
        self.prefix = 0
        self.steps_begun = 0
        self._frozen: list[nn.Parameter] = []
        self._executable = not isinstance(stages, Chain) or stages.executable
        self._batches = batches
        if self.bn == REESTIMATE and (batches is None or not self._executable):
            lacks = "FreezeOut(..., batches=...)" if self._executable else "a network that runs stage by stage"
            raise ValueError(f"bn={REESTIMATE} needs {lacks}")
        self._forward = Forward(self.stages, lambda: self.prefix, pure=self.pure)
        self._warmup_steps = warmup * total_steps
        self._optimizer = optimizer
        self._groups = RATES[rates](optimizer, self.stages)
        self._adapting: Adapting | None = None
        if isinstance(strategy, Adaptive):
            self._adapting = Adapting(strategy, self.stages, optimizer, total_steps)

    @property
    def pure(self) -> bool:
        """Whether the output of frozen stages depends on their input alone (bn is not "train")."""
        return self.bn != "train"

    @property
    def times(self) -> tuple[float, ...]:
        """t_i of each stage: the fraction of training after which it is frozen."""
        return self.schedule.freeze

    @property
    def events(self) -> list[int]:
        """The steps, counted from 0, at which something freezes."""
        return self.schedule.events(self.total_steps)

    @property
    def factors(self) -> list[float]:
        """Learning rate of each stage during the step that `step()` last prepared, in units of its base rate.

        With rates="scale", in units of the current rate of its parameter group.
        """
        return self._factors(max(self.steps_begun - 1, 0))

    def step(self, *, set_rates: bool = True) -> None:
        """Prepare the next training step: freeze the stages that are due and set the learning rates.

        Args:
            set_rates: False leaves setting the optimizer's rates (see `rates`) to the caller, as CUDA graphs require.

        Raises:
            RuntimeError: All steps of the schedule are over.
        """
        if self.steps_begun >= self.total_steps:
            raise RuntimeError(f"all {self.total_steps} steps of the schedule are over: total_steps is too small")
        self.settle()
        prefix = self.prefix_at(self.steps_begun)
        if self._batches is not None and self.bn == REESTIMATE and prefix > self.prefix:
            reestimate(self.stages, self.prefix, prefix, self._batches())
        self._apply(self.steps_begun, set_rates)
        self.steps_begun += 1

    def settle(self) -> None:
        """Let an adaptive strategy decide what is frozen from the next step on, if an interval ends before that step.

        `step()` calls this. Call it before asking for the next step's prefix ahead of `step()`.
        """
        if self._adapting and self.steps_begun < self.total_steps and self._adapting.settle(self.steps_begun):
            self.schedule = replace(self.schedule, freeze=tuple(self._adapting.times))

    def prefix_at(self, step: int) -> int:
        """How many leading stages are frozen during training step `step` (counted from 0).

        With an adaptive strategy, valid only for steps before `steady_until(next step)`; later ones are undecided.
        """
        return self.schedule.prefix(step, self.total_steps)

    def phase_at(self, step: int) -> Hashable:
        """A key, equal for steps that may be prepared together: same prefix and, if adaptive, same interval."""
        prefix = self.prefix_at(step)
        return (prefix, self._adapting.interval(step)) if self._adapting else prefix

    def steady_until(self, step: int) -> int:
        """The first step after `step` at which the prefix may change; `total_steps` if there is none.

        Code that prepares several steps at once (running the prefix ahead, capturing a CUDA graph) must stop there.
        """
        event = self.schedule.freeze_step(self.prefix_at(step), self.total_steps)
        until = self.total_steps if event is None else max(step + 1, event)
        return min(until, self._adapting.until(step)) if self._adapting else until

    def rates(self, step: int) -> list[float]:
        """Learning rate of each of the optimizer's parameter groups, in order, during training step `step`."""
        factors = self._factors(step)
        return [base * factors[i] for i, base in self._groups.columns()]

    def rates_between(self, start: int, stop: int) -> Tensor:
        """`rates` of the steps in [start, stop), as a float32 tensor of shape (steps, groups)."""
        factors = self.schedule.factors_between(start, stop, self.total_steps)
        if self._warmup_steps:
            ramp = torch.arange(start + 1, stop + 1, dtype=torch.float64) / self._warmup_steps
            factors *= ramp.clamp(max=1.0).numpy()[:, None]
        stage, base = zip(*self._groups.columns(), strict=True)
        return torch.from_numpy(base * factors[:, stage]).float()

    def set_modes(self) -> None:
        """Restore the frozen state of stages after a training loop has changed their modes or flags.

        model.train() takes frozen stages out of evaluation mode, and model.requires_grad_(True), which loops that train
        two networks in turn call, re-enables their gradients. If the strategy's bn is "train", modes are left alone.
        `step()` calls this.
        """
        for p in self._frozen:
            if p.requires_grad:
                p.requires_grad_(False)
                p.grad = None
        if self.pure:
            for stage in self.stages[: self.prefix]:
                # Check the inner modules: model.train() of the original network sets these, not the stage itself.
                if any(module.training for module in stage.modules()):
                    stage.eval()

    def state_dict(self) -> dict[str, Any]:
        """The number of training steps begun; everything else follows from it, except an adaptive strategy's state."""
        own = {"adaptive": self._adapting.state_dict()} if self._adapting else {}
        return {"step": self.steps_begun, **own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue after `state["step"]` steps: freezes the stages that were frozen then.

        Raises:
            ValueError: It is another object's state, it lacks the adaptive strategy's state, or its step is outside
                this run or before the current one: a frozen stage never thaws.
        """
        if "step" not in state:
            raise ValueError(f"not a FreezeOut state: it has {', '.join(map(str, state)) or 'nothing'}, but no step")
        step = state["step"]
        if not 0 <= step <= self.total_steps:
            raise ValueError(f"step {step} lies outside this run of {self.total_steps} steps")
        if step < self.steps_begun:
            raise ValueError(f"cannot go back from step {self.steps_begun} to {step}: a frozen stage never thaws")
        if self._adapting and "adaptive" in state:
            self._adapting.load_state_dict(state["adaptive"])
            self.schedule = replace(self.schedule, freeze=tuple(self._adapting.times))
        elif self._adapting and step:
            raise ValueError(f"step {step}: the state lacks the adaptive strategy's observations and decisions")
        if step:
            self._apply(step - 1, set_rates=True)
        self.steps_begun = step

    def forward(self, x: Tensor) -> Tensor:
        """The network's output; frozen stages run without autograd, from weights prepared when they froze.

        Equals `network(x)` up to rounding (1e-5 in float32; see `freezeout.stages.fold`). Frozen stages build no graph
        in `network(x)` either, so the gain on a CPU is small: 0 to 6 % of a step with all but the head frozen.

        Args:
            x: Images (batch, channels, height, width), or whatever stage 0 takes.

        Returns:
            Logits (batch, classes), or whatever the last stage returns.

        Raises:
            RuntimeError: The network could not be cut into stages that run one by one.
        """
        if not self._executable:
            raise RuntimeError("the network's stages cannot be run one by one (Chain.executable): call the network")
        return self._forward(x)

    def compile(self, network: nn.Module, **options: Any) -> Callable[..., Any]:
        """Compile the whole network with torch.compile: one graph before the first freeze event, and one after each.

        Train with the function returned. Evaluate with the network itself, so that evaluation adds no graphs.

        Args:
            network: The network that the stages belong to.
            options: Keyword arguments of torch.compile.

        Returns:
            The compiled network, called like the network itself.

        Raises:
            ValueError: Freezing needs more graphs than torch keeps; the message names the largest possible
                `max_events`.
        """
        events = self._adapting.most_events if self._adapting else len(self.events)
        return compile_whole(network, events, **options)

    def distribute(self, network: nn.Module, **options: Any) -> Distributed:
        """Wrap the network to average gradients over all ranks, without communicating those of frozen stages.

        Use it instead of DistributedDataParallel, after init_process_group and with a sampler of your own. A network
        under fully_shard (FSDP2) needs no wrapper: shard it, then make the optimizer and FreezeOut.

        Args:
            network: The network that the stages belong to, on this rank's device.
            options: Keyword arguments of torch's DistributedDataParallel.

        Returns:
            The wrapped network.

        Raises:
            ValueError: The schedule is not the same on all ranks.
        """
        return Distributed(self, network, **options)

    def __reduce_ex__(self, protocol: Any) -> Any:
        # torch does not copy an optimizer's hooks, so a copy would silently lose its rates.
        raise TypeError("a FreezeOut cannot be copied or pickled: save its state_dict() and load it into a new one")

    def _apply(self, step: int, set_rates: bool) -> None:
        prefix = self.prefix_at(step)
        for i in range(self.prefix, prefix):
            self._freeze(i)
        self.prefix = max(self.prefix, prefix)
        self.set_modes()
        self._groups.check(self.prefix)
        if set_rates:
            self._groups.write(self._factors(step) if self._groups.relative else self.rates(step))
        else:
            self._groups.leave()

    def _factors(self, step: int) -> list[float]:
        ramp = min(1.0, (step + 1) / self._warmup_steps) if self._warmup_steps else 1.0
        # The plain cosine's rate is never 0 before the end, and the head's factor, divided by it, is exactly 1.
        plain = lr_factor(progress(step, self.total_steps), 1.0, scaled=False) if self._groups.relative else 1.0
        return [ramp * (factor / plain) for factor in self.schedule.factors(step, self.total_steps)]

    def _freeze(self, i: int) -> None:
        for p in self.stages[i].parameters():
            self._frozen.append(p)
            p.requires_grad_(False)
            p.grad = None
            self._optimizer.state.pop(p, None)
        self._groups.drop(i)


def sequence(stages: Any) -> list[nn.Module]:
    """The stages as a list.

    Raises:
        ValueError: `stages` is a network, or anything but a non-empty sequence of modules.
    """
    found = list(stages) if isinstance(stages, Iterable) else []
    if not found or not all(isinstance(stage, nn.Module) for stage in found):
        name = type(stages).__name__
        raise ValueError(f"stages={name}: is not a sequence of modules; find_stages(network, images) makes one")
    return found
