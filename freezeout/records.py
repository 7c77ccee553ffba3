"""What a run leaves behind: its name, its folder, and the files in it. Standard library only.

runs/<digest>/<seed>/   record.json, metrics.jsonl, config.yaml, checkpoint.pt, predictions.npz
runs/sweeps/<name>.json which runs a sweep consists of, and its label for each of them

Readers never see a partial file: documents are replaced atomically, and a last line cut off by a kill is skipped.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1
TEMPORARY = ".tmp"  # suffix of a file that is still being written; its name begins with a dot

# Raised when a fix of the engine changes results, so that runs made before and after it get different names.
NUMERICS = 2  # 2: fused optimizers, whose results differ in the last bits

# Keys that were added later, each with the value that has no effect ("section.key": value). A key at this value is left
# out of the hash, so that earlier runs keep their names. Pinned: not necessarily the current default, and never edited
# once released.
NEUTRAL: dict[str, Any] = {
    "compat": None,
    "strategy.const_time": False,
    "strategy.depth": "index",
    "machine.measured": False,
    "views": None,
    "cache": None,
    "bn": "eval",  # of a profile
}


# The keys of record.json and what each holds. Absent is null, never 0.
KEYS: dict[str, str] = {
    "schema_version": "version of this table; raised when a key changes its meaning",
    "status": "`done`, `failed` or `interrupted`",
    "reason": "why the run is not done, in one line; null if it is",
    "diverged": "true if the training loss became infinite or not a number: a result, so the run is not repeated",
    "run_id": "name of the run: its folder's hash, a hyphen and the seed",
    "setting_id": "hash of everything that compared runs must share: all but strategy, steps and seed",
    "seed": "number of the replicate",
    "sweep": "sweep that first requested the run; null for a single run",
    "config": "configuration with every key resolved; that of a shortened run is the baseline's with fewer epochs",
    "effective": "everything that changes the result or its seconds; its hash names the run's folder",
    "command": "command that repeats the run",
    "commit": "git commit of the program; null outside a checkout",
    "dirty": "whether the checkout had uncommitted changes; null outside a checkout",
    "host": "name of the computer",
    "cores": "CPU cores of the computer",
    "versions": "versions of `python`, `freezeout`, `torch` and the other libraries that affect the computation",
    "device": "`type` (`cpu`, `cuda`), `model` and `threads` of the device that trained the network. If a CPU's name "
    "hides the product, as in virtual machines, family, model and stepping follow it: `AMD EPYC (26.2.1)` (older "
    "records have the name alone)",
    "data": "`name`, `fingerprint` (hash of pixels, labels and split; of an image folder above 64 MiB, of names and "
    "sizes), `synthetic`, `classes`, `image` (height and width in pixels), `mean` and `std` of each channel, and the "
    "images in `train`, `validation` and `test`",
    "split": "what `error` is measured on: `validation` or `test`",
    "stages": "for each stage its `name`, number of `parameters`, FLOPs of a training step `forward` and `backward`, "
    "and `freeze_step`, the first step in which it is frozen (null: never)",
    "started": "when the first attempt began, ISO 8601",
    "segments": "for each attempt when it `started`, its first and last step (`step_from`, `step_to`), wall-clock "
    "`seconds`, `host`, and whether it had `shared_device`",
    "repeated_seconds": "training seconds lost in a kill and trained again, an upper bound",
    "seconds": "seconds of `train` (every training step, freezing and graph captures included), `compile`, "
    "`evaluation`, `checkpoint` and `total` (wall clock of all attempts)",
    "prefixes": "blocks of at most 50 training steps (`step_from` up to, not including, `step_to`) with `prefix` "
    "stages frozen: their `seconds`, and those of each part of the work; in a packed record one block per prefix, with "
    "the `median` seconds per step of the original blocks",
    "steps": "training steps",
    "steps_per_epoch": "training steps in an epoch",
    "epochs": "for each epoch `train_loss`, `eval_loss`, `error`, training `seconds` so far, `step`, `prefix` and the "
    "`learning_rates` of the stages",
    "error": "per cent of the images misclassified, on `split` after the last step",
    "test_error": "error on the test set after the last step, per cent",
    "train_error": "error on the training set after the last step, per cent, in evaluation mode",
    "correct": "for `validation` and `test`, which images were classified correctly after the last step, one bit each "
    "in order: base64, first image in the highest bit (`freezeout.packed.correct_images`); null if not known",
    "freeze_times": "for each stage the fraction of training after which it is frozen; 1 for never. For an adaptive "
    "strategy this and everything derived from it are its decisions",
    "freeze_steps": "for each stage the first step in which it is frozen; null for never",
    "peak_memory": "largest amount of GPU memory allocated, in bytes, including the workspaces in which cuDNN tries "
    "its kernels; null on a CPU",
    "cache": "in epochs with a frozen prefix to cache: visits of images (`visits`), visits whose output was read "
    "(`hits`), and the most bytes kept at a time in memory of the `device`, of the `host` and on `disk`; null without "
    "a cache",
    "flops": "counted FLOPs, 2 per multiply-add: of a training `step` with nothing frozen, and of the whole `run`; "
    "null if not known, as for an adaptive strategy before its end",
    "saving": "fractions of the time of a baseline with as many steps: `estimated` by the paper's formula, `predicted` "
    "from FLOPs, `profiled` from seconds per step at each prefix; null if not known",
    "shared_device": "whether other runs or programs used the device at the same time, or the run stood still for 2 % "
    "of its time; the seconds of such a run enter no saving; null if not known",
    "wandb": "`id` and `dir` of the Weights & Biases run; null without one",
}


def digest(effective: dict[str, Any]) -> str:
    """Twelve hex digits that name an effective configuration.

    Args:
        effective: Everything that changes a run's result or its seconds. Keys at their value in NEUTRAL are left out,
            so that a key added later does not rename old runs.
    """
    kept = _without_neutral({"numerics": NUMERICS, **effective})
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# Keys of an effective configuration in which the runs of one setting may differ: a panel compares such runs.
ARM = ("strategy", "steps", "views", "cache")


def anywhere(effective: dict[str, Any]) -> dict[str, Any]:
    """An effective configuration without device model and threads, so that it does not depend on the machine."""
    machine = {key: value for key, value in effective["machine"].items() if key not in ("device", "threads")}
    return {**effective, "machine": machine}


def setting_anywhere(record: dict[str, Any]) -> str | None:
    """A hash of a run's setting that is the same on all machines; one machine's if the record has no `effective`."""
    if not record.get("effective"):
        return record.get("setting_id") or record.get("group")  # the key's name in older records
    own = anywhere(record["effective"])
    return digest({key: value for key, value in own.items() if key not in ARM})


def _without_neutral(section: dict[str, Any], path: str = "") -> dict[str, Any]:
    kept = {}
    for key, value in section.items():
        name = f"{path}{key}"
        if name in NEUTRAL and NEUTRAL[name] == value:
            continue
        kept[key] = _without_neutral(value, f"{name}.") if isinstance(value, dict) else value
    return kept


def flat(section: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """A nested document as one level: `{"model": {"depth": 10}}` -> `{"model.depth": 10}`."""
    found: dict[str, Any] = {}
    for key, value in section.items():
        found |= flat(value, f"{path}{key}.") if isinstance(value, Mapping) else {f"{path}{key}": value}
    return found


def run_id(name: str, seed: int) -> str:
    return f"{name}-{seed}"


def run_folder(root: Path, name: str, seed: int) -> Path:
    return root / name / str(seed)


def null_if_not_finite(value: Any) -> Any:
    """The same document with NaN and infinities replaced by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: null_if_not_finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [null_if_not_finite(v) for v in value]
    return value


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that replaces `path` if the block succeeds, and is deleted if it raises.

    It is on the disk before it takes the name, so that a machine that loses power has the old file or the new one.

    Raises:
        OSError: The folder cannot be made or written; the previous file at `path` is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=TEMPORARY, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o644)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)  # the error of a write to a full disk does not name the file
        with contextlib.suppress(OSError):
            os.truncate(temporary, 0)  # free the space now: the failed writer may still have the file open
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text_atomic(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json_atomic(path: Path, document: Any) -> None:
    text = json.dumps(null_if_not_finite(document), indent=1, allow_nan=False)
    write_text_atomic(path, text + "\n")


def append_line(path: Path, entry: dict[str, Any]) -> None:
    """Add one JSON document as a line, flushed to the file system before this returns."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(null_if_not_finite(entry), allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The entries of a JSON-lines file; [] if there is no file. A last line that a kill cut off is dropped.

    Raises:
        ValueError: Another line is damaged; the message names it.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    entries = []
    for number, line in enumerate(lines, 1):
        if line.endswith("\n") and line.strip():
            try:
                entries.append(dict(json.loads(line)))
            except (ValueError, TypeError) as error:
                what = f"line {number} is malformed"
                raise ValueError(f"{path}: {what}; delete the run's folder to train again") from error
    return entries


def rewrite_lines(path: Path, entries: list[dict[str, Any]]) -> None:
    write_text_atomic(path, "".join(json.dumps(null_if_not_finite(e), allow_nan=False) + "\n" for e in entries))


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of the run in `folder`; None if there is none.

    Raises:
        ValueError: With a one-line message: the record cannot be read, or is of a newer version of the program.
    """
    path = folder / "record.json"
    if not path.exists():
        return None
    remedy = "delete it to train again"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: not a readable record ({error}); {remedy}") from error
    version = record.get("schema_version") if isinstance(record, dict) else None
    if not isinstance(version, int) or "status" not in record:
        raise ValueError(f"{path}: not a readable record (it lacks schema_version or status); {remedy}")
    if version > SCHEMA_VERSION:
        raise ValueError(
            f"{path}: schema version {version}, and this program reads up to {SCHEMA_VERSION}: update it, or give "
            "another folder"
        )
    return record


def record_paths(root: Path) -> list[Path]:
    """The folders below `root` that hold a record.json, sorted."""
    return sorted(path.parent for path in root.glob("*/*/record.json"))


def is_finished(record: dict[str, Any] | None) -> bool:
    """Whether the run need not be launched again. A diverged run is a result; other failed runs are repeated."""
    return record is not None and (record["status"] == "done" or bool(record.get("diverged")))


def sweep_path(root: Path, sweep: str) -> Path:
    return root / "sweeps" / f"{sweep}.json"
