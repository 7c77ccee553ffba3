"""The archive that a call writes and the next one reads: the folder of the results, at most 16 MiB."""

from __future__ import annotations

import json
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu.state import FILE as STATE
from freezeout.records import is_finished, replacing

LIMIT = 16 * 2**20
MARGIN = 2**16  # for the page, which is written after the files are chosen
HEADER = 1024  # bytes of a file's entry in the archive, at most, once compressed

# Files by what they are worth, most first; what ends in none of these comes last (checkpoints).
WORTH = ((STATE, ".md"), (".json", ".jsonl", ".csv", ".yaml"), (".log", ".txt"), (".png", ".npz"))


@dataclass(frozen=True)
class Choice:
    """What goes into the archive.

    Attributes:
        kept: Files, relative to the folder.
        left_out: A line for each file that is too large, least valuable or oldest.
    """

    kept: list[Path]
    left_out: list[str]


def choose(folder: Path, limit: int = LIMIT) -> Choice:
    """Choose the files that fit, most valuable first; of the least valuable the newest first.

    Checkpoints of finished runs are no longer needed and are left out silently.
    """
    left = limit - MARGIN
    kept, left_out = [], []
    for path in sorted(_files(folder), key=_worth):
        size = path.stat().st_size
        # Files that cannot become small enough are not compressed: 1000 is deflate's best ratio.
        packed = HEADER + (len(zlib.compress(path.read_bytes())) if size < 4 * limit else size)
        name = path.relative_to(folder)
        if packed <= left:
            kept.append(name)
            left -= packed
        else:
            left_out.append(f"{name} ({size / 2**20:.1f} MiB)")
    return Choice(kept, left_out)


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and not path.name.startswith(".") and not _of_no_use(path):
            yield path


def _of_no_use(path: Path) -> bool:
    record = path.parent / "record.json"
    if path.suffix != ".pt" or not record.exists():
        return False
    try:
        return is_finished(json.loads(record.read_text(encoding="utf-8")))
    except (ValueError, KeyError):
        return False


def _worth(path: Path) -> tuple[int, float, int]:
    rank = next((i for i, ends in enumerate(WORTH) if path.name.endswith(ends)), len(WORTH))
    found = path.stat()
    return rank, -found.st_mtime if rank == len(WORTH) else 0.0, found.st_size


def write(folder: Path, archive: Path, kept: list[Path]) -> None:
    """Put these files of the folder into the archive, which a kill leaves as it was before.

    The state comes last: if a kill interrupts unpacking there is no state, and the next call unpacks again.

    Raises:
        OSError: The archive cannot be written.
    """
    with replacing(archive) as path, tarfile.open(path, "w:gz") as file:
        for name in sorted(kept, key=lambda name: str(name) == STATE):
            file.add(folder / name, arcname=str(name), recursive=False)


def unpack(archive: Path, folder: Path) -> None:
    """Fill an empty folder from the archive.

    Raises:
        ValueError: In one line: the archive is damaged, or would write outside the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive) as file:
            file.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{archive}: not a complete archive ({error}); name another one, or none, with --archive"
        ) from (error)
