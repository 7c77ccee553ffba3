"""What is written about a run: an entry per epoch, its record (keys of `freezeout.records.KEYS`), a printed line."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from freezeout import records
from freezeout.naming import command, name_of, run_title
from freezeout.run import expected, identity
from freezeout.run.plan import Plan
from freezeout.run.provenance import device_model
from freezeout.run.state import Run
from freezeout.savings import cost
from freezeout.strategies import STRATEGIES
from freezeout.train.evaluation import Evaluation


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


def own_config(plan: Plan) -> dict[str, Any]:
    """The configuration of the run itself, independent of who requested it.

    A shortened baseline and the baseline of as many steps are one run: both have `strategy: baseline` and the epochs
    trained (a fraction if the last one is not whole). Views are included if an epoch uses them. The precision is the
    one trained in, even if it was left to the program. Keys that are not part of a run's name are those of the first
    request.
    """
    strategy = {"name": name_of(STRATEGIES, plan.strategy), **dataclasses.asdict(plan.strategy)}  # type: ignore[call-overload]
    epochs = plan.steps / plan.steps_per_epoch
    machine = plan.config_dict["machine"] | {"precision": plan.precision}
    own = {"strategy": strategy, "augment": plan.augment, "machine": machine}
    return plan.config_dict | own | {"epochs": int(epochs) if epochs.is_integer() else epochs}


def make_record(run: Run, sweep: str | None, status: str, reason: str | None, origin: dict[str, Any]) -> dict[str, Any]:
    """The record of a run, without what is measured once at its end. Absent values are null, never 0.

    Args:
        run: The run as it ended.
        sweep: The sweep that first requested it.
        status: "done", "failed" or "interrupted".
        reason: Why it is not done.
        origin: See `provenance`.
    """
    plan, training = run.plan, run.training
    schedule, costs, source = training.freezeout.schedule, plan.costs, plan.source
    run.update_segment()
    freeze_steps = schedule.freeze_steps(plan.steps)
    parts = run.seconds | {"train": training.clock.seconds, "total": sum(s["seconds"] for s in run.segments)}
    if not plan.config.machine.compile:
        parts["compile"] = None
    stages = [
        {
            "name": name,
            "parameters": sum(p.numel() for p in stage.parameters()),
            "forward": costs[i].forward if costs else None,
            "backward": costs[i].backward if costs else None,
            "freeze_step": freeze_steps[i],
        }
        for i, (name, stage) in enumerate(training.chain.stages.items())
    ]
    known = not plan.is_adaptive or status == "done"  # what an adaptive strategy freezes is only known at the end
    flops = None
    if costs and known:
        flops = {"step": cost.step_cost(costs, 0), "run": expected.run_flops(plan, schedule)}
    cuda = training.device.type == "cuda"
    return {
        "schema_version": records.SCHEMA_VERSION,
        "status": status,
        "reason": reason,
        "diverged": False,
        "run_id": run.run_id,
        "setting_id": identity.setting_id(plan),
        "seed": plan.config.seed,
        "sweep": sweep,
        "config": own_config(plan),
        "effective": identity.effective(plan),
        "command": command(plan.config_dict),
        **origin,
        "device": {"type": training.device.type, "model": device_model(training.device), "threads": plan.threads},
        "data": {
            "name": source.name,
            "fingerprint": source.fingerprint,
            "synthetic": source.synthetic,
            "classes": source.classes,
            "image": list(source.image),
            "mean": list(source.mean),
            "std": list(source.std),
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
        "steps_per_epoch": training.steps_per_epoch,
        "epochs": run.epochs,
        "error": run.epochs[-1]["error"] if status == "done" else None,
        "test_error": None,
        "train_error": None,
        "correct": None,
        "freeze_times": list(schedule.freeze),
        "freeze_steps": freeze_steps,
        "peak_memory": torch.cuda.max_memory_allocated(training.device) if cuda else None,
        "cache": training.cache.summary if training.cache else None,
        "flops": flops,
        "saving": expected.saving(plan, plan.steps, schedule=schedule if known else None),
        "shared_device": run.shared_device,
        "wandb": None,
    }


def summary(plan: Plan, record: dict[str, Any]) -> str:
    """One line on a run for its user: what it is, its error, seconds, and predicted saving."""
    title = run_title(plan.config_dict)
    if record["status"] != "done":
        return f"{title}: {'diverged' if record['diverged'] else record['status']}: {record['reason']}"
    if plan.is_adaptive:  # the requested number of steps
        predicted, how = record["saving"]["predicted"], "saved by counted FLOPs"
    else:
        predicted, how = expected.saving(plan, plan.full_steps)["predicted"], "saving predicted"
    saved = "" if predicted is None else f", {100 * predicted:.1f} % {how}"
    return f"{title}: error {record['error']:.2f} %, {record['seconds']['train']:.1f} s{saved}"
