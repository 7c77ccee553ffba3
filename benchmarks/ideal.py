"""The most that freezing could save: each stage's own backward and optimizer work, timed alone with nothing frozen.

Never a difference of step times between prefixes: those are what the benchmark judges.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.arms import Engine, never_stop
from freezeout.run.plan import Plan
from freezeout.schedule import Schedule

OPTIMIZER_STEPS = 20  # of one stage, whose mean is taken
INPUT_REPEATS = 3  # backward passes of one stage with and without its input's gradient, whose median is taken


def ideal_saving(
    own_shares: Sequence[float], schedule: Schedule, steps: int, input_shares: Sequence[float] | None = None
) -> float:
    """The share of a run's seconds that the frozen stages' work would have taken.

    Args:
        own_shares: For each stage, its backward and optimizer work as a share of a step with nothing frozen.
        schedule: When the stages freeze.
        steps: Training steps of the run.
        input_shares: For each stage, the part of its backward that computes the gradient of its input alone, in the
            same unit. The first active stage saves that too; None leaves it out.

    Raises:
        ValueError: There is not one share per stage of the schedule.
    """
    if len(own_shares) != len(schedule.freeze):
        raise ValueError(f"{len(own_shares)} shares and a schedule for {len(schedule.freeze)} stages: need one each")
    # Stage 0 has images as input and computes no gradient of them.
    inputs = [0.0] * len(own_shares) if input_shares is None else [0.0, *input_shares[1:]]
    saved = ((end - start) * (sum(own_shares[:k]) + inputs[k]) for k, start, end in schedule.segments(steps))
    return sum(saved) / steps


def mark_boundaries(engine: Engine, mark: Callable[[], None]) -> None:
    """Have `mark` called in every backward pass when the gradient of a stage's output arrives, that of the last stage
    first, and once more when the optimizer begins: one time more than there are stages."""

    def watch(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        output.register_hook(lambda gradient: mark())

    for stage in engine.chain:
        stage.register_forward_hook(watch)
    engine.training.optimizer.register_step_pre_hook(lambda *_: mark())


def own_backward(moments: Sequence[float], stages: int) -> list[float]:
    """Mean seconds of each stage's backward in a step, first stage first.

    Args:
        moments: When each mark of `mark_boundaries` was made, over any number of steps, in seconds.
        stages: How many the network has.

    Raises:
        RuntimeError: The engine ran a stage in a way that no hook saw.
    """
    if not moments or len(moments) % (stages + 1):
        raise RuntimeError(f"{len(moments)} gradients arrived at the boundaries of {stages} stages: not all were seen")
    steps = [moments[i : i + stages + 1] for i in range(0, len(moments), stages + 1)]
    # The gradient of stage i's output arrives at mark n - 1 - i; at the next mark stage i has finished.
    return [statistics.fmean(s[stages - i] - s[stages - 1 - i] for s in steps) for i in range(stages)]


def optimizer_like(template: Optimizer, parameters: Sequence[Tensor]) -> Optimizer:
    """An optimizer of the kind of `template` over `parameters` alone, which get random gradients; one step is done, so
    that its state exists."""
    optimizer = type(template)(list(parameters), **template.defaults)
    for p in parameters:
        p.grad = torch.randn_like(p)
    optimizer.step()
    return optimizer


class StagesAlone:
    """Each stage's backward by itself, with the gradient of its input and without. The difference is work that it does
    only for the stage before it.

    Args:
        plan: The run; its network is built anew, with random activations between the stages.
        like: The network whose memory format is taken.
    """

    def __init__(self, plan: Plan, like: nn.Module) -> None:
        bf16, device = plan.precision == "bf16", plan.device
        kernels = [p for p in like.parameters() if p.dim() == 4]
        channels_last = all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)
        form = torch.channels_last if channels_last else torch.contiguous_format
        chain = plan.build().to(device).to(memory_format=form).train()
        x = torch.randn(plan.config.batch_size, 3, *plan.source.image, device=device).contiguous(memory_format=form)
        self._graphs: list[tuple[Tensor, Tensor, list[Tensor], Tensor]] = []
        for stage in chain:
            x = x.detach().requires_grad_()
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
                out = stage(x)
            self._graphs.append((out, torch.randn_like(out), list(stage.parameters()), x))
            x = out

    def __len__(self) -> int:
        return len(self._graphs)

    def backward(self, i: int, *, with_input: bool) -> None:
        """Run the backward pass of stage i, down to its input's gradient or to its weights' alone."""
        out, gradient, parameters, x = self._graphs[i]
        torch.autograd.grad(out, [*parameters, x] if with_input else parameters, gradient, retain_graph=True)


class ClockedStages:
    """On a CPU: clocks around each stage's backward inside of real steps with nothing frozen, and around its optimizer.

    Args:
        plan: The run; a visit trains one of its epochs.
    """

    def __init__(self, plan: Plan) -> None:
        self._moments: list[float] = []
        self._engine = Engine("eager", plan, 0)
        self._steps = self._engine.training.steps_per_epoch
        mark_boundaries(self._engine, lambda: self._moments.append(time.perf_counter()))
        self._engine.epoch(never_stop)
        template = self._engine.training.optimizer
        self._optimizers = [optimizer_like(template, list(stage.parameters())) for stage in plan.build()]
        self._empty = optimizer_like(template, list(plan.build()[0].parameters()))
        self._empty.param_groups[0]["params"] = []
        self._alone = StagesAlone(plan, self._engine.chain)

    def input_seconds(self) -> list[float]:
        """For each stage, seconds of a step that compute the gradient of its input alone."""

        def seconds(i: int, with_input: bool) -> float:
            start = time.perf_counter()
            self._alone.backward(i, with_input=with_input)
            return time.perf_counter() - start

        def difference(i: int) -> float:
            return statistics.median(seconds(i, True) - seconds(i, False) for _ in range(INPUT_REPEATS))

        return [max(0.0, difference(i)) for i in range(len(self._alone))]

    def own_seconds(self) -> tuple[list[float], float]:
        """For each stage, seconds of a step that freezing it saves at least; and the seconds of the whole step."""
        self._moments.clear()
        start = time.perf_counter()
        self._engine.epoch(never_stop)
        step = (time.perf_counter() - start) / self._steps
        backward = own_backward(self._moments, len(self._optimizers))
        fixed = self._optimizer_seconds(
            self._empty
        )  # an optimizer without parameters: a cost that freezing does not remove
        own = [max(0.0, self._optimizer_seconds(optimizer) - fixed) for optimizer in self._optimizers]
        return [b + o for b, o in zip(backward, own, strict=True)], step

    @staticmethod
    def _optimizer_seconds(optimizer: Optimizer) -> float:
        start = time.perf_counter()
        for _ in range(OPTIMIZER_STEPS):
            optimizer.step()
        return (time.perf_counter() - start) / OPTIMIZER_STEPS
