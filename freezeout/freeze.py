"""FreezeOut, the mechanism: from the step its time has come, a stage leaves training for good."""

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
    """Sets each stage's learning rate and freezes stages from the front, as a strategy says (Brock et al. 2017).

    Call `step()` before each training step. From the step its time has come, a stage (1) computes no gradient and
    builds no autograd graph, (2) normalises with its running statistics and moves them no more (unless the strategy's
    bn is "train"), (3) is touched by no optimizer and keeps no state there, and (4) never thaws.

    `state_dict()` is one number, and of an adaptive strategy what it has seen and decided. To resume, build everything
    as for a new run and load the model's state, this one's (it freezes the stages again) and the optimizer's, in any
    order.

    Args:
        stages: A Chain, or any sequence of modules in running order (see `find_stages`).
        optimizer: Any torch optimizer over the stages' parameters, but LBFGS. (Rprop reads its rate once: it freezes,
            and knows no annealing.)
        strategy: When stages freeze and what their rates are; see `freezeout.strategies`.
        total_steps: Length of the whole run, in training steps.
        warmup: Fraction of the run, from its start, over which every rate is also multiplied by a ramp from 0 to 1.
            The paper has none.
        rates: "set": FreezeOut sets the rates, from the base rate that each group of the optimizer has now; the groups
            are split by stage, and nobody else may change the rates. "scale": a scheduler (or nobody) sets them, and
            FreezeOut multiplies them while the optimizer steps, by its rate over that of the plain cosine. Under
            torch's CosineAnnealingLR over total_steps the two are the same rates; where nothing freezes, and for the
            head always, the factor is exactly 1; with a strategy that only freezes it is 1 for all that train.
        max_events: Freeze at no more than so many steps: some stages then wait for later ones, at rates of their own
            time. None freezes each stage as soon as its time has come.
        batches: Gives inputs of the network, from which the running statistics of stages are computed afresh before
            they freeze: needed where the strategy's bn is "reestimate", and only there.

    Attributes:
        stages: The stages, as a list.
        schedule: What the strategy makes of them; of an adaptive one, what it has decided so far.
        total_steps: As given.
        bn: The strategy's: "eval", "reestimate" or "train".
        prefix: How many leading stages are frozen now.
        steps_begun: Training steps that `step()` has prepared so far; the one under way, if any, included.

    Raises:
        ValueError: The optimizer holds a parameter of no stage or has a scheduler although rates is "set", two stages
            share a parameter, stages is no sequence of modules, total_steps no whole number from 1 or batches no
            function, warmup lies outside [0, 1], statistics cannot be computed afresh, or max_events is given to an
            adaptive strategy.
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
            raise ValueError(f"batches={type(batches).__name__}: must be a function that gives them, as lambda: inputs")
        check_share("warmup", warmup, zero=True)
        self.stages = sequence(stages)
        check_stages(self.stages)
        self.schedule: Schedule = strategy.schedule(len(self.stages))
        if max_events is not None:
            check_at_least("max_events", max_events, 1)
            if isinstance(strategy, Adaptive):
                raise ValueError(f"max_events={max_events}: an adaptive strategy does not know them; give it intervals")
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
        """Whether frozen stages are functions of their input alone."""
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

        With rates="scale", in units of the rate that its group of the optimizer has.
        """
        return self._factors(max(self.steps_begun - 1, 0))

    def step(self, *, set_rates: bool = True) -> None:
        """Prepare the next training step: freeze the stages whose time has come and set the rates of its t.

        Args:
            set_rates: False leaves the optimizer's rates to a caller who sets them from `rates`, as a captured step
                does.

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
        """Let an adaptive strategy decide what is frozen from the coming step on, if an interval ends before it.

        `step()` does this, too; whoever asks for the coming step's prefix before it does it first.
        """
        if self._adapting and self.steps_begun < self.total_steps and self._adapting.settle(self.steps_begun):
            self.schedule = replace(self.schedule, freeze=tuple(self._adapting.times))

    def prefix_at(self, step: int) -> int:
        """How many leading stages are frozen during training step `step` (counted from 0).

        With an adaptive strategy only steps before `steady_until` of the coming one have an answer.
        """
        return self.schedule.prefix(step, self.total_steps)

    def phase_at(self, step: int) -> Hashable:
        """Equal for steps that may be prepared at once: of one prefix and, with an adaptive strategy, one interval."""
        prefix = self.prefix_at(step)
        return (prefix, self._adapting.interval(step)) if self._adapting else prefix

    def steady_until(self, step: int) -> int:
        """The first step after `step` at which the prefix may be another one; `total_steps` where there is none.

        Whoever prepares several steps at once (a window that runs ahead, a graph and its table of rates) ends there.
        """
        event = self.schedule.freeze_step(self.prefix_at(step), self.total_steps)
        until = self.total_steps if event is None else max(step + 1, event)
        return min(until, self._adapting.until(step)) if self._adapting else until

    def rates(self, step: int) -> list[float]:
        """Learning rate of each of the optimizer's groups, in their order, during training step `step`."""
        factors = self._factors(step)
        return [base * factors[i] for i, base in self._groups.columns()]

    def rates_between(self, start: int, stop: int) -> Tensor:
        """`rates` of the steps from `start` to before `stop`, as float32 (steps, groups)."""
        factors = self.schedule.factors_between(start, stop, self.total_steps)
        if self._warmup_steps:
            ramp = torch.arange(start + 1, stop + 1, dtype=torch.float64) / self._warmup_steps
            factors *= ramp.clamp(max=1.0).numpy()[:, None]
        stage, base = zip(*self._groups.columns(), strict=True)
        return torch.from_numpy(base * factors[:, stage]).float()

    def set_modes(self) -> None:
        """Put frozen stages back to rest, where a training loop has woken them.

        The usual model.train() takes them out of evaluation mode (where the strategy's bn is "train" they stay as they
        are), and model.requires_grad_(True), as loops of two networks in turn have it, asks for their gradients.
        `step()` does this, too.
        """
        for p in self._frozen:
            if p.requires_grad:
                p.requires_grad_(False)
                p.grad = None
        if self.pure:
            for stage in self.stages[: self.prefix]:
                # Of what is inside, since model.train() of the network that stages were found in does not pass them.
                if any(module.training for module in stage.modules()):
                    stage.eval()

    def state_dict(self) -> dict[str, Any]:
        """How many training steps have begun; all else is a pure function of it, but for an adaptive strategy's."""
        own = {"adaptive": self._adapting.state_dict()} if self._adapting else {}
        return {"step": self.steps_begun, **own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue after `state["step"]` steps: freezes what was frozen then.

        Raises:
            ValueError: It is another object's state, or the step lies outside this run, or before the present one: a
                frozen stage never thaws.
        """
        if "step" not in state:
            raise ValueError(f"no state of a FreezeOut: it holds {', '.join(map(str, state)) or 'nothing'}, no step")
        step = state["step"]
        if not 0 <= step <= self.total_steps:
            raise ValueError(f"step {step} lies outside this run of {self.total_steps} steps")
        if step < self.steps_begun:
            raise ValueError(f"cannot go back from step {self.steps_begun} to {step}: a frozen stage never thaws")
        if self._adapting and "adaptive" in state:
            self._adapting.load_state_dict(state["adaptive"])
            self.schedule = replace(self.schedule, freeze=tuple(self._adapting.times))
        elif self._adapting and step:
            raise ValueError(f"step {step}: what an adaptive strategy had seen and decided by then is not in the state")
        if step:
            self._apply(step - 1, set_rates=True)
        self.steps_begun = step

    def forward(self, x: Tensor) -> Tensor:
        """The network's output, its frozen stages run without autograd from weights prepared when they froze.

        What `network(x)` gives but for rounding (1e-5 in float32; see `freezeout.stages.fold`). There, too, frozen
        stages build no graph, so that on a CPU little is left to gain: 0 to 6 % of a step with all but the head frozen.

        Args:
            x: Images (batch, channels, height, width), or whatever stage 0 takes.

        Raises:
            RuntimeError: The network could not be cut into stages that run one by one.
        """
        if not self._executable:
            raise RuntimeError("the network's stages cannot be run one by one (Chain.executable): call the network")
        return self._forward(x)

    def compile(self, network: nn.Module, **options: Any) -> Callable[..., Any]:
        """The whole network through torch.compile: one graph for each freeze event and one before them.

        Train through what is returned, and evaluate the network itself, whose passes are then no graphs of this one.

        Args:
            network: What the stages are of.
            options: Of torch.compile.

        Raises:
            ValueError: These are more graphs than torch keeps; the message says how many `max_events` can be.
        """
        events = self._adapting.most_events if self._adapting else len(self.events)
        return compile_whole(network, events, **options)

    def distribute(self, network: nn.Module, **options: Any) -> Distributed:
        """The network with gradients averaged over all ranks, and those of frozen stages no longer sent.

        Use it in place of DistributedDataParallel, after init_process_group and with a sampler of your own. A network
        under fully_shard (FSDP2) needs nothing of the kind: shard it, then make the optimizer and FreezeOut.

        Args:
            network: What the stages are of, on this rank's device.
            options: Of torch's DistributedDataParallel.
        """
        return Distributed(self, network, **options)

    def __reduce_ex__(self, protocol: Any) -> Any:
        # torch copies no hooks of an optimizer: with them a copy would lose its rates, and say nothing.
        raise TypeError("a FreezeOut cannot be copied or pickled: keep its state_dict(), and load it into a new one")

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
        # The rate of the plain cosine divides itself away: never 0 before the end, and exactly 1 for the head.
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
        ValueError: It is a network, or another thing than a sequence of modules.
    """
    found = list(stages) if isinstance(stages, Iterable) else []
    if not found or not all(isinstance(stage, nn.Module) for stage in found):
        name = type(stages).__name__
        raise ValueError(f"stages={name}: is no sequence of modules; find_stages(network, images) makes a network one")
    return found
