"""The page on views has the numbers that `predict` gives, and its picture shows them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pandas as pd
import pytest
from matplotlib import pyplot as plt

from benchmarks import views

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.read_csv(DOCS / "views.csv")


def test_the_table_has_what_the_functions_of_predict_give(table: pd.DataFrame) -> None:
    found = pd.DataFrame(islice(views.rows("wrn_40_4"), 3))
    kept = table[(table["network"] == "wrn_40_4") & (table["strategy"] == found["strategy"][0])][:3]
    pd.testing.assert_frame_equal(found, kept.reset_index(drop=True), rtol=0, atol=1e-9)


def test_what_is_remembered_lies_between_no_cache_and_the_ceiling(table: pd.DataFrame) -> None:
    assert len(table) == len(views.NETWORKS) * len(views.STRATEGIES) * len(views.VIEWS)
    assert (table["without"] < table["with_cache"]).all()
    assert (table["with_cache"] < table["ceiling"]).all()
    for _, rows in table.groupby(["network", "strategy"]):
        assert rows.sort_values("views")["with_cache"].is_monotonic_decreasing


def page_rows(table: pd.DataFrame) -> list[str]:
    """The rows of the page's table, as the CSV gives them."""
    found = []
    for (network, strategy), rows in table.groupby(["network", "strategy"], sort=False):
        remembered = rows.set_index("views")["with_cache"]
        cells = [rows["without"].iloc[0], *(remembered[v] for v in (8, 4, 2, 1)), rows["ceiling"].iloc[0]]
        name = f"{views.NETWORKS[network]}, {strategy.replace('t_0', '`t_0`').replace(', `', ' `')}"
        found.append(f"| {name} | " + " | ".join(f"{100 * cell:.1f}" for cell in cells) + " |")
    return found


def test_the_page_says_what_the_table_has(table: pd.DataFrame) -> None:
    lines = (DOCS / "views.md").read_text().splitlines()
    assert [line for line in lines if line.startswith(tuple(f"| {n}, " for n in views.NETWORKS.values()))] == page_rows(
        table
    )


def test_the_picture_names_each_network_and_each_kind_of_line_once(table: pd.DataFrame) -> None:
    figure = views.made(table)
    (legend,) = figure.legends
    shown = [words.get_text() for words in legend.get_texts()]
    assert shown == [*views.NETWORKS.values(), "remembered", "without a cache", "ceiling: every visit a hit"]
    for axes in figure.axes:
        marked = [line for line in axes.lines if line.get_marker() in ("o", "^", "v", "P")]
        assert [line.get_ydata()[0] for line in marked] == pytest.approx(
            [100 * row["with_cache"] for row in first_rows(table, axes.get_title(loc="left"))]
        )
    plt.close(figure)


def first_rows(table: pd.DataFrame, strategy: str) -> list[pd.Series]:
    """Of each network the row of one view."""
    rows = table[(table["strategy"] == strategy) & (table["views"] == 1)].set_index("network")
    return [rows.loc[network] for network in views.NETWORKS]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(views, "NETWORKS", {"resnet56": "ResNet-56"})
    monkeypatch.setattr(views, "VIEWS", (1,))
    with pytest.raises(SystemExit) as stop:
        views.main(["--out", str(tmp_path / "file" / "docs")])
    assert stop.value.code == 2
    assert "cannot write there" in capsys.readouterr().err.splitlines()[-1]
