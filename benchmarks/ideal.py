"""What freezing could save at best: each stage's own backward and optimizer work at prefix 0, each timed by itself.

Never a difference of step times between prefixes: that is what is to be judged.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.arms import Ours, go_on
from freezeout.run.plan import Plan
from freezeout.schedule import Schedule

REPEATS = 20  # optimizer steps of one stage, whose mean is taken


def ideal_saving(
    shares: Sequence[float], schedule: Schedule, steps: int, handed_on: Sequence[float] | None = None
) -> float:
    """The share of a run of `steps` steps that its frozen stages' work would have taken.

    shares: of each stage, its backward and optimizer work as a share of a step with nothing frozen.
    handed_on: of each stage, the part of its backward that only makes the gradient of its input. The first active
        stage saves that too; leave it out for the frozen stages' own work alone.
    Raises ValueError when there are not as many as the schedule has stages.
    """
    if len(shares) != len(schedule.freeze):
        raise ValueError(f"{len(shares)} shares and a schedule for {len(schedule.freeze)} stages: need one each")
    handed = [0.0] * len(shares) if handed_on is None else [0.0, *handed_on[1:]]
    saved = ((end - start) * (sum(shares[:k]) + handed[k]) for k, start, end in schedule.segments(steps))
    return sum(saved) / steps


class Boundaries:
    """Calls `mark` in every backward pass as the gradient of each stage's output arrives, the last stage's first,
    and once more when the optimizer begins."""

    def __init__(self, ours: Ours, mark: Callable[[], None]) -> None:
        def watch(module: nn.Module, inputs: tuple, output: Tensor) -> None:
            output.register_hook(lambda gradient: mark())

        for stage in ours.chain:
            stage.register_forward_hook(watch)
        ours.training.optimizer.register_step_pre_hook(lambda *_: mark())


def own_backward(moments: Sequence[float], stages: int) -> list[float]:
    """Seconds of each stage's backward in a step, first stage first, from the moments at its boundaries: the mean.

    Raises RuntimeError when the engine ran a stage that nothing could watch.
    """
    if not moments or len(moments) % (stages + 1):
        raise RuntimeError(f"{len(moments)} gradients arrived at the boundaries of {stages} stages: not all were seen")
    steps = [moments[i : i + stages + 1] for i in range(0, len(moments), stages + 1)]
    # The gradient of stage i's output arrives at place n - 1 - i; at the next place stage i has done its part.
    return [statistics.fmean(s[stages - i] - s[stages - 1 - i] for s in steps) for i in range(stages)]


def optimizer_of(template: Optimizer, parameters: Sequence[Tensor]) -> Optimizer:
    """An optimizer as `template`, over `parameters` alone, which get gradients to work on; it has made one step."""
    optimizer = type(template)(list(parameters), **template.defaults)
    for p in parameters:
        p.grad = torch.randn_like(p)
    optimizer.step()
    return optimizer


class StagesAlone:
    """Each stage's backward by itself, with the gradient of its input and without: the difference is what it only
    computes for the stage before it."""

    def __init__(self, plan: Plan, like: nn.Module) -> None:
        bf16, device = plan.config.machine.precision == "bf16", plan.device
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
        out, gradient, parameters, x = self._graphs[i]
        torch.autograd.grad(out, [*parameters, x] if with_input else parameters, gradient, retain_graph=True)


class ClockedStages:
    """On a CPU: clocks around each stage's backward within real steps at prefix 0, and around its optimizer."""

    def __init__(self, plan: Plan) -> None:
        self._moments: list[float] = []
        self._ours = Ours("d", plan, 0)
        self._steps = self._ours.training.steps_per_epoch
        Boundaries(self._ours, lambda: self._moments.append(time.perf_counter()))
        self._ours.epoch(go_on)
        template = self._ours.training.optimizer
        self._optimizers = [optimizer_of(template, list(stage.parameters())) for stage in plan.build()]
        empty = optimizer_of(template, list(plan.build()[0].parameters()))
        empty.param_groups[0]["params"] = []
        self._empty = empty
        self._alone = StagesAlone(plan, self._ours.chain)

    def handed_on(self) -> list[float]:
        """Of each stage, seconds of a step that only make the gradient of its input."""

        def seconds(i: int, with_input: bool) -> float:
            start = time.perf_counter()
            self._alone.backward(i, with_input=with_input)
            return time.perf_counter() - start

        pairs = [[seconds(i, True) - seconds(i, False) for _ in range(3)] for i in range(len(self._alone))]
        return [max(0.0, statistics.median(differences)) for differences in pairs]

    def visit(self) -> tuple[list[float], float]:
        """Of each stage, seconds of a step that freezing it saves at least; and seconds of the whole step."""
        self._moments.clear()
        start = time.perf_counter()
        self._ours.epoch(go_on)
        step = (time.perf_counter() - start) / self._steps
        backward = own_backward(self._moments, len(self._optimizers))
        fixed = self._optimizer_seconds(self._empty)  # an optimizer without parameters: paid whatever is frozen
        own = [max(0.0, self._optimizer_seconds(optimizer) - fixed) for optimizer in self._optimizers]
        return [b + o for b, o in zip(backward, own, strict=True)], step

    @staticmethod
    def _optimizer_seconds(optimizer: Optimizer) -> float:
        start = time.perf_counter()
        for _ in range(REPEATS):
            optimizer.step()
        return (time.perf_counter() - start) / REPEATS
