"""The figures: what they show is what the CSV beside them holds, and the same records give the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from made_records import BASELINE, freezeout, make_run, make_sweep, shortened, write_manifest

from analysis.comparisons import Panel, panels
from analysis.front_chances import LIKELY, front_chances
from analysis.judging import judged_panel
from analysis.load import load
from analysis.looks import COLOURS, styles
from analysis.plots import draw, panel_front
from freezeout.records import sweep_path


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("records")
    make_sweep(root)
    return root


@pytest.fixture(scope="module")
def panel(root) -> Panel:
    return panels(load(root))[0]


def drawn(panel: Panel, x: str, out: Path) -> list[Path]:
    """The figure as the command draws it."""
    one = judged_panel(panel)
    return draw(one, x, out, front_chances(one, np.random.default_rng(0)))


def drawn_figure(panel: Panel, out: Path):
    """The saving figure, kept open; the caller closes it."""
    kept = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plt, "close", kept.append)
        drawn(panel, "saving", out)
    return kept[0]


@pytest.fixture(scope="module")
def figure(panel, root):
    kept = drawn_figure(panel, root / "figures")
    yield kept
    plt.close(kept)


def test_a_redraw_from_the_records_is_byte_identical(root, tmp_path):
    first, again = (drawn(panels(load(root))[0], "seconds", tmp_path / name) for name in ("first", "again"))
    assert [path.name for path in first] == [f"pareto_smoke_seconds.{kind}" for kind in ("png", "svg", "csv")]
    for a, b in zip(first, again, strict=True):
        assert a.read_bytes() == b.read_bytes()


def test_the_csv_holds_every_configuration_with_the_three_savings_and_the_front(panel, tmp_path):
    written = pd.read_csv(drawn(panel, "saving", tmp_path)[2])
    assert {"estimated_saving", "predicted_saving", "measured_saving", "measured_saving_low"} <= set(written.columns)
    assert {"error_difference", "error_difference_low", "verdict"} <= set(written.columns)
    assert len(written) == 10
    assert set(written.loc[written["on_front"], "label"]) == {p.name for p in panel_front(panel, "saving").members}
    assert written["estimated_saving"].isna().all()


def test_the_front_of_seconds_minimises_seconds(panel):
    members = panel_front(panel, "seconds").members
    assert members[0].x == panel.points["seconds_train"].min()
    assert [p.error for p in members] == sorted((p.error for p in members), reverse=True)


def test_the_axes_say_what_they_measure_on_which_device_and_how_many_seeds(figure):
    (axes,) = figure.axes
    assert axes.get_xlabel() == "Training time saved relative to the baseline (%)\nmeasured on Xeon 8480, 3 seeds"
    assert axes.get_ylabel() == "Test error (%)"


def test_the_title_names_model_data_runs_seeds_and_intervals(figure):
    title = figure.axes[0].get_title(loc="left")
    assert title.startswith("wrn_10_1 on digits\n30 runs, 3 seeds\nmeans with 95 % t intervals")


def test_every_mean_and_every_single_seed_is_drawn(figure, panel):
    vertices = np.concatenate([line.get_xydata() for line in figure.axes[0].lines])

    def is_drawn(x, y):
        return np.isclose(vertices, [100 * x, y]).all(axis=1).any()

    assert all(is_drawn(run["measured_saving"], run["error"]) for _, run in panel.runs.iterrows())
    assert all(is_drawn(point["measured_saving"], point["error"]) for _, point in panel.points.iterrows())


def test_the_curve_to_beat_is_the_fitted_one_from_budget_to_budget_with_its_band(figure, panel):
    axes, one = figure.axes[0], judged_panel(panel)
    assert one.judgement.curve.is_quadratic
    line = next(line for line in axes.lines if line.get_label() == "the curve to beat")
    assert line.get_linestyle() == "-"
    x, y = line.get_data()
    assert (min(x), max(x)) == pytest.approx((0, 60))
    at = len(x) // 2
    fitted = one.judgement.curve.weights(1 - x[at] / 100) @ one.cells.curve_means
    assert y[at] == pytest.approx(np.exp(fitted))
    band = next(c for c in axes.collections if c.get_label().startswith("its 95 % band"))
    low, high = np.sort(band.get_paths()[0].vertices[:, 1])[[0, -1]]
    assert low < min(y) < max(y) < high


def test_without_a_second_budget_there_is_no_curve_and_the_means_front_is_drawn(tmp_path):
    entries = [make_run(tmp_path, BASELINE, s, error=3 + 0.1 * s) for s in range(3)]
    entries += [make_run(tmp_path, freezeout(0.5), s, error=3.2, seconds={"train": 8.0}) for s in range(3)]
    write_manifest(tmp_path, entries)
    figure = drawn_figure(panels(load(tmp_path))[0], tmp_path / "figures")
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert "the curve to beat" not in labels
    assert "Pareto front of the means" in labels
    plt.close(figure)


def test_points_that_are_likely_on_the_front_have_a_halo_and_their_probability_in_the_csv(panel, figure, tmp_path):
    written = pd.read_csv(drawn(panel, "saving", tmp_path)[2])
    likely = written[written["front_probability"] >= LIKELY]
    assert 0 < len(likely) < len(written)
    halo = next(line for line in figure.axes[0].lines if line.get_label().startswith("on the Pareto front with"))
    assert sorted(halo.get_ydata()) == pytest.approx(sorted(likely["error"]), rel=1e-5)
    assert "Pareto front of the means" not in figure.axes[0].get_legend_handles_labels()[1]


def test_each_variant_has_a_colour_and_each_point_its_t_0(figure, panel):
    looks = styles(panel.points)
    variants = [style for name, style in looks.items() if name.startswith("FreezeOut")]
    assert len({colour for colour, _ in variants} & set(COLOURS)) == 2
    assert len({marker for _, marker in looks.values()}) == 4
    assert sorted(text.get_text() for text in figure.axes[0].texts) == sorted(
        ["0.3", "0.5", "0.8"] * 2 + ["0.4", "0.6", "0.8"]
    )


def test_twenty_series_have_twenty_styles():
    series = pd.DataFrame({"series": [f"s{i}" for i in range(20)], "strategy": "freezeout"})
    assert len(set(styles(series).values())) == 20


def test_the_legend_covers_no_data(figure):
    (legend,) = figure.legends
    figure.draw_without_rendering()
    assert not legend.get_window_extent().overlaps(figure.axes[0].get_window_extent())


def test_without_savings_there_is_no_figure_of_savings_and_one_of_seconds(tmp_path):
    write_manifest(tmp_path, [make_run(tmp_path, freezeout(t_0)) for t_0 in (0.3, 0.5)])
    (panel,) = panels(load(tmp_path))
    assert drawn(panel, "saving", tmp_path) == []
    assert len(drawn(panel, "seconds", tmp_path)) == 3


def test_two_seeds_do_not_blow_up_the_axes_and_what_is_cut_has_an_arrow_head(tmp_path):
    """At n = 2 an interval is 25 times as wide as the distance between the seeds."""
    entries = []
    for seed in (0, 1):
        entries.append(make_run(tmp_path, BASELINE, seed, error=3 + 0.1 * seed, seconds={"train": 10.0}))
        train = {"train": 7.0 + seed}
        entries.append(make_run(tmp_path, freezeout(0.5), seed, error=4 + 2 * seed, seconds=train))
    write_manifest(tmp_path, entries)
    (panel,) = panels(load(tmp_path))
    point = panel.points.set_index("strategy").loc["freezeout"]
    assert (point["error_low"], point["measured_saving_high"]) < (0, 0.8), "the interval goes below what can be"
    figure = drawn_figure(panel, tmp_path)
    (axes,) = figure.axes
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    assert -20 < left < 0 < 30 < right < 50
    assert 0 <= bottom < 3 < 6 < top < 8
    heads = [line for line in axes.lines if line.get_gid() == "cut"]
    assert sorted({head.get_marker() for head in heads}) == ["<", ">", "^", "v"]
    assert axes.get_xlabel().endswith("\narrow heads: the interval is longer")
    plt.close(figure)


def test_bars_end_where_an_error_cannot_go(tmp_path):
    entries = [make_run(tmp_path, BASELINE, seed, error=0.2 + seed) for seed in (0, 1, 2)]
    write_manifest(tmp_path, entries)
    figure = drawn_figure(panels(load(tmp_path))[0], tmp_path)
    (axes,) = figure.axes
    ends = [y for bars in axes.containers for lines in bars.lines[2] for path in lines.get_segments() for _, y in path]
    assert min(ends) == 0
    assert axes.get_ylim()[0] > -0.1
    plt.close(figure)


def test_a_configuration_that_diverged_throughout_is_in_no_figure(tmp_path):
    make_sweep(tmp_path)
    lost = make_run(tmp_path, freezeout(0.1), status="failed", diverged=True, error=None)
    manifest = json.loads(sweep_path(tmp_path, "smoke").read_text())
    write_manifest(tmp_path, [*manifest["runs"], lost])
    (panel,) = panels(load(tmp_path))
    written = pd.read_csv(drawn(panel, "saving", tmp_path)[2])
    assert len(panel.points) == len(written) + 1
    assert not written["label"].str.contains('"t_0": 0.1').any()


def test_runs_of_the_sweep_that_are_missing_are_said_in_the_title(tmp_path):
    entries = make_sweep(tmp_path)
    missing = [{**entries[0], "run_id": f"ffff-{seed}", "seed": seed} for seed in (7, 8)]
    write_manifest(tmp_path, [*entries, *missing])
    kept = drawn_figure(panels(load(tmp_path))[0], tmp_path)
    assert "30 runs, 3 seeds (2 of the sweep missing)" in kept.axes[0].get_title(loc="left")
    plt.close(kept)


def test_one_seed_is_said_in_the_title(tmp_path):
    make_sweep(tmp_path, seeds=1)
    kept = drawn_figure(panels(load(tmp_path))[0], tmp_path)
    assert "one seed per point, so no intervals" in kept.axes[0].get_title(loc="left")
    faces = {line.get_markerfacecolor() for line in kept.axes[0].lines if line.get_markersize() == 7}
    assert faces == {"white"}
    plt.close(kept)


def test_a_budget_above_1_is_drawn_to_the_left_of_no_saving(tmp_path):
    make_sweep(tmp_path, seeds=2)
    manifest = json.loads(sweep_path(tmp_path, "smoke").read_text())
    longer = [make_run(tmp_path, shortened(1.1), seed, error=2.3) for seed in (0, 1)]
    write_manifest(tmp_path, [*manifest["runs"], *longer])
    (panel,) = panels(load(tmp_path))
    figure = drawn_figure(panel, tmp_path / "figures")
    (axes,) = figure.axes
    curve = next(line for line in axes.lines if line.get_label().startswith("the curve to beat"))
    longest = min(curve.get_xdata())
    assert -12 < longest < -8
    assert axes.get_xlim()[0] < longest
    assert "1.1" in [text.get_text() for text in axes.texts]
    plt.close(figure)
