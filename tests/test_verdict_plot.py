"""The figure of verdicts: the curve with its band and the arms over time, and a forest of what the seeds say."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from made_records import make_run, write_manifest
from made_verdicts import BETTER, DATA, ON_CURVE, WORSE, curve, made_panel
from matplotlib.image import imread

from analysis.__main__ import main
from analysis.judging import judged_panels
from analysis.looks import styles
from analysis.panel_verdicts import PanelVerdicts, document
from analysis.verdict_plot import draw_verdicts


def panel(root: Path, **options) -> PanelVerdicts:
    (one,) = judged_panels(root, **options)
    return one


def sheet(one: PanelVerdicts, out: Path):
    """The figure, kept open, and its two axes; the caller closes it."""
    kept = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plt, "close", kept.append)
        draw_verdicts(one, out)
    return kept[0], *(part.axes[0] for part in kept[0].subfigs)


def table(one: PanelVerdicts, out: Path) -> pd.DataFrame:
    return pd.read_csv(draw_verdicts(one, out)[2])


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("verdicts")
    made_panel(root)
    return root


def test_the_csv_holds_the_arms_as_the_verdicts_say_them(root, tmp_path):
    one = panel(root, margin=0.03)
    written = table(one, tmp_path)
    arms = written[written["kind"] == "arm"].set_index("label")
    for arm in document(one)["arms"]:
        row = arms.loc[arm["label"]]
        assert row["verdict"] == arm["verdict"]
        assert (row["difference"], row["difference_low"], row["difference_high"]) == pytest.approx(
            (arm["difference"], arm["low"], arm["high"]), rel=1e-4
        )
        assert row["error"] == pytest.approx(arm["error"], rel=0.01)
        assert row["margin"] == pytest.approx(3)


def test_the_thin_part_of_an_interval_is_what_the_bound_on_time_adds(root, tmp_path):
    one = panel(root)
    arms = table(one, tmp_path).query("kind == 'arm'")
    for (_, row), said in zip(arms.iterrows(), one.judgement.verdicts, strict=True):
        for end, beyond in (("low", -1), ("high", 1)):
            inner, outer = (math.log1p(row[f"{part}_{end}"] / 100) for part in ("seeds", "difference"))
            assert beyond * (outer - inner) == pytest.approx(said.time_part, rel=1e-3)
    assert said.time_part > 0


def test_the_curve_is_the_fitted_one_within_its_band_and_the_budgets_are_the_runs(root, tmp_path):
    written = table(panel(root), tmp_path)
    line = written[written["kind"] == "curve"]
    shape = np.log(line["error"]) - [curve(1 - saving) for saving in line["saving"]]
    assert shape.max() - shape.min() < 0.01, "the truth, but for what the seeds share"
    assert (line["error_low"] < line["error"]).all()
    assert (line["error"] < line["error_high"]).all()
    budgets = written[written["kind"] == "budget"]
    assert budgets["saving"].tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert (budgets["n"] == 5).all()


def test_a_row_of_the_forest_is_an_arm_in_its_colour_with_its_word(root, tmp_path):
    one = panel(root)
    figure, top, forest = sheet(one, tmp_path)
    names = [label.get_text() for label in forest.get_yticklabels()]
    assert [name.split("t_0=")[1] for name in names] == ["0.5", "0.65", "0.8"]
    assert [text.get_text() for text in forest.texts] == ["better", "worse", "cannot tell"]
    (colour,) = {colour for name, (colour, _) in styles(one.panel.points).items() if name.startswith("FreezeOut")}
    assert {label.get_color() for label in forest.get_yticklabels()} == {colour}
    assert colour in {line.get_color() for line in top.lines}
    plt.close(figure)


def test_intervals_are_drawn_whole_however_near_each_other_the_arms_lie(tmp_path):
    made_panel(tmp_path, [(BETTER, 0.0), (WORSE, 0.001), (ON_CURVE, 0.0)], noise=0.02)
    figure, _, forest = sheet(panel(tmp_path), tmp_path)
    assert not [line for line in forest.lines if line.get_gid() == "cut"]
    plt.close(figure)


@pytest.mark.parametrize("margin", [None, 0.03])
def test_the_margin_is_a_band_where_one_was_fixed(root, tmp_path, margin):
    figure, _, forest = sheet(panel(root, margin=margin), tmp_path)
    assert [patch.get_x() for patch in forest.patches] == ([] if margin is None else [pytest.approx(-3)])
    plt.close(figure)


def test_the_axes_say_whose_time_it_is_and_how_well_it_is_known(root, tmp_path):
    figure, top, forest = sheet(panel(root), tmp_path)
    assert top.get_xlabel() == "Training time saved (%), profiled on Xeon 8480"
    assert "time is known to ± 1.0 points" in [text.get_text() for text in top.texts]
    assert "simultaneous 95 % intervals over 3 arms" in forest.get_xlabel()
    plt.close(figure)


def test_one_seed_has_hollow_points_and_neither_band_nor_intervals(tmp_path):
    made_panel(tmp_path, seeds=1)
    one = panel(tmp_path)
    figure, top, forest = sheet(one, tmp_path)
    for axes in (top, forest):
        faces = {line.get_markerfacecolor() for line in axes.lines if line.get_marker() in "os^"}
        assert faces == {"white"}
    assert "one seed: no intervals" in forest.get_xlabel()
    assert [text.get_text() for text in forest.texts] == ["under 3 seeds"] * 3
    plt.close(figure)
    assert table(one, tmp_path)[["error_low", "difference_low"]].isna().all(axis=None)


def test_seeds_that_differ_from_arm_to_arm_and_diverged_ones_are_said_beside_the_row(tmp_path):
    entries = made_panel(tmp_path, without=[(BETTER, 4)])
    lost = make_run(tmp_path, BETTER, 4, status="failed", diverged=True, error=None, data=DATA)
    write_manifest(tmp_path, [*entries, lost], "made")
    figure, _, forest = sheet(panel(tmp_path), tmp_path)
    assert [text.get_text() for text in forest.texts] == [
        "cannot tell (n = 4), 1 diverged",
        "worse (n = 5)",
        "cannot tell (n = 5)",
    ]
    plt.close(figure)


def test_an_arm_that_lacks_a_seed_stands_where_the_paired_difference_puts_it(tmp_path):
    """The mean over its own seeds would move it by their luck, which is 10 % here."""
    made_panel(tmp_path, [(ON_CURVE, 0.0), (WORSE, 0.06)], without=[(ON_CURVE, seed) for seed in (0, 1, 2)])
    one = panel(tmp_path)
    arms = table(one, tmp_path).query("kind == 'arm'").set_index("swept")
    said = {arm["arm"].split()[-1]: arm for arm in document(one)["arms"]}
    ratio = arms.loc["t_0=0.8", "error"] / said["t_0=0.8"]["curve_error"]
    assert ratio == pytest.approx(1, abs=0.005)
    assert abs(said["t_0=0.8"]["error"] / said["t_0=0.8"]["curve_error"] - 1) > 0.02


def test_without_a_curve_or_an_arm_there_is_no_figure(tmp_path):
    made_panel(tmp_path / "a", budgets=())
    made_panel(tmp_path / "b", [])
    assert draw_verdicts(panel(tmp_path / "a"), tmp_path) == draw_verdicts(panel(tmp_path / "b"), tmp_path) == []


def test_a_redraw_is_byte_identical_and_has_content(root, tmp_path):
    first, again = (draw_verdicts(panel(root), tmp_path / name) for name in ("first", "again"))
    assert [path.name for path in first] == [f"verdicts_made.{kind}" for kind in ("png", "svg", "csv")]
    for a, b in zip(first, again, strict=True):
        assert a.read_bytes() == b.read_bytes()
    assert (imread(first[0])[..., :3].min(axis=2) < 0.9).mean() > 0.01


def test_verdicts_draw_them_where_a_folder_is_named_and_the_document_stays_clean(root, tmp_path, capsys):
    assert main(["verdicts", "--runs", str(root), "--json", "--out", str(tmp_path)]) == 0
    streams = capsys.readouterr()
    assert streams.out.lstrip().startswith("{")
    assert "wrote" not in streams.out
    assert streams.err.count("wrote") == 3
    assert (tmp_path / "verdicts_made.png").exists()
