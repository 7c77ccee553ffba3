"""Packed records: the records kept in the repository, one line of JSON each, with one bit per evaluated image."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from freezeout.records import SCHEMA_VERSION, null_if_not_finite, run_id, write_text_atomic


def read(path: Path) -> list[dict[str, Any]]:
    """The records in a packed file; [] if the file does not exist.

    Raises:
        ValueError: With a one-line message: a line is not a record, or was written by a newer version of the program.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    if lines.pop():
        raise ValueError(f"{path}: its last line is cut off; restore the file (git checkout -- {path})")
    found = []
    for number, line in enumerate(lines, 1):
        record = _decoded(line)
        if not _is_record(record):
            raise ValueError(f"{path}: line {number} is malformed; restore the file (git checkout -- {path})")
        if record["schema_version"] > SCHEMA_VERSION:
            version = record["schema_version"]
            raise ValueError(
                f"{path}: line {number} is of schema version {version}; this program reads {SCHEMA_VERSION}"
            )
        found.append(record)
    return found


def write(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Replace a packed file by one with these records."""
    lines = (json.dumps(null_if_not_finite(one), allow_nan=False, separators=(",", ":")) for one in records)
    write_text_atomic(path, "".join(f"{line}\n" for line in lines))


def _decoded(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _is_record(found: Any) -> bool:
    types = {"schema_version": int, "run_id": str, "seed": int, "status": str}
    if not isinstance(found, dict) or not all(isinstance(found.get(key), kind) for key, kind in types.items()):
        return False
    name = found["run_id"].rpartition("-")[0]
    return bool(name) and found["run_id"] == run_id(name, found["seed"])


def pack_bits(bits: Iterable[bool]) -> str:
    """Bits as base64: the first is the highest bit of the first byte, and the last byte is padded with zeros."""
    text = "".join("1" if bit else "0" for bit in bits)
    text += "0" * (-len(text) % 8)
    return base64.b64encode(bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))).decode("ascii")


def correct_images(record: dict[str, Any], split: str) -> list[bool] | None:
    """Whether each image of a split was classified correctly after the last step, in the order of the split.

    Args:
        record: A run's record.
        split: "validation" or "test".

    Returns:
        One entry per image; None if the record does not have them.
    """
    text = (record.get("correct") or {}).get(split)
    if text is None:
        return None
    bits = "".join(f"{byte:08b}" for byte in base64.b64decode(text))
    return [bit == "1" for bit in bits[: record["data"][split]]]
