"""The benchmark's figure is drawn from its CSV alone, names everything once and lets no label meet another."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pandas as pd
import pytest
from made_benchmarks import made_results
from matplotlib import pyplot as plt

from benchmarks import figure, report
from benchmarks.arms import LABELS

KEPT = Path(__file__).parent.parent / "docs" / report.CSV
README = Path(__file__).parent.parent / "README.md"


@pytest.fixture(scope="module", params=["kept", "made"])
def table(request, tmp_path_factory) -> pd.DataFrame:
    """The CSV that the README's figure was drawn from, and one of every arm, as on a GPU."""
    if request.param == "kept":
        return pd.read_csv(KEPT)
    folder = tmp_path_factory.mktemp("benchmark")
    report.write(made_results("cuda"), folder)
    return pd.read_csv(folder / report.CSV)


def test_what_the_readme_claims_of_speed_holds_for_every_network_of_the_kept_csv() -> None:
    rows, text = pd.read_csv(KEPT), " ".join(README.read_text().split())
    ratios = rows[rows["quantity"] == "ratio"].sort_values("prefix")
    steps = ratios.groupby(["network", "of"])["median"].agg(["first", "last"])
    of = steps.index.get_level_values("of")
    others = of.isin(["eager/original", "eager/composer"])
    for claim, found in (
        (r"takes (\S+) to (\S+) of a careful plain loop's time with nothing", steps["first"][of == "eager/plain"]),
        (r"(\S+) to (\S+) with 95 % of the stages frozen", steps["last"][of == "eager/plain"]),
        (r"(\S+) to (\S+) of the time that other ways of freezing take then", steps["last"][others]),
    ):
        low, high = map(float, re.findall(claim, text)[0])
        assert found.round(2).between(low, high).all(), claim
    savings = rows[rows["of"].notna()].pivot_table("median", ["network", "of"], "quantity")
    (most,) = re.findall(r"by ([\d.]+) in the \[benchmark\]", text)
    assert round(100 * (savings["profiled"] - savings["realised"]).abs().max(), 1) == float(most)


@pytest.fixture(scope="module")
def drawn(table):
    found = figure.made(table)
    yield found
    plt.close(found)


def test_every_arm_and_every_saving_is_in_the_legend_once(table, drawn) -> None:
    shown = [text.get_text() for legend in drawn.legends for text in legend.get_texts()]
    arms = [LABELS[arm] for arm in LABELS if arm in set(table.loc[table["quantity"] == "seconds", "of"])]
    assert shown == [*arms, "active stages' share", "ideal", "realised", "profiled"]


def test_an_arm_has_one_colour_and_marker_in_every_panel(drawn) -> None:
    looks: dict[str, set] = {}
    for axes in drawn.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            if label in LABELS.values():
                line = getattr(handle, "lines", [handle])[0]  # whiskers are drawn apart from the line
                looks.setdefault(label, set()).add((line.get_color(), line.get_marker()))
    assert len(looks) >= 4
    assert len(set.union(*looks.values())) == len(looks)


def test_no_panels_labels_come_near_another_panel(drawn) -> None:
    renderer = drawn.canvas.get_renderer()
    around = 0.06 * drawn.dpi  # inches: the room between two labels is at least twice as much
    boxes = [axes.get_tightbbox(renderer).padded(around) for axes in drawn.axes]
    boxes += [words.get_window_extent(renderer) for words in (*drawn.legends, *drawn.texts)]
    assert not [pair for pair in itertools.combinations(boxes, 2) if pair[0].overlaps(pair[1])]


def test_no_savings_name_meets_the_next_one(drawn) -> None:
    renderer = drawn.canvas.get_renderer()
    for axes in drawn.axes[2::3]:
        boxes = [label.get_window_extent(renderer) for label in axes.get_xticklabels()]
        assert boxes
        assert not [pair for pair in itertools.combinations(boxes, 2) if pair[0].overlaps(pair[1])]


def test_runs_with_a_cache_have_bars_beside_the_others(tmp_path) -> None:
    report.write(made_results("cpu"), tmp_path)
    found = figure.made(pd.read_csv(tmp_path / report.CSV))
    bars = dict(zip(*reversed(found.axes[2].get_legend_handles_labels()), strict=True))
    assert [bar.get_height() for bar in bars["realised"]] == pytest.approx([25, 15, 18])
    assert [bar.get_height() for bar in bars["profiled"]] == pytest.approx([27, 16, 20])
    plt.close(found)


@pytest.mark.parametrize("part", ["savings", "cache"])
def test_one_part_alone_is_drawn_too(tmp_path, part: str) -> None:
    results = made_results("cpu")
    (parts,) = results["networks"].values()
    results["networks"] = {"wrn_10_1": {part: parts[part]}}
    report.write(results, tmp_path)
    found = figure.made(pd.read_csv(tmp_path / report.CSV))
    shown = [text.get_text() for text in found.legends[0].get_texts()]
    assert shown == (["realised", "profiled"] if part == "cache" else ["ideal", "realised", "profiled"])
    assert [axes.axison for axes in found.axes] == [False, False, True]
    plt.close(found)


def test_the_title_says_under_which_conditions_it_was_measured(table, drawn) -> None:
    first = table.iloc[0]
    assert drawn.get_suptitle() == f"{first['device']}, {first['precision']}, batch 50"


def test_each_network_has_a_row_of_its_numbers(table, drawn) -> None:
    networks = list(table["network"].unique())
    assert [axes.get_title(loc="left") for axes in drawn.axes[::3]] == networks
    last = table[table["network"] == networks[-1]]
    eager = last[(last["quantity"] == "ratio") & (last["of"] == "eager/plain")]
    handles = dict(zip(*reversed(drawn.axes[-3].get_legend_handles_labels()), strict=True))
    assert list(handles["ours, eager"].lines[0].get_ydata()) == list(eager["median"])
    realised = last.loc[last["quantity"] == "realised", "median"]
    bars = dict(zip(*reversed(drawn.axes[-1].get_legend_handles_labels()), strict=True))["realised"]
    assert [bar.get_height() for bar in bars] == pytest.approx(list(100 * realised))


def test_the_same_table_gives_the_same_bytes(tmp_path) -> None:
    table = pd.read_csv(KEPT).query("network == 'wrn_10_1'")
    first, second = (figure.draw(table, tmp_path / name).read_bytes() for name in ("one", "two"))
    assert first == second
    assert len(first) > 10_000


def test_a_network_without_whole_runs_is_drawn_too() -> None:
    table = pd.read_csv(KEPT).query("network == 'wrn_10_1'")
    found = figure.made(table[table["quantity"].isin(["seconds", "ratio", "packed"])])
    assert "realised" not in [text.get_text() for text in found.legends[0].get_texts()]
    plt.close(found)
