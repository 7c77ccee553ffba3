"""Names of runs, and files that a reader never sees half of."""

from __future__ import annotations

import errno
import json
import math
import os
import threading

import pytest

from freezeout import records

EFFECTIVE = {
    "model": {"name": "wide_resnet", "depth": 40, "widen": 4, "dropout": 0.0},
    "data": "f00d",
    "batch_size": 50,
    "strategy": {"name": "freezeout", "t_0": 0.8, "how_scale": "cubic", "scale_lr": True, "bn": "eval"},
    "steps": 90000,
}


def test_the_name_of_a_run_is_pinned_so_that_old_results_stay_findable() -> None:
    assert records.digest(EFFECTIVE) == "321f6c1c8c43"


def test_a_name_depends_on_every_value_and_not_on_their_order() -> None:
    assert records.digest(dict(reversed(EFFECTIVE.items()))) == records.digest(EFFECTIVE)
    assert records.digest(EFFECTIVE | {"steps": 90001}) != records.digest(EFFECTIVE)


def test_a_new_key_at_its_neutral_value_keeps_old_names(monkeypatch) -> None:
    monkeypatch.setitem(records.NEUTRAL, "strategy.new", 0)
    with_new = EFFECTIVE | {"strategy": EFFECTIVE["strategy"] | {"new": 0}}
    assert records.digest(with_new) == records.digest(EFFECTIVE)
    with_new["strategy"]["new"] = 1
    assert records.digest(with_new) != records.digest(EFFECTIVE)


def test_a_repair_that_changes_results_renames_runs(monkeypatch) -> None:
    before = records.digest(EFFECTIVE)
    monkeypatch.setattr(records, "NUMERICS", records.NUMERICS + 1)
    assert records.digest(EFFECTIVE) != before


def test_absent_is_null_and_not_a_number_is_absent(tmp_path) -> None:
    path = tmp_path / "a" / "record.json"
    records.write_json_atomic(path, {"loss": math.nan, "list": [1.5, math.inf], "none": None})
    assert json.loads(path.read_text()) == {"loss": None, "list": [1.5, None], "none": None}


def write_half(path) -> None:
    with records.replacing(path) as temporary:
        temporary.write_text('{"a": ')
        raise OSError("disk full")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path) -> None:
    path = tmp_path / "record.json"
    records.write_json_atomic(path, {"a": 1})
    with pytest.raises(OSError, match="disk"):
        write_half(path)
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


def test_a_file_is_on_the_disk_before_it_takes_the_name(tmp_path, monkeypatch) -> None:
    path, synced = tmp_path / "record.json", {}
    records.write_json_atomic(path, {"a": 1})

    def fsync(file: int) -> None:
        synced[os.fstat(file).st_ino] = (os.fstat(file).st_size, path.stat().st_ino)

    before = path.stat().st_ino
    monkeypatch.setattr(os, "fsync", fsync)
    records.write_json_atomic(path, {"a": 22})
    assert synced == {path.stat().st_ino: (path.stat().st_size, before)}


def write_to_full_disk(path, kept: list) -> None:
    with records.replacing(path) as temporary:
        kept.append(temporary.open("wb", buffering=0))  # as torch's writer, which outlives its failure for a while
        kept[0].write(bytes(100_000))
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_failed_write_names_the_file_and_gives_its_room_back_at_once(tmp_path) -> None:
    path, kept = tmp_path / "record.json", []
    with pytest.raises(OSError, match="No space left") as full:
        write_to_full_disk(path, kept)
    assert full.value.filename == str(path)
    assert os.fstat(kept[0].fileno()).st_blocks == 0
    kept[0].close()


def test_a_reader_never_sees_half_a_file(tmp_path) -> None:
    path = tmp_path / "record.json"
    document = {"numbers": list(range(20_000))}
    records.write_json_atomic(path, document)
    seen, stop = [], threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.append(len(json.loads(path.read_text())["numbers"]))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        records.write_json_atomic(path, document)
    stop.set()
    reader.join()
    assert set(seen) == {20_000}


def test_a_line_cut_off_by_a_kill_is_skipped(tmp_path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert records.read_lines(path) == []
    records.append_line(path, {"epoch": 1, "train_loss": math.nan})
    records.append_line(path, {"epoch": 2})
    with path.open("a") as file:
        file.write('{"epoch": 3, "tra')
    assert records.read_lines(path) == [{"epoch": 1, "train_loss": None}, {"epoch": 2}]


def test_unreadable_records_are_named_and_newer_ones_refused(tmp_path) -> None:
    for text in ("{", "[]", "{}", '{"schema_version": 1}', '{"status": "done"}'):
        (tmp_path / "record.json").write_text(text)
        with pytest.raises(ValueError, match=r"record\.json: not a readable record .*; delete it to train again$"):
            records.read_record(tmp_path)
    (tmp_path / "record.json").write_text('{"schema_version": 99, "status": "done"}')
    with pytest.raises(ValueError, match=r"schema version 99, .*: update it, or give another folder$"):
        records.read_record(tmp_path)
    assert records.read_record(tmp_path / "elsewhere") is None


def test_a_diverged_run_is_a_result_and_other_failures_are_gaps() -> None:
    assert records.is_finished({"status": "done"})
    assert records.is_finished({"status": "failed", "diverged": True})
    assert not records.is_finished({"status": "failed", "diverged": False})
    assert not records.is_finished({"status": "interrupted"})
    assert not records.is_finished(None)
