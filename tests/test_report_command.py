"""`python -m analysis report`, the command: what it writes and loads, and what it says where nothing can be drawn."""

from __future__ import annotations

import importlib.util
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
    assert f"wrote {tmp_path / 'figures' / 'report.html'}" in capsys.readouterr().out


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
