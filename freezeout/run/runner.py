"""One run from its plan to its record: trains, evaluates, checkpoints, logs, resumes, and reports how it ended."""

from __future__ import annotations

import contextlib
import math
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from freezeout import records
from freezeout.holder import Watch
from freezeout.naming import run_title
from freezeout.packed import pack_bits
from freezeout.run import identity, lease, tracking, wandb_agent
from freezeout.run.assemble import assemble
from freezeout.run.config import ConfigError, TakenOverError, plain_yaml
from freezeout.run.neighbours import Neighbours, place_of
from freezeout.run.notes import notes, say_once, warnings_in_one_line
from freezeout.run.plan import Plan
from freezeout.run.progress_bar import EpochBar
from freezeout.run.provenance import provenance
from freezeout.run.record import epoch_entry, make_record, own_config
from freezeout.run.signals import Stop
from freezeout.run.space import disk_full, is_full, unwritable
from freezeout.run.state import Run, checkpoint_bytes, resume, save
from freezeout.train.evaluation import evaluate


class DivergedError(Exception):
    """The training loss is no longer a number."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a requested run: its record, and whether the record existed before."""

    record: dict[str, Any]
    before: bool


def run(plan: Plan, sweep: str | None = None, end: float = math.inf) -> Outcome:
    """Train a run, or continue where it stopped. A finished run is only read.

    Args:
        plan: What to train.
        sweep: The sweep that requests it.
        end: When to stop, in seconds since the epoch; record and checkpoint are written, as after a signal.

    Raises:
        ConfigError: The folder cannot be written, is in use, was taken over or holds another run's checkpoint.
        DiskFullError: The disk is full; earlier results are left unchanged.
        Stop: Interrupted by a signal; record and checkpoint have been written.

    Any other failure becomes a record with its reason.
    """
    found = found_record(plan)
    if found is not None and records.is_finished(found):
        lease.clear(identity.folder(plan), Watch())
        return as_before(plan, found)
    stop = Stop(end)
    with stop.on_signals(), warnings_in_one_line():
        current = Run(plan, assemble(plan))  # first of all: a network that cannot be built leaves no folder
        try:
            with held(current.folder, plan.config.out) as current.lease:
                found = found_record(plan)  # again: the previous holder of the folder may have finished it
                if found is not None and records.is_finished(found):
                    return as_before(plan, found)
                with Neighbours(place_of(plan.device)) as current.neighbours:
                    return Outcome(_run(current, sweep, found, stop), before=False)
        except OSError as error:
            if is_full(error):
                raise disk_full(current.folder, error, "the next checkpoint", checkpoint_bytes(current)) from error
            raise ConfigError(
                f"{current.folder}: {os_reason(error)}; the same command resumes once that is fixed"
            ) from error


def as_before(plan: Plan, found: dict[str, Any]) -> Outcome:
    """The outcome of a finished run. If `wandb agent` requested it, it is logged to the W&B run that waits for it."""
    if wandb_agent.run_id():
        waiting = tracking.open_tracker(
            plan.config.tracker,
            folder=Path(plan.config.out),
            run_id=found["run_id"],
            config=plan.config_dict,
            group=None,
            history=found["epochs"],
            commit=found["commit"],
        )
        waiting.finish(found, identity.folder(plan) / "record.json")
    return Outcome(found, before=True)


def found_record(plan: Plan) -> dict[str, Any] | None:
    """The record that the run has by now. Raises ConfigError if it cannot be read."""
    try:
        return records.read_record(identity.folder(plan))
    except ValueError as error:
        raise ConfigError(str(error)) from error


