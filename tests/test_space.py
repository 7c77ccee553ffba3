"""A full disk: what was finished stays readable, one line says what is needed, and the same command resumes."""

from __future__ import annotations

import errno
import json
import pickle
import re
import subprocess

import pytest
import torch
from launched import only_run

from freezeout import records
from freezeout.run import lease, runner
from freezeout.run.space import DiskFullError, disk_full, is_full
from freezeout.train import checkpoint

FULL = "disk full (No space left on device)"


def full_after(monkeypatch, module, name: str, calls: int) -> None:
    """Let a function find the disk full from its call number `calls` on."""
    real, made = getattr(module, name), []

    def write(*arguments, **keywords):
        made.append(name)
        if len(made) >= calls:
            raise OSError(errno.ENOSPC, "No space left on device", str(arguments[0]))
        return real(*arguments, **keywords)

    monkeypatch.setattr(module, name, write)


@pytest.mark.parametrize(
    ("module", "name", "calls"), [(checkpoint, "save", 2), (records, "append_line", 2), (lease, "take", 1)]
)
def test_a_run_goes_on_where_it_found_no_room(freezeout, tmp_path, monkeypatch, module, name: str, calls: int) -> None:
    with monkeypatch.context() as patched:
        full_after(patched, module, name, calls)
        said = freezeout("strategy=baseline", "epochs=3")
    folder = only_run(tmp_path / "runs")
    line = rf"freezeout: {folder.relative_to(tmp_path)}: {re.escape(FULL)}; the next checkpoint needs [\d.]+ MB, "
    line += r"and [\d.]+ MB are free; the same command resumes once there is room"
    assert re.fullmatch(line, said.err.splitlines()[-1])
    assert said.code == 2
    if name != "take":
        assert records.read_record(folder)["status"] == "interrupted"
        assert records.read_record(folder)["reason"].startswith(FULL)
        assert torch.load(folder / "checkpoint.pt", weights_only=True)["freezeout"]["step"] == 28
    assert not list(folder.glob("lease.*"))
    assert freezeout("strategy=baseline", "epochs=3").code == 0
    assert records.read_record(folder)["status"] == "done"
    assert [entry["epoch"] for entry in records.read_lines(folder / "metrics.jsonl")] == [1, 2, 3]


def test_what_is_needed_is_the_size_of_a_checkpoint(freezeout, tmp_path, monkeypatch) -> None:
    freezeout("strategy=baseline", "epochs=1", "model.widen=2")
    size = (only_run(tmp_path / "runs") / "checkpoint.pt").stat().st_size
    full_after(monkeypatch, checkpoint, "save", 1)
    said = freezeout("strategy=baseline", "epochs=2", "model.widen=2")
    needs = float(re.search(r"needs ([\d.]+) MB", said.err)[1])
    assert size / 1e6 == pytest.approx(needs, rel=0.1)


@pytest.mark.parametrize("name", ["checkpoint", "record", "list"])
def test_a_sweep_stops_at_a_full_disk_and_goes_on_once_there_is_room(freezeout, tmp_path, monkeypatch, name) -> None:
    words = ["-m", "strategy=baseline", "seed=0,1,2", "epochs=1", "sweep=mine"]
    assert freezeout(*words, "seed=0").code == 0
    first = next((tmp_path / "runs").glob("*/0/record.json")).read_text()
    with monkeypatch.context() as patched:
        if name == "checkpoint":
            full_after(patched, checkpoint, "save", 1)
        else:
            full_after(patched, records, "write_json_atomic", {"list": 1, "record": 2}[name])
        said = freezeout(*words)
    assert said.code == 2
    assert said.err.count(FULL) == 1, said.err
    where, what = ("sweeps", "list of sweep mine") if name == "list" else (r"\w+/1", "next checkpoint")
    assert re.match(rf"freezeout: runs/{where}: .*; the {what} needs [\d.]+ MB", said.err.splitlines()[-1])
    kept = {path.parent.name: json.loads(path.read_text()) for path in (tmp_path / "runs").glob("*/*/record.json")}
    done = {seed for seed, record in kept.items() if record["status"] == "done"}
    assert done == {"0"}
    assert "2" not in kept, "nothing was tried after it"
    assert next((tmp_path / "runs").glob("*/0/record.json")).read_text() == first
    assert json.loads((tmp_path / "runs/sweeps/mine.json").read_text())["runs"]
    assert not list((tmp_path / "runs").rglob(".*.tmp"))
    again = freezeout(*words)
    assert again.code == 0, again.err
    assert "1 done before, 2 to do" in again.err


def test_a_disk_that_is_really_full_keeps_what_was_finished(freezeout, tmp_path) -> None:
    out = tmp_path / "small"
    out.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=5M", "tmpfs", str(out)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small file system")
    words = ["-m", "strategy=baseline", "seed=0,1,2,3,4,5", "epochs=1", f"out={out}"]
    try:
        (out / "ballast").write_bytes(bytes(2_500_000))
        said = freezeout(*words)
        assert (said.code, said.err.count(FULL)) == (2, 1), said.err
        done = [
            record for path in records.record_paths(out) if (record := records.read_record(path))["status"] == "done"
        ]
        assert 0 < len(done) < 6
        (cut,) = [r for path in records.record_paths(out) if (r := records.read_record(path))["status"] != "done"]
        assert (cut["status"], cut["reason"][: len(FULL)]) == ("interrupted", FULL), "there was room for its record"
        (out / "ballast").unlink()
        subprocess.run(["mount", "-o", "remount,size=20M", str(out)], check=True)
        again = freezeout(*words)
        assert again.code == 0, again.err
        assert f"{len(done)} done before, {6 - len(done)} to do" in again.err
    finally:
        subprocess.run(["umount", "--lazy", str(out)], check=True)  # torch's writer keeps its file open for a while


def test_a_full_disk_is_called_that_whatever_torch_calls_it(tmp_path, monkeypatch) -> None:
    from freezeout.train import checkpoint

    def enforce(*_):
        raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 128 vs 0")

    monkeypatch.setattr(torch, "save", enforce)
    with pytest.raises(OSError, match="No space left on device") as full:
        checkpoint.save(tmp_path / "checkpoint.pt", {})
    assert runner.os_reason(full.value).startswith("disk full (No space left on device): ")


def test_the_error_of_a_full_disk_comes_back_from_a_launchers_process(tmp_path) -> None:
    error = disk_full(tmp_path / "not/there", OSError(errno.EDQUOT, "Disk quota exceeded"), "a thing", 12_345_678)
    line = f"{tmp_path}/not/there: disk full (Disk quota exceeded); a thing needs 12.3 MB; the same command resumes"
    assert str(pickle.loads(pickle.dumps(error))) == f"{line} once there is room"
    assert isinstance(error, DiskFullError)
    assert not is_full(OSError(errno.EACCES, "Permission denied"))
