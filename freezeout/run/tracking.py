"""Weights & Biases beside the local record: a window that is never read back, and that never costs a run.

A run's W&B files lie in <out>/wandb/ together with those of all other runs, because `wandb leet PATH` shows the run
folders directly below PATH. wandb is imported when the first tracker is opened.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freezeout.checks import check_choice
from freezeout.records import null_if_not_finite

MODES = ("offline", "online", "disabled")
PER_EPOCH = ("train_loss", "eval_loss", "error", "seconds", "prefix", "active_stages", "step_seconds")
# W&B draws a metric against one x axis of its own; what is to be seen against the clock too is logged under two names.
AGAINST_SECONDS = ("error", "eval_loss")
PATIENCE = 20.0  # seconds that W&B may take to answer before and after a run

_unreachable = False  # W&B online failed once in this process: a sweep must not wait for it before each of its runs


@dataclass(kw_only=True)
class Wandb:
    """Weights & Biases. `mode` offline leaves files to look at or to upload later; WANDB_MODE, where set, wins."""

    project: str = "freezeout"
    entity: str | None = None
    mode: str = "offline"

    def __post_init__(self) -> None:
        check_choice("tracker.mode", self.mode, MODES)
        check_choice("WANDB_MODE", self.effective_mode, MODES)

    @property
    def effective_mode(self) -> str:
        return os.environ.get("WANDB_MODE") or self.mode


@dataclass(kw_only=True)
class NoTracker:
    """The local records alone."""


TRACKERS = {"wandb": Wandb, "none": NoTracker}


def destination(tracker: Wandb | NoTracker, folder: Path) -> str:
    """One line that says where logs go, to be printed before anything starts. `folder` is the output root."""
    if isinstance(tracker, NoTracker) or tracker.effective_mode == "disabled":
        return "W&B off: local records only"
    if tracker.effective_mode == "offline":
        return f"W&B offline: {folder / 'wandb'}; nothing is uploaded"
    host = "its server"
    with _harmless("cannot tell its server"):
        from wandb.sdk import wandb_setup

        host = wandb_setup._setup(start_service=False).settings.app_url  # the server that `wandb login` chose
    entity = tracker.entity or os.environ.get("WANDB_ENTITY") or "your default entity"
    return f"W&B online: every run is uploaded to {host}, {entity}/{tracker.project}"


class Tracker:
    """One run at W&B, or nothing (`run` None). What goes wrong inside is one warning, after which it is nothing."""

    def __init__(self, run: Any = None) -> None:
        self.run = run
        self.identity: dict[str, str] | None = None
        if run is not None:
            # Relative to the output root, so that it stays true when that is moved.
            self.identity = {"id": run.id, "dir": "/".join(Path(run.dir).parts[-3:-1])}

    def log(self, entry: dict[str, Any]) -> None:
        """Log one epoch, given as in metrics.jsonl. An epoch that W&B has from an earlier segment is left out."""
        if self.run is not None and entry["epoch"] >= self.run.starting_step:
            with self._while_it_works("logging") as run:
                run.log(row(entry), step=entry["epoch"])

    def finish(self, record: dict[str, Any], record_path: Path) -> None:
        """Write the summary, attach record.json, and close the run; not done is marked as failed."""
        if self.run is None:
            return
        with self._while_it_works("finishing") as run:
            run.summary.update(summary(record))
            # wandb links what lies elsewhere, and says so; a copy in its folder also outlives the original.
            copy = shutil.copyfile(record_path, Path(run.dir) / record_path.name)
            run.save(str(copy), base_path=run.dir, policy="now")
            run.finish(exit_code=0 if record["status"] == "done" else 1)
        self.run = None

    @contextlib.contextmanager
    def _while_it_works(self, doing: str) -> Iterator[Any]:
        with _harmless(f"{doing} failed; the run goes on without it"):
            run, self.run = self.run, None
            yield run
            self.run = run


def open_tracker(
    tracker: Wandb | NoTracker,
    *,
    folder: Path,
    run_id: str,
    name: str,
    group: str | None,
    job_type: str,
    tags: Sequence[str],
    config: dict[str, Any],
    record: dict[str, str] | None = None,
    history: Sequence[dict[str, Any]] = (),
) -> Tracker:
    """Start or resume a run at W&B; a Tracker that does nothing when that is not wanted or not possible.

    folder: the output root; W&B's files go to folder/wandb.
    record: the identity that an earlier segment of the run left in its record.
    history: the epochs that a resumed run keeps from metrics.jsonl. Offline they are written anew, into the one
        directory that remains (wandb cannot resume there); online those that W&B does not have yet are added.
    """
    global _unreachable
    mode = "disabled" if isinstance(tracker, NoTracker) else tracker.effective_mode
    if isinstance(tracker, NoTracker) or mode == "disabled" or (mode == "online" and _unreachable):
        return Tracker()
    with _harmless("no run is logged there" if mode == "online" else "this run is not logged there"):
        _unreachable = mode == "online"  # until the opposite is shown
        wandb, settings = _prepare(mode)
        (folder / "wandb").mkdir(parents=True, exist_ok=True)  # where it cannot, wandb would take a temporary folder
        run = wandb.init(
            settings=settings,
            dir=str(folder.resolve()),
            project=tracker.project,
            entity=tracker.entity,
            id=run_id,
            name=name,
            group=group,
            job_type=job_type,
            tags=list(tags),
            config=null_if_not_finite(config),
            resume="allow" if mode == "online" and (record or history) else None,
            reinit="create_new",  # a run that broke off before it could finish is not continued by the next
        )
        _unreachable = False
        started = Tracker(run)
        for key in (*PER_EPOCH, "learning_rate/*"):
            run.define_metric(key, step_metric="epoch")
        for key in AGAINST_SECONDS:
            run.define_metric(f"by_seconds/{key}", step_metric="seconds", summary="none")
        for entry in history:
            started.log(entry)
        if mode == "offline":
            _remove_others(run, folder / "wandb", run_id)
        return started
    return Tracker()


def row(entry: dict[str, Any]) -> dict[str, float]:
    """What W&B shows of an epoch: one number a name, absent where the entry has none."""
    shown = {key: entry.get(key) for key in ("epoch", *PER_EPOCH)}
    shown |= {f"by_seconds/{key}": entry.get(key) for key in AGAINST_SECONDS}
    shown |= {f"learning_rate/{i:02d}": rate for i, rate in enumerate(entry.get("learning_rates") or ())}
    return {key: value for key, value in null_if_not_finite(shown).items() if value is not None}


def summary(record: dict[str, Any]) -> dict[str, Any]:
    """What W&B's table of runs shows of a record: status, errors in per cent, seconds by part, savings."""
    shown = {key: record.get(key) for key in ("status", "reason", "error", "test_error", "train_error")}
    for part in ("seconds", "saving"):
        shown |= {f"{part}/{key}": value for key, value in (record.get(part) or {}).items()}
    return {key: value for key, value in null_if_not_finite(shown).items() if value is not None}


