"""`python -m analysis report`, the command: what it writes and loads, and what it says where nothing can be drawn."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from made_records import BASELINE, make_run
from made_verdicts import made_panel
from test_report import charted

from analysis.__main__ import main

HOUSE = Path(__file__).parents[1]
pytestmark = charted


def test_the_command_writes_one_file_and_says_where(tmp_path, capsys):
    made_panel(tmp_path / "runs", seeds=3)
    assert main(["report", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "figures")]) == 0
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["report.html"]
    said = f"wrote {tmp_path / 'figures' / 'report.html'} from the records in {tmp_path / 'runs'}\n"
    assert capsys.readouterr().out == said


@pytest.mark.parametrize("own", [False, True])
def test_it_says_so_where_it_shows_the_kept_records_because_there_are_no_runs(tmp_path, monkeypatch, capsys, own):
    made_panel(tmp_path / "kept", seeds=3)
    if own:
        made_panel(tmp_path / "runs", seeds=3)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("analysis.commands.RECORDS", tmp_path / "kept")
    assert main(["report", "--out", "figures"]) == 0
    why = "the records in runs" if own else "the kept records in kept, as there is no folder runs"
    assert capsys.readouterr().out == f"wrote figures/report.html from {why}\n"


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(
    ("given", "passed"),
    [([], ""), (["RUNS=rnus"], " --runs rnus"), (["RUNS=elsewhere"], " --runs elsewhere")],
)
def test_make_report_falls_back_only_where_no_folder_was_asked_for(tmp_path, given, passed):
    (tmp_path / "elsewhere").mkdir()
    words = ["make", "--dry-run", "--file", str(HOUSE / "Makefile"), "--old-file=install", "report", *given]
    said = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert f"-m analysis report{passed} --out figures" in " ".join(said.split())


@pytest.mark.parametrize("there", [True, False])
def test_no_records_are_one_line(tmp_path, capsys, there):
    root = tmp_path / "runs"
    if there:
        root.mkdir()
    assert main(["report", "--runs", str(root), "--out", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "report.html").exists()


def test_runs_that_may_all_not_be_drawn_are_one_line(tmp_path, capsys):
    make_run(tmp_path, BASELINE, status="failed", reason="disk full", error=None)
    assert main(["report", "--runs", str(tmp_path), "--out", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "left out: 1 run, failed" in line


def test_without_the_extra_one_line_says_what_to_install(tmp_path, monkeypatch, capsys):
    made_panel(tmp_path, seeds=3)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "altair" else find(name))
    assert main(["report", "--runs", str(tmp_path), "--out", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "analysis: report: altair not installed; pip install altair vl-convert-python jinja2"


def test_other_commands_do_not_load_what_draws_the_page():
    code = "import sys, analysis.commands; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=HOUSE)
    assert not {*done.stdout.split()} & {"altair", "vl_convert", "torch"}
