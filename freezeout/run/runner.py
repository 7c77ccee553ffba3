"""One run from its plan to its record: trains, evaluates, checkpoints, logs, resumes, and says how it ended."""

from __future__ import annotations

import contextlib
import math
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from freezeout import records
from freezeout.freeze import FreezeOut
from freezeout.run import lock, tracking
from freezeout.run.config import ConfigError, plain_yaml
from freezeout.run.plan import Plan
from freezeout.run.provenance import provenance
from freezeout.run.signals import Stop
from freezeout.run.state import Run, epoch_entry, make_record, resume, save
from freezeout.run.words import say_once, title, warn_of_short_life
from freezeout.train.captured import CudaGraphs
from freezeout.train.clock import device_clock
from freezeout.train.compiled import compile_stages
from freezeout.train.evaluation import evaluate
from freezeout.train.loop import Training
from freezeout.train.malloc import keep_pages
from freezeout.train.optimizers import make_optimizer


class DivergedError(Exception):
    """The training loss is no longer a number."""


def run(plan: Plan, sweep: str | None = None) -> dict[str, Any]:
    """Train `plan`, or go on where it stopped; its record, also on disk. A finished run is only read.

    Raises ConfigError for a folder that cannot be written, is in use or holds another run's checkpoint; Stop when
    interrupted (record and checkpoint are written first). Any other failure becomes a record with its reason.
    """
    folder = plan.folder
    try:
        found = records.read_record(folder)
    except ValueError as error:
        raise ConfigError(f"{error}; delete it to train again") from error
    if found is not None and records.is_finished(found):
        return found
    stop = Stop()
    with stop.on_signals():
        return _in_its_folder(plan, sweep, found, stop)


def _in_its_folder(plan: Plan, sweep: str | None, found: dict[str, Any] | None, stop: Stop) -> dict[str, Any]:
    """Hold the run's folder for this process alone, and train there."""
    folder, current = plan.folder, begin(plan)  # begun first: a network that cannot be built leaves no folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = lock.take(folder)
    except OSError as error:
        raise ConfigError(
            f"out={plan.config.out}: cannot write there ({error.strerror}); choose another folder"
        ) from error
    with held:
        try:
            return _run(current, sweep, found, stop)
        except OSError as error:  # such as a full disk, when even the record of the failure cannot be written
            raise ConfigError(f"{folder}: {error.strerror}; the same command goes on once that is mended") from error


def _run(current: Run, sweep: str | None, found: dict[str, Any] | None, stop: Stop) -> dict[str, Any]:
    plan, folder, started = current.plan, current.plan.folder, datetime.now(UTC).isoformat(timespec="seconds")
    origin = provenance(plan.device)
    records.write_text_atomic(folder / "config.yaml", plain_yaml(plan.described))
    try:
        resume(current)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    current.open_segment(started, origin["host"])
    tracker = tracking.open_tracker(
        plan.config.tracker,
        folder=Path(plan.config.out),
        run_id=plan.run_id,
        name=title(plan),
        group=sweep,
        job_type=plan.described["strategy"]["name"],
        tags=[plan.described["model"]["name"], plan.described["dataset"]["name"]],
        config=plan.described,
        record=(found or {}).get("wandb"),
        history=current.epochs,
    )
    status, reason, diverged, results = "done", None, False, {}
    try:
        train(current, stop, tracker, sweep)
        results = conclude(current)
    except Stop:
        status, reason = "interrupted", f"{stop} at step {current.training.step} of {plan.steps}"
    except DivergedError as error:
        status, reason, diverged = "failed", str(error), True
    except Exception as error:  # whatever it was, the record says so, and a sweep goes on
        status, reason = "failed", f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        with contextlib.suppress(OSError):
            (folder / "error.txt").write_text(traceback.format_exc())
    record = make_record(current, sweep, status, reason, origin) | results | {"diverged": diverged}
    record["wandb"] = tracker.identity
    records.write_json_atomic(folder / "record.json", record)
    tracker.finish(record, folder / "record.json")
    if stop.asked:  # also when it came after the last step: a sweep must not go on to the next run
        raise stop
    return record


def begin(plan: Plan) -> Run:
    """The run before its first step. Raises ConfigError when the network does not fit or cannot be built."""
    try:
        return _begin(plan)
    except (RuntimeError, MemoryError) as error:
        raise ConfigError(f"model: {next(iter(str(error).splitlines()), type(error).__name__)}") from error