def _prepare(mode: str) -> tuple[Any, Any]:
    """wandb itself and the settings of every run: silent, quick, and with nothing collected about the machine."""
    # wandb reports its own faults home, in offline mode too.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    # Every process has a service of its own: one inherited from a parent may end first, or be on another host.
    if f"-{os.getpid()}-" not in os.environ.get("WANDB_SERVICE", ""):
        os.environ.pop("WANDB_SERVICE", None)
    import wandb

    settings = wandb.Settings(
        mode=mode,  # type: ignore[arg-type]
        silent=True,
        console="off",
        init_timeout=PATIENCE,
        finish_timeout=PATIENCE,
        disable_code=True,
        disable_git=True,
        symlink=False,
        use_dot_wandb=False,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )
    wandb.setup(settings=settings)
    # In this mode wandb.init would ask for a key: at a terminal in the middle of a sweep.
    if mode == "online" and not wandb.login(prompt=False):
        raise ValueError("no API key: run `wandb login` or set WANDB_API_KEY")
    return wandb, settings


def _remove_others(run: Any, folder: Path, run_id: str) -> None:
    """Remove what earlier segments of the run wrote offline; recognised by the file, as a kill leaves no record."""
    kept = Path(run.dir).parent.name
    for path in folder.glob(f"offline-run-*/run-{run_id}.wandb"):
        if path.parent.name != kept:
            shutil.rmtree(path.parent)


@contextlib.contextmanager
def _harmless(consequence: str) -> Iterator[None]:
    """W&B may fail in any way (import, disk, network, service): one line on stderr, and the caller goes on."""
    try:
        yield
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "")
        print(f"warning: W&B: {consequence} ({type(error).__name__}: {reason})", file=sys.stderr)
        # A service that broke would fail the next run as well, and end the program with a traceback.
        if (wandb := sys.modules.get("wandb")) is not None:
            with contextlib.suppress(Exception):
                wandb.teardown()
        os.environ.pop("WANDB_SERVICE", None)
