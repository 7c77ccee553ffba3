"""A run between its first step and its record: saved in a checkpoint, and resumed from it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch._dynamo.callback

from freezeout import records
from freezeout.run import identity
from freezeout.run.lease import Lease
from freezeout.run.neighbours import Neighbours
from freezeout.run.plan import Plan
from freezeout.train import checkpoint
from freezeout.train.cache import Counts
from freezeout.train.loop import Training


@dataclass
class Run:
    """Everything of a run that is neither its plan nor the network in training.

    Attributes:
        plan: What the run is.
        training: The network in training.
        epochs: One entry per finished epoch, as metrics.jsonl has them.
        segments: One entry per attempt, from start or resumption to its end, kept up to date by every checkpoint.
        seconds: Seconds of everything except training: compile, evaluation, checkpoint.
        repeated: Training seconds that were lost by kills and trained again; an upper bound.
        lease: The lease of the run's folder, once held.
        neighbours: Watches what else uses the device, once the run trains.
    """

    plan: Plan
    training: Training
    epochs: list[dict[str, Any]] = field(default_factory=list)
    segments: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"compile": 0.0, "evaluation": 0.0, "checkpoint": 0.0})
    repeated: float = 0.0
    lease: Lease | None = None
    neighbours: Neighbours | None = None

    def __post_init__(self) -> None:
        self.seconds["compile"] += self.training.compile_seconds
        self.run_id = identity.run_id(self.plan)
        self.folder: Path = identity.folder(self.plan)

    def check_lease(self) -> None:
        """Called before any of the run's files is written. Raises TakenOverError if another process holds the run."""
        if self.lease is not None:
            self.lease.check()

    @property
    def is_lost(self) -> bool:
        """Whether another process was seen to have taken the run over."""
        return self.lease is not None and self.lease.lost

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Charge the seconds inside the block to `part`, except those of compilation."""
        start, compiled = time.perf_counter(), self.seconds["compile"]
        try:
            yield
        finally:
            self.seconds[part] += time.perf_counter() - start - (self.seconds["compile"] - compiled)

    @property
    def shared_device(self) -> bool | None:
        """Whether something else used the device in any attempt; None if not known for all."""
        found = [segment.get("shared_device") for segment in self.segments]
        return True if True in found else None if None in found else False

    @property
    def pause(self) -> float:
        """Seconds that may pass between two steps, on average so far: an evaluation, a checkpoint, and the step."""
        between = self.seconds["evaluation"] + self.seconds["checkpoint"]
        return between / max(len(self.epochs), 1) + self.training.clock.seconds / max(self.training.step, 1)

    def time_compilations(self) -> None:
        """From now on, charge torch.compile's work to `compile` only, whenever it happens."""
        began: list[float] = []

        def end(_: object) -> None:
            took = time.perf_counter() - began.pop()
            self.seconds["compile"] += took
            self.training.clock.exclude(took)

        handler = torch._dynamo.callback.callback_handler
        handler.clear()  # handlers of the previous run in this process
        handler.register_start_callback(lambda _: began.append(time.perf_counter()))
        handler.register_end_callback(end)

    def open_segment(self, started: str, host: str) -> None:
        """Begin an attempt; `started` is its time in ISO format."""
        step = self.training.step
        self.segments.append({"started": started, "step_from": step, "step_to": step, "seconds": 0.0, "host": host})
        self._opened = time.perf_counter() - self.training.compile_seconds

    def update_segment(self) -> None:
        self.segments[-1] |= {"step_to": self.training.step, "seconds": time.perf_counter() - self._opened}
        self.segments[-1]["shared_device"] = self.neighbours.shared if self.neighbours else None


def save(run: Run, *, clean: bool) -> None:
    """Replace the checkpoint.

    Args:
        run: Between two steps.
        clean: The run stops here deliberately, so that no work after the checkpoint is lost.

    Raises:
        TakenOverError: Another process now holds the run; the checkpoint is left unchanged.
    """
    with run.timed("checkpoint"):
        run.update_segment()
        state = state_of(run, clean=clean)
        run.check_lease()
        checkpoint.save(run.folder / "checkpoint.pt", state)


def state_of(run: Run, *, clean: bool) -> dict[str, Any]:
    """The content of a checkpoint."""
    training = run.training
    return {
        "run_id": run.run_id,
        "clean": clean,
        "loss_sum": training.loss_sum,
        "model": training.chain.state_dict(),
        "freezeout": training.freezeout.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "clock": training.clock.state_dict(),
        "remembered": asdict(training.cache.counts) if training.cache else None,
        "segments": run.segments,
        "seconds": run.seconds,
        "repeated": run.repeated,
    }


def checkpoint_bytes(run: Run) -> int:
    """The approximate size of a checkpoint, without its small parts."""
    found, kept = 0, [state_of(run, clean=False)]
    while kept:
        value = kept.pop()
        if isinstance(value, torch.Tensor):
            found += value.nbytes
        elif isinstance(value, dict | list | tuple):
            kept += value.values() if isinstance(value, dict) else value
    return found


def resume(run: Run) -> None:
    """Continue from the last checkpoint, if there is one; anything written after it is dropped and repeated.

    Raises:
        ValueError: Checkpoint or metrics cannot be read, or belong to another run.
    """
    training = run.training
    state = checkpoint.load(run.folder / "checkpoint.pt", run.run_id, training.device)
    step = state["freezeout"]["step"] if state else 0
    metrics = run.folder / "metrics.jsonl"
    per_epoch = training.steps_per_epoch
    behind = -(-step // per_epoch) if step == run.plan.steps else step // per_epoch  # the last epoch may be cut short
    run.epochs = records.read_lines(metrics)[:behind]
    if [entry.get("epoch") for entry in run.epochs] != list(range(1, behind + 1)):
        raise ValueError(
            f"{metrics}: does not begin with the checkpoint's {behind} epochs; delete the run's folder to train again"
        )
    if metrics.exists():
        records.rewrite_lines(metrics, run.epochs)
    if state is None:
        return
    training.loss_sum.copy_(state["loss_sum"])
    training.chain.load_state_dict(state["model"])
    training.freezeout.load_state_dict(state["freezeout"])
    training.optimizer.load_state_dict(state["optimizer"])
    training.clock.load_state_dict(state["clock"])
    if training.cache is not None:
        training.cache.counts = Counts(**state["remembered"])
    compiled = run.seconds["compile"]
    run.segments, run.seconds, run.repeated = state["segments"], state["seconds"], state["repeated"]
    run.seconds["compile"] += compiled
    clean = state["clean"] if "clean" in state else state["told"]  # its name in older checkpoints
    if not clean and step < run.plan.steps:
        # Killed: its progress after the checkpoint is not known, but a checkpoint is made every epoch.
        run.repeated += training.clock.seconds / max(step, 1) * training.steps_per_epoch
