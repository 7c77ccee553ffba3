"""`runs --where`: which runs are found, where they lie, and the command that makes each again."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_records import BASELINE, freezeout, make_run, make_sweep, shortened, write_manifest

from analysis.__main__ import main
from freezeout.records import run_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_sweep(tmp_path / "runs", seeds=2)
    return tmp_path / "runs"


def found(root: Path, capsys, *words: str) -> list[list[str]]:
    """The rows of the table printed, as words."""
    assert main(["runs", "--runs", str(root), *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    return [line.split() for line in lines[2 : lines.index("commands that make them again:")]]


def refused(root: Path, capsys, *words: str) -> str:
    assert main(["runs", "--runs", str(root), "--where", *words]) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.count("\n") == 1
    return streams.err


def test_runs_are_found_by_strategy_and_its_fields_and_each_has_its_folder_and_command(root, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["runs", "--runs", str(root), "--where", "strategy=freezeout", "t_0=0.8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("commands that make them again:")
    rows, commands = lines[2:at], lines[at + 1 :]
    assert len(rows) == len(commands) == 4
    for row, command in zip(rows, commands, strict=True):
        folder = row.split()[0]
        assert (Path(folder) / "record.json").exists()
        assert "t_0=0.8" in row
        assert row.endswith("done")
        assert command.startswith(f"{folder}: python -m freezeout model=")
        assert "strategy=freezeout" in command


@pytest.mark.parametrize(
    ("where", "count"),
    [
        (["strategy.how_scale=cubic"], 6),
        (["t_0=0.3,0.5"], 8),
        (["strategy.scale_lr=True", "seed=1"], 3),
        (["strategy.scale_lr=true", "seed=1.0"], 3),
        (["model.depth=10", "dataset=digits"], 20),
        (["strategy=baseline"], 2),
        (["sweep=smoke", "status=done"], 20),
        ([], 20),
    ],
)
def test_keys_are_those_of_the_configuration_and_of_the_table(root, capsys, monkeypatch, where, count):
    monkeypatch.setenv("COLUMNS", "300")
    assert len(found(root, capsys, *(["--where", *where] if where else []))) == count


def test_a_shared_record_is_found_as_the_sweep_calls_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    entry = make_run(tmp_path, BASELINE, steps=280)
    write_manifest(tmp_path, [{**entry, "label": {"strategy": shortened(0.5), "epochs": 20}}])
    assert len(found(tmp_path, capsys, "--where", "strategy=shortened", "strategy.budget=0.5", "epochs=20")) == 1
    assert "no run has strategy=baseline" in refused(tmp_path, capsys, "strategy=baseline")


def test_a_run_of_two_sweeps_is_listed_once(root, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    write_manifest(root, [make_run(root, BASELINE)], "other")
    assert len(found(root, capsys, "--where", "strategy=baseline", "seed=0")) == 1


def test_runs_are_sorted_and_limited_and_the_rest_is_counted(root, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    *rows, rest = found(root, capsys, "--sort", "error", "--limit", "5")
    errors = [float(row[-3]) for row in rows]
    assert len(errors) == 5
    assert errors == sorted(errors)
    assert rest[:2] == ["15", "more;"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["strateg=baseline"], "no run has the key strateg; did you mean strategy?"),
        (["strategy=freezeut"], "no run has strategy=freezeut; did you mean freezeout? There are baseline, freezeout"),
        (["t_0=0.9"], "no run has t_0=0.9"),
        (["zzz"], "--where zzz: must be KEY=VALUE"),
        (["strategy=baseline", "t_0=0.8"], "meets all of these conditions"),
    ],
)
def test_a_word_that_fits_nothing_is_one_line_with_the_nearest(root, capsys, words, says):
    assert says in refused(root, capsys, *words)


@pytest.mark.parametrize("limit", ["0", "-1", "x"])
def test_a_limit_is_a_whole_number_above_0(root, capsys, limit):
    with pytest.raises(SystemExit) as stop:
        main(["runs", "--runs", str(root), "--limit", limit])
    assert stop.value.code == 2
    assert "must be a whole number of at least 1" in capsys.readouterr().err


def test_a_failed_run_and_one_without_a_record_are_listed_without_inventing_anything(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    lost = make_run(tmp_path, freezeout(0.5), status="failed", diverged=True, error=None)
    write_manifest(tmp_path, [lost, {"run_id": "ffff-0", "seed": 0, "label": {"strategy": BASELINE}}], "s")
    diverged, missing = found(tmp_path, capsys)
    assert (diverged[-3], diverged[-1]) == ("-", "diverged")
    assert (missing[0], missing[-1]) == ("ffff-0", "missing")


def test_the_command_in_a_record_is_printed_as_it_is(tmp_path, capsys):
    make_run(tmp_path, BASELINE, command="python -m freezeout 'dataset.train=[a b.npz]'")
    assert main(["runs", "--runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith(": python -m freezeout 'dataset.train=[a b.npz]'\n")


def test_of_a_run_without_a_record_nothing_is_said_that_is_not_known(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    missing = {"run_id": "ffff-0", "seed": 0, "label": {"strategy": freezeout(0.5), "epochs": 20}}
    write_manifest(tmp_path, [make_run(tmp_path, BASELINE), missing])
    lost = run_folder(tmp_path, "eeee", 1)
    lost.mkdir(parents=True)
    (lost / "record.json").write_text("{")
    assert main(["runs", "--runs", str(tmp_path), "--where", "status=missing,unreadable"]) == 0
    lines = " ".join(capsys.readouterr().out.split())
    assert "ffff-0 FreezeOut cubic scaled t_0=0.5 0 - - missing" in lines
    assert f"{lost} - - - - unreadable" in lines
    assert lines.endswith(f"ffff-0: no record, so no command {lost}: no record, so no command")
