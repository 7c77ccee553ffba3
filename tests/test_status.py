"""`status`: which runs are in training, where and for how long still; again and again; of several folders."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from made_records import BASELINE, freezeout, make_run, shortened, write_manifest

from analysis import status
from analysis.__main__ import main
from freezeout import holder, records

NO_LIST = "not a list of runs; the runs of this sweep are taken as runs of none"


def entry(strategy: dict, seed: int = 0) -> dict:
    """A run of a sweep that has left no record; its name is like that of one."""
    name = records.digest({"strategy": strategy})
    return {"run_id": f"{name}-{seed}", "seed": seed, "label": {"strategy": strategy, "epochs": 20}}


def train(root: Path, run: dict, epochs: int = 0, **changes) -> Path:
    """As if a process trained a run; changes: to which one, as compared with this one."""
    name, _, seed = run["run_id"].rpartition("-")
    folder = records.run_folder(root, name, int(seed))
    folder.mkdir(parents=True, exist_ok=True)
    who = dataclasses.replace(holder.myself(), host="node7", pid=holder.myself().pid, **changes)
    holder.path_of(folder, 1).write_bytes(holder.written(0, who))
    for epoch in range(1, epochs + 1):
        records.append_line(folder / "metrics.jsonl", {"epoch": epoch, "step": 28 * epoch, "seconds": 60.0 * epoch})
    return folder


def said(capsys, root: Path, *more: str) -> list[str]:
    assert main(["status", "--runs", str(root), *more]) == 0
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def counts(lines: list[str]) -> dict[str, str]:
    return dict(zip(lines[0].split(), lines[2].split(), strict=False))


def test_a_run_in_training_is_told_with_where_which_epoch_and_how_long_still(tmp_path, capsys) -> None:
    whole, short, begun, gone = entry(BASELINE), entry(shortened(0.4)), entry(freezeout(0.5)), entry(freezeout(0.8))
    write_manifest(tmp_path, [make_run(tmp_path, BASELINE, 1), whole, short, begun, gone])
    for run, epochs in ((whole, 5), (short, 2), (begun, 0)):
        train(tmp_path, run, epochs)
    train(tmp_path, gone, 3, began="1")
    lines = said(capsys, tmp_path)
    assert counts(lines) == counts(lines) | {"runs": "5", "done": "1", "running": "3", "missing": "1"}
    assert lines[2].endswith(" 7.2 min"), "12 s of the one that is done, 5 and 2 epochs of a minute"
    text = " ".join(lines)
    where = f"running: pid {holder.myself().pid} on node7"
    assert f"{whole['run_id']} baseline {where}, epoch 6 of 20, about 15.0 min of training left" in text
    assert f"{where}, epoch 3 of 8, about 6.0 min of training left" in text
    assert f"{where}, epoch 1 of 20" in text


def test_a_run_that_was_cut_and_goes_on_is_running(tmp_path, capsys) -> None:
    cut = make_run(tmp_path, BASELINE, status="interrupted", reason="SIGTERM", error=None)
    write_manifest(tmp_path, [cut])
    assert counts(said(capsys, tmp_path))["interrupted"] == "1"
    train(tmp_path, cut, 1)
    found = counts(said(capsys, tmp_path))
    assert (found["interrupted"], found["running"]) == ("0", "1")


def test_several_folders_are_one_table(tmp_path, capsys) -> None:
    for name in ("one", "two"):
        write_manifest(tmp_path / name, [make_run(tmp_path / name, BASELINE)], name)
    lines = said(capsys, tmp_path / "one", str(tmp_path / "two"))
    assert [line.split()[0] for line in lines[2:]] == ["one", "two"]
    assert len(said(capsys, tmp_path / "one", str(tmp_path / "two"), "--sweep", "two")) == 3
    assert main(["status", "--runs", str(tmp_path / "one"), "--runs", str(tmp_path / "three")]) == 2
    assert "three: there is no such folder" in capsys.readouterr().err


def test_it_is_printed_anew_when_something_changed_until_all_has_ended(tmp_path, capsys, monkeypatch) -> None:
    done = make_run(tmp_path, BASELINE)
    folder = records.run_folder(tmp_path, done["run_id"].rpartition("-")[0], 0)
    record = (folder / "record.json").read_text()
    (folder / "record.json").unlink()
    write_manifest(tmp_path, [done])
    train(tmp_path, done, 3)
    naps = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 2:
            (folder / "record.json").write_text(record)

    monkeypatch.setattr(status.time, "sleep", sleep)
    lines = said(capsys, tmp_path, "--watch", "7")
    assert naps == [7, 7]
    assert [line.split()[2:4] for line in lines if line.startswith("smoke 1")] == [["0", "1"], ["1", "0"]]


def test_ctrl_c_ends_watching(tmp_path, capsys, monkeypatch) -> None:
    write_manifest(tmp_path, [entry(BASELINE)])

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(status.time, "sleep", interrupted)
    assert counts(said(capsys, tmp_path, "--watch"))["missing"] == "1"


def test_a_watched_run_on_another_host_without_a_heartbeat_is_no_more_running(tmp_path, monkeypatch) -> None:
    write_manifest(tmp_path, [entry(BASELINE)])
    train(tmp_path, entry(BASELINE), boot="another")
    clock = iter(range(0, 10**6, 60))
    watch = holder.Watch(lambda: next(clock))
    states = [status.standing([tmp_path], [], watch)["state"].item() for _ in range(3)]
    assert states[0] == "running"
    assert states[-1] == "missing"


def test_a_run_that_cannot_be_read_is_named_without_a_configuration(tmp_path, capsys) -> None:
    lost = records.run_folder(tmp_path, "eeee", 1) / "record.json"
    records.write_text_atomic(lost, "{")
    assert " ".join(said(capsys, tmp_path)[3:]).startswith(f"runs eeee-1 unreadable: {lost}: not a readable record")


def test_a_list_of_runs_that_cannot_be_read_is_counted_and_named(tmp_path, capsys) -> None:
    make_run(tmp_path, BASELINE)
    records.write_text_atomic(records.sweep_path(tmp_path, "broken"), "{")
    lines = said(capsys, tmp_path)
    assert counts(lines) == counts(lines) | {"sweep": "broken", "unreadable": "1"}
    assert " ".join(lines[4:]) == f"broken unreadable: {records.sweep_path(tmp_path, 'broken')}: {NO_LIST}"


@pytest.mark.parametrize("words", [["--watch", "0"], ["--watch", "soon"]])
def test_a_time_that_is_none_is_refused(words, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["status", *words])
    assert "must be a whole number of at least 1" in capsys.readouterr().err
