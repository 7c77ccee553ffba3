"""The archive stays below its limit: the least valuable and the oldest are left out, and that is said."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from benchmarks.gpu import archive

LIMIT = 400_000


def noise(path: Path, size: int, age: float = 0.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(random.Random(0).randbytes(size))
    os.utime(path, (1e9 - age, 1e9 - age))


@pytest.fixture
def folder(tmp_path) -> Path:
    out = tmp_path / "out"
    for name, status in (("finished", "done"), ("new", "interrupted"), ("old", "interrupted")):
        noise(out / f"runs/{name}/0/checkpoint.pt", 150_000, age={"new": 0.0}.get(name, 100.0))
        (out / f"runs/{name}/0/record.json").write_text(json.dumps({"status": status}))
    (out / "state.json").write_text("{}")
    noise(out / "figure.png", 100_000)
    return out


def test_checkpoints_are_the_first_to_go_and_the_oldest_of_them(folder) -> None:
    choice = archive.choose(folder, LIMIT)
    kept = {str(path) for path in choice.kept}
    assert {"state.json", "figure.png", "runs/finished/0/record.json", "runs/new/0/checkpoint.pt"} <= kept
    assert choice.left_out == ["runs/old/0/checkpoint.pt (0.1 MiB)"]
    assert "runs/finished/0/checkpoint.pt" not in kept, "a finished run needs none, and nobody misses it"
    written = folder.parent / "gpu.tar.gz"
    archive.write(folder, written, choice.kept)
    assert written.stat().st_size <= LIMIT
    archive.unpack(written, folder.parent / "again")
    assert {str(p.relative_to(folder.parent / "again")) for p in (folder.parent / "again").rglob("*.*")} == kept


def test_many_small_files_stay_below_the_limit_too(tmp_path) -> None:
    for i in range(600):
        noise(tmp_path / f"out/{i}.json", 700)
    choice = archive.choose(tmp_path / "out", LIMIT)
    archive.write(tmp_path / "out", tmp_path / "gpu.tar.gz", choice.kept)
    assert choice.left_out
    assert (tmp_path / "gpu.tar.gz").stat().st_size <= LIMIT


def test_a_damaged_archive_is_one_line(folder) -> None:
    written = folder.parent / "gpu.tar.gz"
    archive.write(folder, written, archive.choose(folder).kept)
    for damaged in (written.read_bytes()[:1000], b"nothing"):
        written.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"gpu\.tar\.gz: not a complete archive"):
            archive.unpack(written, folder.parent / "again")


def test_an_archive_writes_nowhere_else(tmp_path) -> None:
    import io
    import tarfile

    with tarfile.open(tmp_path / "gpu.tar.gz", "w:gz") as file:
        entry = tarfile.TarInfo("../outside")
        entry.size = 1
        file.addfile(entry, io.BytesIO(b"x"))
    with pytest.raises(ValueError, match="not a complete archive"):
        archive.unpack(tmp_path / "gpu.tar.gz", tmp_path / "out")
    assert not (tmp_path / "outside").exists()
