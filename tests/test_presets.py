"""Which preset a figure is drawn at, what is then trained, and how records are kept for the preset cached."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from made_figures import make_figure
from made_records import BASELINE, make_run, write_manifest

from analysis import RECORDS
from analysis.__main__ import main
from analysis.archive import archive
from analysis.load import load
from analysis.paper import FIGURES
from analysis.presets import Chosen, choose, paper_cost, to_train

HOUSE = Path(__file__).parents[1]
TWO, THREE = FIGURES[:2]
RUNS = Path("runs")


@pytest.fixture
def kept(tmp_path) -> Path:
    """Kept records of Figure 2's small member."""
    make_figure(tmp_path / "runs", "figure2", small=True)
    archive(tmp_path / "runs", "quick", tmp_path / "kept")
    return tmp_path / "kept"


def test_without_a_preset_kept_records_are_drawn_where_there_are_any_and_else_quick(kept, tmp_path) -> None:
    assert choose(TWO, None, RUNS, kept) == Chosen("cached", kept, "quick")
    assert choose(TWO, None, RUNS, tmp_path / "nothing") == Chosen("quick", RUNS, "quick")


def test_kept_records_of_the_papers_size_are_preferred_figure_by_figure(kept, tmp_path) -> None:
    make_figure(tmp_path / "runs", "figure2")
    archive(tmp_path / "runs", "figure2", kept)
    assert choose(TWO, None, RUNS, kept).sweep == "figure2"
    assert choose(THREE, None, RUNS, kept).sweep == "quick"


def test_a_preset_that_is_asked_for_wins(kept) -> None:
    assert choose(TWO, "quick", RUNS, kept) == Chosen("quick", RUNS, "quick")
    assert choose(TWO, "paper", RUNS, kept) == Chosen("paper", RUNS, "figure2")


def test_cached_trains_nothing_quick_one_sweep_and_paper_one_a_figure() -> None:
    def sweeps(preset: str) -> list[str]:
        return to_train([choose(figure, preset, RUNS) for figure in FIGURES])

    assert sweeps("cached") == []
    assert sweeps("quick") == ["quick"]
    assert sweeps("paper") == ["figure2", "figure3", "figure4", "figure5"]


def test_the_cost_of_the_papers_size_counts_only_what_is_not_there(tmp_path) -> None:
    assert paper_cost([*FIGURES], tmp_path).startswith("PRESET=paper would add 450 runs, about 194 GPU-hours")
    write_manifest(tmp_path, [make_run(tmp_path, BASELINE, seed) for seed in range(3)], "figure2")
    assert "figure2 123 runs, 60 h" in paper_cost([*FIGURES], tmp_path)


def test_sweeps_go_to_stdout_and_what_is_said_to_stderr(tmp_path, capsys) -> None:
    assert main(["figures", "--runs", str(tmp_path), "--preset", "quick", "--sweeps"]) == 0
    streams = capsys.readouterr()
    assert streams.out.split() == ["quick"]
    assert "PRESET=paper would add 450 runs" in streams.err
    assert not list(tmp_path.iterdir())


def test_kept_records_are_the_records_to_the_last_field(kept, tmp_path) -> None:
    table = load(kept)
    assert table.equals(load(tmp_path / "runs"))
    lines = [json.loads(line) for line in (kept / "quick.jsonl").read_text().splitlines()]
    (path,) = (tmp_path / "runs").glob(f"{lines[0]['run_id'].rpartition('-')[0]}/0/record.json")
    assert lines[0] == json.loads(path.read_text())


def test_figures_are_drawn_from_kept_records_once_the_whole_sweep_is_kept(kept, tmp_path) -> None:
    runs = tmp_path / "papers"
    entries = [make_run(runs, BASELINE), make_run(runs, BASELINE, 1, status="interrupted")]
    write_manifest(runs, entries, "figure2")
    archive(runs, "figure2", kept)
    assert choose(TWO, None, RUNS, kept) == Chosen("cached", kept, "quick")
    (kept / "quick.jsonl").unlink()
    assert choose(TWO, None, RUNS, kept) == Chosen("quick", RUNS, "quick")
    make_run(runs, BASELINE, 1)
    archive(runs, "figure2", kept)
    assert choose(TWO, None, RUNS, kept) == Chosen("cached", kept, "figure2")


def test_the_committed_records_draw_figures_2_4_and_5_without_training(tmp_path, capsys) -> None:
    assert main(["figures", "--preset", "cached", "--out", str(tmp_path)]) == 0
    for number, runs in ((2, True), (3, False), (4, True), (5, True)):
        lines = (tmp_path / f"figure{number}.csv").read_text().splitlines()
        assert (len(lines) > 1) == runs
    assert capsys.readouterr().out.count("cannot tell (smoke data)") >= 4
    runs = sum(path.read_bytes().count(b"\n") for path in RECORDS.glob("*.jsonl"))
    assert sum(path.stat().st_size for path in RECORDS.rglob("*")) < 10_000 * runs, "bytes a run"


def test_make_reproduce_figures_with_committed_records_trains_nothing(tmp_path) -> None:
    """Without PRESET, from a checkout; FIGURES and RUNS are elsewhere, so that nothing of the user's is touched."""
    words = ["make", "-n", "reproduce-figures", f"RUNS={tmp_path / 'runs'}", f"FIGURES={tmp_path}"]
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "PRESET", "RUNS", "FIGURES")}
    said = subprocess.run(words, cwd=HOUSE, capture_output=True, text=True, check=True, env=environment).stdout
    assert "--preset" not in said
    assert to_train([choose(figure, None, tmp_path) for figure in FIGURES]) == []
