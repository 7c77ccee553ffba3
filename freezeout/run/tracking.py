"""Weights & Biases beside the local record: written only, never read back, and its failures never end a run.

A run's W&B files lie in one folder together with those of all other runs, <out>/wandb or $WANDB_DIR/wandb, because
`wandb leet PATH` shows the run folders directly below PATH.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freezeout.checks import check_choice
from freezeout.records import null_if_not_finite
from freezeout.run import wandb_agent, wandb_session
from freezeout.run.wandb_room import has_room
from freezeout.run.wandb_session import harmless
from freezeout.run.wandb_view import AGAINST_SECONDS, PER_EPOCH, display_name, row, summary

MODES = ("offline", "online", "disabled")
NOT_IN_PROJECT = "/\\#?%:"  # characters that W&B refuses in the name of a project
LONGEST_TAG = 64  # characters that W&B allows


@dataclass(kw_only=True)
class Wandb:
    """Logging to Weights & Biases.

    W&B's environment variables are obeyed. A project or an entity that the configuration names wins over the variable,
    and the variable over the default. Only WANDB_MODE also wins over the configuration, so that a shell or a job script
    can turn uploading off whatever the commands in it say. WANDB_DIR, WANDB_NAME and WANDB_TAGS have no field: see
    `wandb_folder` and `open_tracker`. An empty variable counts as not set. A run that `wandb agent` has started belongs
    to W&B's sweep: it is logged online, under the agent's project, unless WANDB_MODE or mode="disabled" says otherwise.

    Attributes:
        project: Project at W&B; None for WANDB_PROJECT, or "freezeout" where that is not set.
        entity: User or team; None for WANDB_ENTITY, or the default of the account where that is not set.
        mode: "offline" leaves files to look at or to upload later; "online" uploads while training, and leaves files as
            well where the server cannot be used; "disabled" does nothing.
    """

    project: str | None = None
    entity: str | None = None
    mode: str = "offline"

    def __post_init__(self) -> None:
        check_choice("tracker.mode", self.mode, MODES)
        check_choice("WANDB_MODE", self.effective_mode, MODES)
        if refused := set(NOT_IN_PROJECT) & set(self.effective_project):
            name = "tracker.project" if self.project else "WANDB_PROJECT"
            raise ValueError(f"{name}={self.effective_project}: must not contain {' '.join(sorted(refused))}")
        for tag in extra_tags():
            if len(tag) > LONGEST_TAG:
                raise ValueError(f"WANDB_TAGS={tag}: a tag must have at most {LONGEST_TAG} characters")

    @property
    def effective_mode(self) -> str:
        asked = "online" if wandb_agent.run_id() and self.mode == "offline" else self.mode
        return os.environ.get("WANDB_MODE") or asked

    @property
    def effective_project(self) -> str:
        return self.project or os.environ.get("WANDB_PROJECT") or "freezeout"

    @property
    def effective_entity(self) -> str | None:
        return self.entity or os.environ.get("WANDB_ENTITY") or None


@dataclass(kw_only=True)
class NoTracker:
    """Only the local records."""


TRACKERS = {"wandb": Wandb, "none": NoTracker}


def active(tracker: Wandb | NoTracker) -> Wandb | None:
    """The tracker, or None if nothing is logged, neither locally nor at W&B."""
    return None if isinstance(tracker, NoTracker) or tracker.effective_mode == "disabled" else tracker


def wandb_folder(root: Path) -> Path:
    """The folder of W&B's run folders: $WANDB_DIR/wandb, or `wandb` in the output root if that is not set."""
    return Path(os.environ.get("WANDB_DIR") or root) / "wandb"


def extra_tags() -> list[str]:
    """The tags in WANDB_TAGS, which are separated by commas."""
    return [tag.strip() for tag in os.environ.get("WANDB_TAGS", "").split(",") if tag.strip()]


def destination(tracker: Wandb | NoTracker, folder: Path) -> str:
    """One line that says where logs go, to be printed before anything starts. Asks no server.

    Args:
        tracker: As configured.
        folder: The output root.
    """
    wandb = active(tracker)
    if wandb is None:
        return "W&B off: local records only"
    if wandb.effective_mode == "offline":
        return f"W&B offline: {wandb_folder(folder)}; nothing is uploaded"
    host = "its server"
    with harmless("server unknown"):
        host = wandb_session.server()
    if sweep := wandb_agent.sweep():
        return f"W&B online: {host}, run {wandb_agent.run_id()} of W&B's sweep {sweep}"
    entity = wandb.effective_entity or "your default entity"
    return f"W&B online: {host}, {entity}/{wandb.effective_project}"