@contextlib.contextmanager
def held(folder: Path, out: str) -> Iterator[lease.Lease]:
    """Hold the run's folder for this process alone.

    Raises:
        ConfigError: It is in use, or cannot be written.
        OSError: The disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = lease.take(folder)
    except OSError as error:
        if is_full(error):
            raise
        raise unwritable(out, error.strerror) from error
    with taken:
        yield taken


def _run(current: Run, sweep: str | None, found: dict[str, Any] | None, stop: Stop) -> dict[str, Any]:
    plan, folder, started = current.plan, current.folder, datetime.now(UTC).isoformat(timespec="seconds")
    origin = provenance(plan.device)
    records.write_text_atomic(folder / "config.yaml", plain_yaml(own_config(plan)))
    try:
        resume(current)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if plan.config.machine.compile:
        current.time_compilations()
    for line in notes(plan, current.training):
        say_once(line)
    if current.training.step:
        print(
            f"{run_title(plan.config_dict)}: resumes from step {current.training.step} of {plan.steps}", file=sys.stderr
        )
    current.open_segment(started, origin["host"])
    tracker = tracking.open_tracker(
        plan.config.tracker,
        folder=Path(plan.config.out),
        run_id=current.run_id,
        config=plan.config_dict,
        group=sweep,
        record=(found or {}).get("wandb"),
        history=current.epochs,
        commit=origin["commit"],
    )
    status, reason, diverged, results = "done", None, False, {}
    full: OSError | None = None
    try:
        train(current, stop, tracker, sweep)
        results = conclude(current)
    except Stop:
        status, reason = "interrupted", f"{stop} at step {current.training.step} of {plan.steps}"
    except TakenOverError:  # the folder now belongs to the other process
        raise
    except DivergedError as error:
        status, reason, diverged = "failed", str(error), True
    except Exception as error:  # whatever it was, the record has the reason, and a sweep continues
        status, reason = "failed", reason_of(error, folder)
        if isinstance(error, OSError) and is_full(error):  # not a fault of the run, which continues once there is room
            status, full = "interrupted", error
    record = make_record(current, sweep, status, reason, origin) | results | {"diverged": diverged}
    record["wandb"] = tracker.identity
    current.check_lease()
    records.write_json_atomic(folder / "record.json", record)
    tracker.finish(record, folder / "record.json")
    if status == "done":
        (folder / "error.txt").unlink(missing_ok=True)
    if full is not None:
        raise full
    if stop.signal is not None:  # also if it came after the last step: a sweep must not start the next run
        raise stop
    return record


def reason_of(error: Exception, folder: Path) -> str:
    """One line on an error; a traceback that may be useful goes to error.txt."""
    if isinstance(error, OSError) and error.strerror:
        return os_reason(error)
    line = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
    with contextlib.suppress(OSError):
        path = folder / "error.txt"
        path.write_text(traceback.format_exc(), encoding="utf-8")
        line += f" (traceback: {path})"
    return line


def os_reason(error: OSError) -> str:
    """`disk full (No space left on device): PATH`, or another error of the system, with the file."""
    words = str(error.strerror)
    if is_full(error):
        words = f"disk full ({words})"
    return f"{words}: {error.filename}" if error.filename else words


def train(current: Run, stop: Stop, tracker: tracking.Tracker, sweep: str | None) -> None:
    """Train to the end, epoch by epoch. Raises Stop on request, DivergedError if the loss is not a number."""
    training, plan = current.training, current.plan
    epochs = -(-plan.steps // training.steps_per_epoch)
    with EpochBar(run_title(plan.config_dict), training.step, plan.steps, epochs, in_sweep=sweep is not None) as bar:

        def on_step() -> bool:
            bar.update()
            return stop.asked or current.is_lost

        stop.margin = current.pause
        while training.step < plan.steps:
            loss = training.train_epoch(on_step)
            if loss is None:
                save(current, clean=True)
                raise stop
            if not math.isfinite(loss):
                raise DivergedError(
                    f"the training loss became {loss} in epoch {len(current.epochs) + 1} (step {training.step})"
                )
            with current.timed("evaluation"):
                result = evaluate(training, plan.split)
            current.epochs.append(epoch_entry(current, loss, result))
            current.check_lease()
            records.append_line(current.folder / "metrics.jsonl", current.epochs[-1])
            tracker.log(current.epochs[-1])
            save(current, clean=False)
            stop.margin = current.pause
            bar.epoch(current.epochs[-1], plan.stages)
            if stop.asked and training.step < plan.steps:
                save(current, clean=True)
                raise stop


def conclude(current: Run) -> dict[str, Any]:
    """The measurements that are made once, after the last step."""
    training, sizes = current.training, current.plan.outline.sizes
    with current.timed("evaluation"):
        train_error = evaluate(training, "train").error
        held_out = evaluate(training, "validation") if sizes["validation"] else None
        test = evaluate(training, "test") if sizes["test"] else None
    arrays: dict[str, Any] = {}
    correct: dict[str, str] = {}
    for split, result in (("validation", held_out), ("test", test)):
        if result is not None:
            arrays[f"{split}_class"] = result.classes.cpu().numpy().astype(np.int32)
            arrays[f"{split}_probability"] = result.probabilities.cpu().numpy().astype(np.float16)
            correct[split] = pack_bits(result.correct.tolist())
    current.check_lease()
    with records.replacing(current.folder / "predictions.npz") as path, path.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return {"train_error": train_error, "test_error": test.error if test else None, "correct": correct or None}
