"""docs/records.md names every key of a record and every column of the tables, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from made_records import find_records, make_sweep
from made_records import freezeout as arm

from analysis.columns import INTERVALS, POINTS, RUNS
from analysis.comparisons import panels
from analysis.judging import judged_panel
from analysis.load import load, write_runs
from analysis.plots import draw
from freezeout.records import KEYS

PAGE = (Path(__file__).parent.parent / "docs" / "records.md").read_text()
SECTIONS = {"record.json": KEYS, "runs.csv": RUNS, "pareto_*.csv": POINTS}


@pytest.mark.parametrize("name", SECTIONS)
def test_the_page_has_a_row_for_each_key_that_says_what_the_code_says(name: str) -> None:
    (section,) = re.findall(rf"^## `{re.escape(name)}`.*?\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE)
    assert rows == [*SECTIONS[name].items()]


def test_the_tables_have_the_columns_that_are_described(tmp_path: Path) -> None:
    make_sweep(tmp_path)
    table = load(tmp_path)
    written = set(pd.read_csv(write_runs(table, tmp_path)).columns)
    assert written - {*arm(0.5), "budget"} == {*RUNS}
    points = set(pd.read_csv(draw(judged_panel(panels(table)[0]), "saving", tmp_path, {})[2]).columns)
    ends = {f"{name}_{end}" for name in INTERVALS for end in ("low", "high", "n")}
    assert points == {*POINTS} | ends


def test_a_record_has_the_keys_that_are_described(freezeout, tmp_path: Path) -> None:
    said = freezeout("strategy=freezeout", "epochs=1")
    assert said.code == 0, said.err
    ((_, record),) = find_records(tmp_path / "runs")
    assert [*record] == [*KEYS]