class Tracker:
    """One run at W&B, or none. After a failure it warns once and does nothing further.

    Attributes:
        run: wandb's own object; None once there is nothing to log to.
        identity: What the record keeps of it: `id`, and `dir`, the run's W&B folder, relative to the output root where
            it lies in there, so that it stays true when the root is moved. None without a run.
    """

    def __init__(self, run: Any = None, root: Path = Path()) -> None:
        self.run = run
        self.identity: dict[str, str] | None = None
        if run is not None:
            self.folder, root = Path(run.dir).parent, root.resolve()
            inside = self.folder.is_relative_to(root)
            self.identity = {"id": run.id, "dir": str(self.folder.relative_to(root) if inside else self.folder)}

    def log(self, entry: dict[str, Any]) -> None:
        """Log one epoch.

        Args:
            entry: As in metrics.jsonl. An epoch that W&B has from an earlier segment of the run is left out.
        """
        if self.run is None or entry["epoch"] < self.run.starting_step:
            return
        with self._while_it_works("logging failed; the run goes on without it") as run:
            run.log(row(entry), step=entry["epoch"])
        if self.run is not None and not has_room(self.folder.parent, epochs=1):
            with self._while_it_works("closing its log failed") as run:  # logging must not continue after a gap
                run.finish(exit_code=1)
            self.run = None

    def finish(self, record: dict[str, Any], record_path: Path) -> None:
        """Write the summary, attach the record, and close the run.

        Args:
            record: The run's record. Whatever is not done is marked as failed.
            record_path: Where the record lies.
        """
        if self.run is None:
            return
        consequence = "finishing failed"
        if not self.folder.name.startswith("offline-"):
            consequence += f"; to upload what is missing: wandb sync --include-online {shlex.quote(str(self.folder))}"
        with self._while_it_works(consequence) as run:
            run.summary.update(summary(record))
            # wandb would link files elsewhere, with a message; a copy in its folder also outlives the original.
            copy = shutil.copyfile(record_path, Path(run.dir) / record_path.name)
            run.save(str(copy), base_path=run.dir, policy="now")
            run.finish(exit_code=0 if record["status"] == "done" else 1)
        self.run = None

    @contextlib.contextmanager
    def _while_it_works(self, consequence: str) -> Iterator[Any]:
        with harmless(consequence):
            run, self.run = self.run, None
            yield run
            self.run = run


def open_tracker(
    tracker: Wandb | NoTracker,
    *,
    folder: Path,
    run_id: str,
    config: dict[str, Any],
    group: str | None,
    record: dict[str, str] | None = None,
    history: Sequence[dict[str, Any]] = (),
    commit: str | None = None,
) -> Tracker:
    """Start or resume a run at W&B.

    Where the server cannot be used (no key, a wrong one, no answer), this run and all later ones of the process are
    logged offline, and one line on stderr says why and how to upload them.

    Args:
        tracker: As configured.
        folder: The output root; for W&B's files see `wandb_folder`.
        run_id: The run's id at W&B, unless its record has another or `wandb agent` gives one: a run that is trained
            again replaces the one it was.
        config: The run's configuration as plain data, as its record keeps it. The run is called by its `full_title`,
            or WANDB_NAME: alone, or before the title in a sweep. It is tagged with network, data set and WANDB_TAGS.
        group: The sweep that the run belongs to; None for a run of its own.
        record: The identity that an earlier segment of the run left in its record.
        history: The epochs that a resumed run keeps from metrics.jsonl. Offline they are written anew, into the one
            folder that remains (wandb cannot resume there); online those that W&B does not have yet are added.
        commit: Of the program; None outside a checkout of it.

    Returns:
        The run's tracker: one that does nothing when logging is not wanted or not possible.
    """
    wanted = active(tracker)
    if wanted is None:
        return Tracker()

    def start(mode: str) -> Tracker:
        wandb, settings = wandb_session.prepare(mode, commit)
        run = wandb.init(
            settings=settings,
            dir=str(where.parent.resolve()),
            project=wanted.effective_project,
            entity=wanted.effective_entity,
            id=record["id"] if record else run_id,  # wandb takes an agent's id instead, and the agent's project
            name=display_name(config, group),
            group=group,
            job_type=config["strategy"]["name"],
            tags=list(dict.fromkeys([config["model"]["name"], config["dataset"]["name"], *extra_tags()])),
            config=null_if_not_finite(wandb_agent.beside_parameters(config)),
            resume="allow" if mode == "online" and (record or history) else None,
            reinit="create_new",  # the next run must not continue one that broke off
        )
        for key in (*PER_EPOCH, "learning_rate/*"):
            run.define_metric(key, step_metric="epoch")
        for key in AGAINST_SECONDS:
            run.define_metric(f"by_seconds/{key}", step_metric="seconds", summary="none")
        started = Tracker(run, folder)
        for entry in history:
            started.log(entry)
        earlier = [*where.glob(f"*run-*/run-{run.id}.wandb")]  # by the file, as a kill leaves no record
        earlier += (folder / record["dir"]).glob(f"run-{run.id}.wandb") if record else []
        for path in {file.parent.resolve() for file in earlier}:
            # Offline the new folder holds all of it; online a later `wandb sync` of the old would undo what is new.
            if path != started.folder and (mode == "offline" or path.name.startswith("offline-")):
                shutil.rmtree(path)
        return started

    where = wandb_folder(folder)
    if not has_room(where, config["epochs"]):
        return Tracker()
    with harmless("this run is not logged there"):
        where.mkdir(parents=True, exist_ok=True)  # if impossible, wandb would use a temporary folder
        reason = None
        if wanted.effective_mode == "online" and not wandb_session.given_up:
            try:
                return start("online")
            except Exception as error:
                reason = wandb_session.give_up(error)
        started = start("offline")
        if reason:
            upload = f"wandb sync {shlex.quote(str(where))}"
            print(f"warning: W&B: logging offline ({reason}); to upload later: {upload}", file=sys.stderr)
        return started
    return Tracker()
