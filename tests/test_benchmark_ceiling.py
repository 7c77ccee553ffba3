"""The page on the ceiling has the numbers that `predict` gives, for every network, and its picture shows them."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt
from torch import nn

from benchmarks import ceiling
from benchmarks.counted import plan_of, saving

DOCS = Path(__file__).parent.parent / "docs"
RESNET18 = ("torchvision", "resnet18", ["model=torchvision", "model.network=resnet18", *ceiling.data(224, 1000)])


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.read_csv(DOCS / "ceiling.csv")


@pytest.fixture(scope="module")
def page() -> str:
    return (DOCS / "ceiling.md").read_text()


def test_the_table_has_every_network_once(table: pd.DataFrame) -> None:
    expected = [(source, network) for source, network, _ in ceiling.networks()]
    assert list(zip(table["source"], table["network"], strict=True)) == expected
    assert len(set(expected)) == len(expected)


def test_a_row_is_what_predict_says_with_weights_and_without(table: pd.DataFrame, monkeypatch) -> None:
    made = ceiling.row(*RESNET18)
    kept = table[(table["source"] == "torchvision") & (table["network"] == "resnet18")]
    pd.testing.assert_frame_equal(pd.DataFrame([made]), kept.reset_index(drop=True), rtol=0, atol=1e-9)
    words = [*RESNET18[2], "machine=cpu", "machine.cache=false", "epochs=100", "batch_size=4", "strategy=freezeout"]
    monkeypatch.setattr("freezeout.run.resolve._counts", {})
    assert saving(plan_of([*words, *ceiling.STRATEGIES["linear_0.5"]])) == made["linear_0.5"]


def test_no_schedule_saves_more_than_freezing_all_but_the_head_from_the_start(table: pd.DataFrame) -> None:
    counted = table.dropna()
    assert (counted["linear_0.8"] > 0).all()
    for key in ceiling.TITLES:
        assert (counted[key] < counted["frozen"]).all()
    assert (counted["frozen"] < 2 / 3).all(), "the forward pass is a third, and is always paid"


def test_what_runs_as_a_whole_is_listed_and_has_no_numbers(table: pd.DataFrame, page: str) -> None:
    listed = set(re.findall(r"^\| `(\w+)` `(\w+)` \| ", page, re.MULTILINE))
    whole = table[table["cubic_0.8"].isna()]
    assert listed == set(zip(whole["source"], whole["network"], strict=True))
    assert whole[[*ceiling.TITLES, "frozen"]].isna().all(axis=None)


def test_the_page_says_what_the_table_has(table: pd.DataFrame, page: str) -> None:
    rows = re.findall(r"^\| (paper|torchvision|timm) \| ([\w.]+) \| (.+) \|$", page, re.MULTILINE)
    assert len(rows) >= 12
    for source, network, cells in rows:
        (found,) = table[(table["source"] == source) & (table["network"] == network)].to_dict("records")
        numbers = [f"{100 * found[key]:.1f}" for key in ceiling.TITLES]
        assert cells.split(" | ") == [str(found["stages"]), *numbers], network


def test_the_picture_has_a_line_for_every_network_that_is_counted(table: pd.DataFrame) -> None:
    figure = ceiling.made(table)
    (axes,) = figure.axes
    counted = table.dropna().sort_values("cubic_0.8")
    assert [label.get_text() for label in axes.get_yticklabels()] == list(counted["network"])
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    shown = sorted(x for line in dots for x in line.get_xdata())
    assert shown == pytest.approx(list(100 * counted["cubic_0.8"]))
    plt.close(figure)


def test_only_weights_are_without_data() -> None:
    with ceiling.OnlyWeights():
        layer = nn.Conv2d(3, 4, 3)
        assert torch.arange(3).tolist() == [0, 1, 2]
    assert layer.weight.is_meta


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(ceiling, "networks", lambda: [("paper", "resnet8", ["model=resnet8", *ceiling.data(32, 10)])])
    with pytest.raises(SystemExit) as stop:
        ceiling.main(["--out", str(tmp_path / "file" / "docs")])
    assert stop.value.code == 2
    assert "cannot write there" in capsys.readouterr().err.splitlines()[-1]
