"""What was said to be saved against what was saved: which is held against which, and what stands in the CSV."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from made_figures import make_figure
from made_records import BASELINE, freezeout, make_run, write_manifest
from made_verdicts import BETTER, made_panel
from matplotlib.colors import to_rgb

from analysis.comparisons import Panel, panels
from analysis.load import load
from analysis.saving_plot import SAID, compared, draw_savings


def panel(root: Path) -> Panel:
    (found,) = panels(load(root))
    return found


def test_all_kinds_are_held_against_the_clocks(tmp_path):
    made_panel(tmp_path)
    assert compared(panel(tmp_path)) == ("measured_saving", ["predicted_saving", "profiled_saving"])
    (made := tmp_path / "figure2").mkdir()
    make_figure(made, "figure2")
    assert compared(panel(made)) == ("measured_saving", ["estimated_saving", "predicted_saving"])


def test_where_the_clocks_say_nothing_the_profile_is_what_others_are_held_against(tmp_path):
    made_panel(tmp_path, repeated_seconds=50.0)
    assert compared(panel(tmp_path)) == ("profiled_saving", ["predicted_saving"])


def test_another_devices_clocks_are_no_measure_of_a_profile(tmp_path):
    made_panel(tmp_path)
    (found,) = panels(load(tmp_path), "H200")
    assert compared(found) == ("profiled_saving", ["predicted_saving"])


def test_one_kind_alone_has_no_figure(tmp_path):
    runs = [make_run(tmp_path, strategy, saving={"predicted": None}) for strategy in (BASELINE, freezeout(0.5))]
    write_manifest(tmp_path, runs)
    assert draw_savings(panel(tmp_path), tmp_path) == []


def test_the_figure_has_a_point_for_each_arm_and_kind_and_the_diagonal(tmp_path):
    made_panel(tmp_path, saving=0.25)
    kept = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plt, "close", kept.append)
        paths = draw_savings(panel(tmp_path), tmp_path)
    (axes,) = kept[0].axes
    assert [path.name for path in paths] == [f"savings_made.{kind}" for kind in ("png", "svg", "csv")]
    assert (axes.lines[0].get_xy1(), axes.lines[0].get_slope()) == ((0, 0), 1)
    drawn = {line.get_marker(): line for line in axes.lines[1:] if len(line.get_xdata()) == 3}
    assert drawn["^"].get_ydata() == pytest.approx([25] * 3)
    labels = axes.get_legend_handles_labels()[1]
    assert [label.partition(":")[0] for label in labels] == ["predicted", "profiled", "baseline and shortened runs"]
    assert axes.get_xlabel().startswith("Training time saved (%), measured by the runs' clocks\non Xeon 8480")
    plt.close(kept[0])
    written = pd.read_csv(paths[2])
    assert len(written) == 3 + 6
    assert written["estimated_saving"].isna().all()


@pytest.mark.parametrize("seeds", [1, 3])
def test_where_all_kinds_agree_each_is_seen(tmp_path, seeds):
    """Of one arm alone; a whole marker of the usual size has some 200 pixels in the figure as it is written."""
    made_panel(tmp_path, [(BETTER, 0.0)], seeds=seeds)
    found = panel(tmp_path)
    found = replace(found, points=found.points.assign(**dict.fromkeys(SAID, found.points["measured_saving"])))
    kept = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plt, "close", kept.append)
        draw_savings(found, tmp_path)
    (figure,) = kept
    figure.axes[0].get_legend().remove()
    figure.set_dpi(200)
    figure.canvas.draw()
    shown = np.asarray(figure.canvas.buffer_rgba())[:, :, :3]
    plt.close(figure)
    for colour, *_ in SAID.values():
        near = np.abs(shown - 255 * np.array(to_rgb(colour))).max(axis=2) < 2
        assert near.sum() >= 60, colour


def test_a_redraw_is_byte_identical(tmp_path):
    made_panel(tmp_path)
    first, again = (draw_savings(panel(tmp_path), tmp_path / name) for name in ("first", "again"))
    for a, b in zip(first, again, strict=True):
        assert a.read_bytes() == b.read_bytes()
