"""The most that freezing could save on a GPU: kernel seconds of each stage's work, however kernels are launched."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from torch.autograd import DeviceType

from benchmarks.arms import Engine, never_stop
from benchmarks.ideal import StagesAlone, mark_boundaries, optimizer_like
from freezeout.run.plan import Plan
from freezeout.train.clock import synchronise

MARKER = "spin_kernel"  # the kernel of torch.cuda._sleep: separates the kernels of one stage from those of the next
STEPS = 3  # profiled at once, or as many as an epoch has


class ProfiledStages:
    """As `ideal.ClockedStages`, from the profiler's kernels of an eager engine with nothing frozen.

    Args:
        plan: The run.
    """

    def __init__(self, plan: Plan) -> None:
        self._device = plan.device
        self._engine = Engine("eager", plan, 0)
        self._steps = min(STEPS, self._engine.training.steps_per_epoch)
        mark_boundaries(self._engine, mark_kernels)
        self._engine.epoch(never_stop)
        chain = plan.build().to(plan.device)
        template = self._engine.training.optimizer
        self._optimizers = [optimizer_like(template, list(stage.parameters())) for stage in chain]
        self._alone = StagesAlone(plan, self._engine.chain)

    def input_seconds(self) -> list[float]:
        """For each stage, kernel seconds of a step that compute the gradient of its input alone."""

        def work() -> None:
            for i in range(len(self._alone)):
                for with_input in (True, False):
                    mark_kernels()
                    self._alone.backward(i, with_input=with_input)

        pieces = kernel_pieces(work, self._device)[1:]
        return [max(0.0, full - own) for full, own in zip(pieces[::2], pieces[1::2], strict=True)]

    def own_seconds(self) -> list[float]:
        """For each stage, kernel seconds of a step that freezing it saves at least.

        Raises:
            RuntimeError: The engine ran a stage in a way that no hook saw.
        """
        stages = len(self._optimizers)
        pieces = kernel_pieces(self._train_steps, self._device)
        # Piece 0 is the first forward pass; the piece after the last marker of a step reaches to the next step's first.
        steps = [pieces[1 + s * (stages + 1) :][:stages] for s in range(self._steps)]
        if len(pieces) != 1 + self._steps * (stages + 1):
            raise RuntimeError(f"{len(pieces) - 1} markers in {self._steps} steps of {stages} stages: not all were run")
        backward = [statistics.fmean(step[stages - 1 - i] for step in steps) for i in range(stages)]
        optimizers = kernel_pieces(self._step_optimizers, self._device)[1:]
        return [b + o for b, o in zip(backward, optimizers, strict=True)]

    def _train_steps(self) -> None:
        done = 0

        def enough() -> bool:
            nonlocal done
            done += 1
            return done == self._steps

        self._engine.epoch(enough)

    def _step_optimizers(self) -> None:
        for optimizer in self._optimizers:
            mark_kernels()
            optimizer.step()


def mark_kernels() -> None:
    """Launch a kernel that is recognisable in the profile."""
    torch.cuda._sleep(1)


def kernel_pieces(work: Callable[[], None], device: torch.device) -> list[float]:
    """Seconds of the kernels that `work` launches: one sum for each piece between markers, in the order of running.

    Raises:
        RuntimeError: The profiler sees no kernels.
    """
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        work()
        synchronise(device)
    on_device = [e for e in profile.events() or [] if e.device_type == DeviceType.CUDA and not e.is_user_annotation]
    if not on_device:
        raise RuntimeError("torch's profiler sees no kernels here: CUPTI is missing, or this user may not use it")
    pieces = [0.0]
    for event in sorted(on_device, key=lambda e: e.time_range.start):
        if MARKER in event.name:
            pieces.append(0.0)
        else:
            pieces[-1] += 1e-6 * event.time_range.elapsed_us()
    return pieces