def _begin(plan: Plan) -> Run:
    config = plan.config
    configure_torch(plan)
    machine = config.machine
    chain = plan.build().to(plan.device)
    if machine.channels_last:
        chain = chain.to(memory_format=torch.channels_last)
    optimizer = make_optimizer(config.optimizer, chain, capture=plan.capture)
    freezeout = FreezeOut(chain, optimizer, plan.applied, plan.steps, warmup=config.optimizer.warmup)
    warn_of_short_life(freezeout, config.optimizer.lr)
    if not chain.executable:
        say_once(
            f"note: {plan.described['model']} could not be traced: its {len(chain)} stages are an ordered partition of "
            "its parameters, frozen by flags alone, without a predicted saving"
        )
    training = Training(
        chain=chain,
        optimizer=optimizer,
        freezeout=freezeout,
        source=plan.source.to(plan.device),
        clock=device_clock(plan.device),
        device=plan.device,
        seed=config.seed,
        batch_size=config.batch_size,
        augment=config.augment.kind,
        label_smoothing=config.label_smoothing,
        bf16=machine.precision == "bf16",
        channels_last=machine.channels_last,
        fold=machine.fold,
        run_ahead=plan.run_ahead,
        graphs=CudaGraphs(plan.device) if plan.capture else None,
    )
    current = Run(plan, training)
    if machine.compile:
        with current.timed("compile"):
            images = torch.zeros(config.batch_size, 3, *plan.source.image, dtype=torch.uint8, device=plan.device)
            compile_stages(training.body, training.images(images), ahead=training.run_ahead)
        current.warmed = current.seconds["compile"]
        current.time_compilations()
    return current


def configure_torch(plan: Plan) -> None:
    machine = plan.config.machine
    torch.set_num_threads(plan.threads)
    if plan.device.type == "cpu":
        keep_pages()
    else:
        precision = "tf32" if machine.precision == "tf32" else "ieee"
        torch.backends.cuda.matmul.fp32_precision = precision
        torch.backends.cudnn.conv.fp32_precision = precision  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = not machine.deterministic
        torch.cuda.reset_peak_memory_stats(plan.device)
    torch.use_deterministic_algorithms(machine.deterministic)


def train(current: Run, stop: Stop, tracker: tracking.Tracker, sweep: str | None) -> None:
    training, plan = current.training, current.plan
    bar = tqdm(
        total=plan.steps,
        initial=training.step,
        unit="step",
        leave=False,
        dynamic_ncols=True,
        position=1 if sweep else 0,
        disable=not sys.stderr.isatty(),
        desc=f"epoch {len(current.epochs) + 1}",
        # What changes comes first: a narrow terminal cuts the end off.
        bar_format="{desc} |{bar:12}| {remaining} left, " + title(plan).replace("{", "(").replace("}", ")"),
    )

    def on_step() -> bool:
        bar.update()
        return stop.asked

    with bar:
        while training.step < plan.steps:
            loss = training.train_epoch(on_step)
            if loss is None:
                save(current, told=True)
                raise stop
            if not math.isfinite(loss):
                raise DivergedError(
                    f"the training loss became {loss} in epoch {len(current.epochs) + 1} (step {training.step})"
                )
            with current.timed("evaluation"):
                result = evaluate(training, plan.split)
            current.epochs.append(epoch_entry(current, loss, result))
            records.append_line(plan.folder / "metrics.jsonl", current.epochs[-1])
            tracker.log(current.epochs[-1])
            save(current, told=False)
            epochs = -(-plan.steps // training.steps_per_epoch)
            frozen = f"{training.freezeout.prefix} of {plan.stages} frozen"
            bar.set_description_str(f"epoch {len(current.epochs)}/{epochs}, error {result.error:.1f} %, {frozen}")
            if stop.asked and training.step < plan.steps:
                save(current, told=True)
                raise stop


def conclude(current: Run) -> dict[str, Any]:
    """The measurements that are made once, after the last step."""
    training, sizes = current.training, current.plan.source.sizes
    with current.timed("evaluation"):
        train_error = evaluate(training, "train").error
        held_out = evaluate(training, "validation") if sizes["validation"] else None
        test = evaluate(training, "test") if sizes["test"] else None
    arrays: dict[str, Any] = {}
    for split, result in (("validation", held_out), ("test", test)):
        if result is not None:
            arrays[f"{split}_class"] = result.classes.cpu().numpy().astype(np.int32)
            arrays[f"{split}_probability"] = result.probabilities.cpu().numpy().astype(np.float16)
    with records.replacing(current.plan.folder / "predictions.npz") as path, path.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return {"train_error": train_error, "test_error": test.error if test else None}
