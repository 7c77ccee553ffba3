"""Uploads the W&B logs that were kept offline, and given again, what is new: python -m freezeout.run.sync runs."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from freezeout import records
from freezeout.naming import counted, full_title
from freezeout.parser import Parser
from freezeout.run import wandb_session
from freezeout.run.tracking import wandb_folder

HEADER = 7  # bytes of a log's header; a log of a run that has just begun, or was killed then, is no longer
AT_ONCE = 200  # paths per `wandb sync`: the length of a command line is limited


def main(arguments: list[str] | None = None) -> int:
    """Upload what W&B does not have yet of each output root, and report it.

    Args:
        arguments: Words of the command line; None takes those of this process.

    Returns:
        Exit code: 0; 1 if some runs could not be uploaded; 2 if nothing could. A line on stderr says why.
    """
    parser = Parser(prog="python -m freezeout.run.sync", description=__doc__)
    text = "output roots (default: %(default)s); reads their W&B folders, those in their records and $WANDB_DIR/wandb"
    parser.add_argument("roots", nargs="*", type=Path, default=[Path("runs")], metavar="ROOT", help=text)
    roots: list[Path] = parser.parse_args(arguments).roots
    if missing := [root for root in roots if not root.exists()]:
        parser.error(f"{missing[0]}: there is no such folder")
    folders = sorted({path.resolve(): path for root in roots for path in wandb_folders(root)}.values())
    logs = [log for folder in folders for log in offline_logs(folder)]
    unsent = [log for log in logs if not is_sent(log)]
    if not unsent:
        known = f": W&B has all {counted(len(logs), 'run')} of" if logs else ": no offline run in"
        print(f"nothing to upload{known} {', '.join(map(str, folders)) or ', '.join(map(str, roots))}")
        return 0
    try:
        wandb_session.prepare("online")
    except Exception as error:  # whatever it is, one line: nothing has been uploaded
        reason = wandb_session.give_up(error)
        print(f"could not upload {counted(len(unsent), 'offline run')}: {reason}", file=sys.stderr)
        return 2
    print(f"uploading {counted(len(unsent), 'run')} to {wandb_session.server()}", flush=True)
    said = ""
    for start in range(0, len(unsent), AT_ONCE):
        said = upload(unsent[start : start + AT_ONCE]) or said
    sent = [log for log in unsent if is_sent(log)]
    print(*(f"uploaded {title(log)}" for log in sent), sep="\n", end="\n" if sent else "")
    if len(sent) < len(unsent):
        rest = counted(len(unsent) - len(sent), "run")
        print(f"{rest} not uploaded ({said}); the same command tries again", file=sys.stderr)
        return 1
    return 0


def wandb_folders(root: Path) -> Iterable[Path]:
    """The folders with W&B's run folders: where they are now, and where the records say they are."""
    places = [wandb_folder(root), root / "wandb"]
    for path in records.record_paths(root):
        with contextlib.suppress(ValueError):  # a damaged record names none
            found = (records.read_record(path) or {}).get("wandb")
            places += [(root / found["dir"]).parent] if found else []
    return [path for path in dict.fromkeys(places) if path.is_dir()]


def offline_logs(folder: Path) -> list[Path]:
    """W&B's logs of the offline runs in a folder that hold something, oldest first."""
    return sorted(log for log in folder.glob("offline-run-*/run-*.wandb") if log.stat().st_size > HEADER)


def is_sent(log: Path) -> bool:
    """Whether W&B has all of a log: `wandb sync` has marked it, and nothing was added since."""
    marker = log.with_name(f"{log.name}.synced")
    return marker.exists() and marker.stat().st_mtime >= log.stat().st_mtime


def upload(logs: Sequence[Path]) -> str:
    """Run `wandb sync` on logs. Returns the last line that it printed."""
    command = [sys.executable, "-m", "wandb", "sync", "--include-synced", *map(str, logs)]
    environment = {key: value for key, value in os.environ.items() if key != "WANDB_SERVICE"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return lines[-1].removeprefix("wandb: ") if lines else ""


def title(log: Path) -> str:
    """The name of a run, from the record beside its log; its folder if it has not ended."""
    record = records.read_record(log.parent / "files")
    if record is None:
        return str(log.parent)
    return f"{full_title(record['config'])} ({record['run_id']})"


if __name__ == "__main__":
    sys.exit(main())
