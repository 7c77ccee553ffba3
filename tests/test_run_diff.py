"""`diff`: which keys make the names of two runs differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_records import BASELINE, freezeout, make_run, write_manifest

from analysis.__main__ import main
from analysis.archive import archive
from freezeout.records import run_folder

SAME = {"batch_size": 50, "compat": None, "machine": {"device": "Xeon 8480", "threads": 1}, "data": "f"}


def folder(root: Path, run_id: str) -> Path:
    name, _, seed = run_id.rpartition("-")
    return run_folder(root, name, int(seed))


def diff(capsys, *runs: object, root: Path | None = None) -> list[str]:
    assert main(["diff", *map(str, runs), *(["--runs", str(root)] if root else [])]) == 0
    return capsys.readouterr().out.splitlines()


def effective(strategy: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**SAME, "strategy": strategy, "steps": 560, **changes}


def made(root: Path, strategy: dict[str, Any], seed: int = 0, **changes: Any) -> str:
    return make_run(root, strategy, seed, effective=effective(strategy, **changes))["run_id"]


def test_the_keys_that_differ_are_listed_with_both_values_and_no_others(tmp_path, capsys):
    a, b = made(tmp_path, freezeout(0.5)), made(tmp_path, freezeout(0.8, scale_lr=False), batch_size=100)
    header, _, *rows, end = diff(capsys, folder(tmp_path, a), folder(tmp_path, b) / "record.json")
    assert header.split() == ["key", a, b]
    assert [row.split() for row in rows] == [
        ["batch_size", "50", "100"],
        ["strategy.t_0", "0.5", "0.8"],
        ["strategy.scale_lr", "true", "false"],
    ]
    assert end == "of one setting: they are compared in one panel"


def test_replicates_and_one_run_are_said_to_be_such(tmp_path, capsys):
    a, b = made(tmp_path, BASELINE), made(tmp_path, BASELINE, 1)
    name = a.rpartition("-")[0]
    assert diff(capsys, a, b, root=tmp_path) == [f"both are named {name}: replicates, seeds 0 and 1"]
    assert diff(capsys, a, folder(tmp_path, a), root=tmp_path) == [f"both are run {a}"]


def test_a_key_at_the_value_that_means_its_absence_is_no_difference(tmp_path, capsys):
    a, b = made(tmp_path, BASELINE), made(tmp_path, freezeout(0.5), other=1)
    path = folder(tmp_path, b) / "record.json"
    record = json.loads(path.read_text())
    del record["effective"]["compat"], record["effective"]["strategy"]["const_time"]
    path.write_text(json.dumps(record))
    keys = [line.split()[0] for line in diff(capsys, a, b, root=tmp_path)]
    assert "other" in keys
    assert not {"compat", "strategy.const_time"} & {*keys}


def test_older_records_are_compared_by_configuration_data_device_and_steps(tmp_path, capsys):
    a = make_run(tmp_path, BASELINE)["run_id"]
    other = {"name": "digits", "fingerprint": "0123456789abcdef", "test": 360}
    b = make_run(tmp_path, freezeout(0.5), 1, data=other, device={"model": "L4"}, steps=280, setting_id="x")["run_id"]
    *lines, end = diff(capsys, a, b, root=tmp_path)
    rows = {line.split()[0]: line.split()[1:] for line in lines[2:]}
    assert rows["steps"] == ["560", "280"]
    assert rows["machine.device"] == ["Xeon", "8480", "L4"]
    assert rows["data"] == ["digits", "f", "digits", "0123456789ab"]
    assert rows["strategy.name"] == ["baseline", "freezeout"]
    assert not {"seed", "epochs", "dataset.name"} & {*rows}
    assert end == "of two settings: they are in different panels"


def test_a_kept_record_is_found_by_its_run_id(tmp_path, capsys):
    entries = [make_run(tmp_path / "runs", BASELINE), make_run(tmp_path / "runs", freezeout(0.5))]
    write_manifest(tmp_path / "runs", entries)
    archive(tmp_path / "runs", "smoke", tmp_path / "kept")
    lines = diff(capsys, *(entry["run_id"] for entry in entries), root=tmp_path / "kept")
    assert lines[0].split() == ["key", *(entry["run_id"] for entry in entries)]


@pytest.mark.parametrize("name", ["nowhere-0", "record.json"])
def test_a_run_that_is_not_there_is_one_line(tmp_path, capsys, name):
    run_id = made(tmp_path, BASELINE)
    assert main(["diff", name, run_id, "--runs", str(tmp_path)]) == 2
    streams = capsys.readouterr()
    assert streams.err.count("\n") == 1
    assert "no such run id" in streams.err


def test_a_run_whose_record_cannot_be_read_is_not_said_to_be_missing(tmp_path, capsys):
    run_id, other = made(tmp_path, BASELINE), made(tmp_path, freezeout(0.5))
    (folder(tmp_path, run_id) / "record.json").write_text("{")
    assert main(["diff", run_id, other, "--runs", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{folder(tmp_path, run_id) / 'record.json'}: not a readable record" in line


def test_the_start_of_a_run_id_is_answered_with_the_whole(tmp_path, capsys):
    run_id = made(tmp_path, BASELINE)
    assert main(["diff", run_id[:6], run_id, "--runs", str(tmp_path)]) == 2
    assert f"did you mean {run_id}?" in capsys.readouterr().err
