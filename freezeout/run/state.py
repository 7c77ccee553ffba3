"""The state of a run between its first step and its record: saved, taken up again, and written down."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch._dynamo.callback

from freezeout import records
from freezeout.run.plan import Plan
from freezeout.run.provenance import device_model
from freezeout.savings import cost
from freezeout.train import checkpoint
from freezeout.train.evaluation import Evaluation
from freezeout.train.loop import Training


@dataclass
class Run:
    """Everything of a run in progress that is not the network itself."""

    plan: Plan
    training: Training
    epochs: list[dict[str, Any]] = field(default_factory=list)
    segments: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"compile": 0.0, "evaluation": 0.0, "checkpoint": 0.0})
    repeated: float = 0.0
    warmed: float = 0.0  # seconds of compiling before this attempt's first step

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        start, compiled = time.perf_counter(), self.seconds["compile"]
        try:
            yield
        finally:
            self.seconds[part] += time.perf_counter() - start - (self.seconds["compile"] - compiled)

    def time_compilations(self) -> None:
        """From now on, charge torch.compile's work to `compile` and to nothing else, whenever it happens."""
        began: list[float] = []

        def end(_: object) -> None:
            took = time.perf_counter() - began.pop()
            self.seconds["compile"] += took
            self.training.clock.exclude(took)

        handler = torch._dynamo.callback.callback_handler
        handler.clear()  # those of the run before this one in the same process
        handler.register_start_callback(lambda _: began.append(time.perf_counter()))
        handler.register_end_callback(end)

    def open_segment(self, started: str, host: str) -> None:
        """A segment is one attempt, from start or resumption to its end; kept up to date by every checkpoint."""
        step = self.training.step
        self.segments.append({"started": started, "step_from": step, "step_to": step, "seconds": 0.0, "host": host})
        self._opened = time.perf_counter() - self.warmed

    def update_segment(self) -> None:
        self.segments[-1] |= {"step_to": self.training.step, "seconds": time.perf_counter() - self._opened}


def save(run: Run, *, told: bool) -> None:
    """Replace the checkpoint. told: the run stops here on purpose, so nothing after it has been done and lost."""
    training = run.training
    with run.timed("checkpoint"):
        run.update_segment()
        state = {
            "run_id": run.plan.run_id,
            "told": told,
            "step": training.step,
            "loss_sum": training.loss_sum,
            "model": training.chain.state_dict(),
            "freezeout": training.freezeout.state_dict(),
            "optimizer": training.optimizer.state_dict(),
            "clock": training.clock.state_dict(),
            "segments": run.segments,
            "seconds": run.seconds,
            "repeated": run.repeated,
        }
        checkpoint.save(run.plan.folder / "checkpoint.pt", state)


def resume(run: Run) -> None:
    """Go on from the last checkpoint, if there is one; what was written after it is dropped and done again."""
    training, folder = run.training, run.plan.folder
    state = checkpoint.load(folder / "checkpoint.pt", run.plan.run_id, training.device)
    step = state["step"] if state else 0
    metrics = folder / "metrics.jsonl"
    run.epochs = [entry for entry in records.read_lines(metrics) if entry["step"] <= step]
    if metrics.exists():
        records.rewrite_lines(metrics, run.epochs)
    if state is None:
        return
    training.loss_sum.copy_(state["loss_sum"])
    training.chain.load_state_dict(state["model"])
    training.freezeout.load_state_dict(state["freezeout"])
    training.optimizer.load_state_dict(state["optimizer"])
    training.clock.load_state_dict(state["clock"])
    run.segments, run.seconds, run.repeated = state["segments"], state["seconds"], state["repeated"]
    run.seconds["compile"] += run.warmed
    if not state["told"] and step < run.plan.steps:
        # Killed: how far it got after the checkpoint is not known, but a checkpoint is made every epoch.
        run.repeated += training.clock.seconds / max(step, 1) * training.steps_per_epoch


def epoch_entry(run: Run, loss: float, result: Evaluation) -> dict[str, Any]:
    """One line of metrics.jsonl; prefix and rates are those of the epoch's last step, seconds those of training."""
    training, before = run.training, run.epochs[-1] if run.epochs else {"step": 0, "seconds": 0.0}
    freezeout, seconds = training.freezeout, training.clock.seconds
    rate = run.plan.config.optimizer.lr
    return {
        "epoch": len(run.epochs) + 1,
        "step": training.step,
        "train_loss": loss,
        "eval_loss": records.null_if_not_finite(result.loss),
        "error": result.error,
        "seconds": seconds,
        "step_seconds": (seconds - before["seconds"]) / (training.step - before["step"]),
        "prefix": freezeout.prefix,
        "active_stages": len(freezeout.stages) - freezeout.prefix,
        "learning_rates": [rate * factor for factor in freezeout.factors],
    }


def make_record(run: Run, sweep: str | None, status: str, reason: str | None, origin: dict[str, Any]) -> dict[str, Any]:
    """The record, but for what is measured once at the end. Absent is null, never 0."""
    plan, training = run.plan, run.training
    schedule, costs, source = plan.schedule, plan.costs, plan.source
    run.update_segment()
    freeze_steps = schedule.freeze_steps(plan.steps)
    parts = run.seconds | {"train": training.clock.seconds, "total": sum(s["seconds"] for s in run.segments)}
    if not run.plan.config.machine.compile:
        parts["compile"] = None
    stages = [
        {
            "name": name,
            "parameters": sum(p.numel() for p in stage.parameters()),
            "forward": costs[i].forward if costs else None,
            "backward": costs[i].backward_own + costs[i].backward_input if costs else None,
            "freeze_step": freeze_steps[i],
        }
        for i, (name, stage) in enumerate(training.chain.stages.items())
    ]
    flops = (
        {"baseline": cost.step_cost(costs, 0) * plan.full_steps, "run": cost.run_cost(costs, schedule, plan.steps)}
        if costs
        else None
    )
    cuda = training.device.type == "cuda"
    return {
        "schema_version": records.SCHEMA_VERSION,
        "status": status,
        "reason": reason,
        "run_id": plan.run_id,
        "group": plan.group,
        "seed": plan.config.seed,
        "sweep": sweep,
        "config": plan.described,
        **origin,
        "device": {"type": training.device.type, "model": device_model(training.device), "threads": plan.threads},
        "data": {
            "name": source.name,
            "fingerprint": source.fingerprint,
            "synthetic": source.synthetic,
            "classes": source.classes,
            "image": list(source.image),
            **source.sizes,
        },
        "split": plan.split,
        "stages": stages,
        "started": run.segments[0]["started"],
        "segments": run.segments,
        "repeated_seconds": run.repeated,
        "seconds": parts,
        "prefixes": training.clock.state_dict(),
        "steps": plan.steps,
        "full_steps": plan.full_steps,
        "steps_per_epoch": training.steps_per_epoch,
        "epochs": run.epochs,
        "error": run.epochs[-1]["error"] if status == "done" else None,
        "test_error": None,
        "train_error": None,
        "freeze_times": list(schedule.freeze),
        "freeze_steps": freeze_steps,
        "peak_memory": torch.cuda.max_memory_allocated(training.device) if cuda else None,
        "flops": flops,
        "saving": plan.saving,
        "const_time": plan.const_time,
        "shared_device": None,
        "wandb": None,
    }
