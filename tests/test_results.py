"""RESULTS.md: each figure is what the kept records give, and each command is one that exists."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import main
from freezeout.naming import options

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "RESULTS.md").read_text()
FIGURES = re.findall(r"\(docs/(verdicts_\w+)\.png\)", TEXT)


def test_there_is_something_to_redraw() -> None:
    assert FIGURES


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_from_the_kept_records(name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    sweep = name.removeprefix("verdicts_")
    (words,) = re.findall(rf"`python -m analysis (verdicts .* --sweep {sweep} --out docs)`", TEXT)
    assert main([*words.split()[:-1], str(tmp_path)]) == 0
    found, kept = (pd.read_csv(folder / f"{name}.csv") for folder in (tmp_path, ROOT / "docs"))
    assert [*found.columns] == [*kept.columns]
    for column in kept:
        if kept[column].dtype.kind == "f":
            np.testing.assert_allclose(found[column], kept[column], rtol=1e-3, atol=1e-4, err_msg=column)
        else:
            assert found[column].astype(str).tolist() == kept[column].astype(str).tolist(), column
    assert (ROOT / "docs" / f"{name}.png").exists()


def test_every_sweep_that_is_named_is_there() -> None:
    named = set(re.findall(r"sweeps=(\w+)", TEXT)) | set(re.findall(r"`((?:cpu|figure)\w+)`", TEXT))
    assert named
    assert named <= {*options("sweeps")}
