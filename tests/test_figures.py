"""The paper's figures: golden CSVs, the paper's form, what the paper lacks, and honest words where nothing is drawn."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from made_figures import make_figure
from made_records import BASELINE, make_run, write_manifest
from matplotlib.figure import Figure
from matplotlib.image import imread

from analysis.__main__ import main
from analysis.figure1 import PANELS, rates
from analysis.figures import draw_figure
from analysis.load import load
from analysis.paper import FIGURES, READ_OFF, points_of, read_off, runs_of
from analysis.paper_layout import WIDTH
from analysis.presets import Chosen
from freezeout.schedule import freeze_times

GOLDEN = Path(__file__).parent / "golden" / "figures"
BY_NUMBER = {figure.number: figure for figure in FIGURES}
NUMBERS = (1, 2, 3, 4, 5)


def draw(runs: Path, out: Path, preset: str = "paper") -> int:
    return main(["figures", "--runs", str(runs), "--out", str(out), "--preset", preset])


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """The four sweeps at the paper's size, and Figure 2's small member as the sweep quick; all made up."""
    root = tmp_path_factory.mktemp("runs")
    for sweep in ("figure2", "figure3", "figure4", "figure5"):
        make_figure(root, sweep)
    make_figure(root, "figure2", small=True)
    return root


@pytest.fixture(scope="module")
def drawn(runs, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("figures")
    assert draw(runs, out) == 0
    return out


def sheet(number: int, runs: Path, out: Path, sweep: str | None = None):
    """The figure, open and without its picture files; the caller closes it."""
    figure, kept = BY_NUMBER[number], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plt, "close", kept.append)
        patch.setattr(Figure, "savefig", lambda *args, **kwargs: None)
        draw_figure(figure, load(runs), Chosen("paper", runs, sweep or figure.sweep), out)
    return kept[0]


def words(figure) -> str:
    return " ".join(" ".join(text.get_text() for text in figure.texts).split())


@pytest.mark.parametrize("number", NUMBERS)
def test_what_a_figure_shows_is_golden(drawn, number: int) -> None:
    name = f"figure{number}.csv"
    assert (drawn / name).read_text() == (GOLDEN / name).read_text()


@pytest.mark.parametrize("number", NUMBERS)
def test_a_figure_is_a_picture_with_content_and_its_pdf_is_a_column_wide(drawn, number: int) -> None:
    pixels = imread(drawn / f"figure{number}.png")[..., :3]
    assert pixels.shape[1] == round(300 * WIDTH)
    assert (pixels.min(axis=2) < 0.9).mean() > 0.01
    assert (drawn / f"figure{number}.svg").read_text().startswith("<?xml")
    (box,) = set(re.findall(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", (drawn / f"figure{number}.pdf").read_bytes()))
    assert float(box[0]) == 72 * WIDTH == 72 * 3.25


def test_a_redraw_is_byte_identical(runs, drawn, tmp_path) -> None:
    assert draw(runs, tmp_path) == 0
    for path in sorted(drawn.iterdir()):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_figure_1_needs_no_records_and_ends_each_rate_at_its_freeze_time() -> None:
    table = rates()
    assert [tuple(pair) for pair in table[["how_scale", "scale_lr"]].drop_duplicates().to_numpy()] == [*PANELS]
    for (how_scale, _), own in table.groupby(["how_scale", "scale_lr"]):
        for stage, t_i in enumerate(freeze_times(5, 0.5, {"linear": 1, "cubic": 3}[how_scale])):
            assert own.loc[own[f"stage_{stage}"] == 0, "t"].min() == pytest.approx(t_i, abs=1 / 200 + 1e-9)
    unscaled = table[(table["t"] == 0) & ~table["scale_lr"]]
    assert (unscaled.filter(like="stage_") == 0.1).all(axis=None)


@pytest.mark.parametrize("number", [2, 3, 5])
def test_a_figure_of_savings_has_both_savings_the_rival_shading_and_an_interval_at_the_baseline(
    runs, tmp_path, number: int
) -> None:
    figure = sheet(number, runs, tmp_path)
    top, bottom = figure.axes
    assert bottom.get_xlabel() == "Training time saved, measured (%)"
    assert ("predicted from FLOPs" if number == 5 else "the paper's estimate") in top.get_xlabel()
    for axes in (top, bottom):
        labels = axes.get_legend_handles_labels()[1]
        has_curve = axes is bottom or number == 5
        assert "baseline" in labels
        assert ({"shortened baseline", "the curve to beat"} <= set(labels)) == has_curve
        assert sum(label.split()[0] in ("linear", "cubic") for label in labels) == 4
        assert len(axes.containers) == 5 + has_curve, (
            "bars for four strategies, the baseline and the shortened baseline"
        )
        assert ("within 3 % of the baseline's error" in labels) == (number in (2, 3))
    plt.close(figure)


def test_figure_4_is_error_against_time_with_a_point_for_each_length(runs, tmp_path) -> None:
    figure = sheet(4, runs, tmp_path)
    top, bottom = figure.axes
    assert top.get_xlabel() == "Training time, measured (minutes)"
    assert "epochs" in bottom.get_xlabel()
    line = next(line for line in bottom.lines if line.get_label().startswith("cubic scaled"))
    assert len(line.get_xdata()) == 3
    assert "Each point is a whole run of another length" in words(figure)
    plt.close(figure)


def test_the_papers_points_are_behind_figures_3_and_4_and_the_others_say_that_there_are_none(runs, tmp_path) -> None:
    assert set(pd.read_csv(READ_OFF)["figure"]) == {3, 4}
    for number, has in ((2, False), (3, True), (4, True), (5, False)):
        figure = sheet(number, runs, tmp_path)
        assert ("the paper's points" in figure.axes[0].get_legend_handles_labels()[1]) == has
        assert "the paper's points" not in figure.axes[1].get_legend_handles_labels()[1]
        assert ("No points of the paper's Figure" in words(figure)) != has
        plt.close(figure)
    assert len(read_off(BY_NUMBER[3])) == 37


def test_in_figure_4_the_papers_longest_baseline_meets_ours(runs, tmp_path) -> None:
    figure = sheet(4, runs, tmp_path)
    made = points_of(runs_of(BY_NUMBER[4], load(runs), "figure4"))
    ours = made.loc[made["strategy"] == "baseline", "seconds_train"].max() / 60
    theirs = max(x for line in figure.axes[0].lines if line.get_alpha() == 0.3 for x in line.get_xdata())
    assert theirs == pytest.approx(ours)
    plt.close(figure)


def test_a_quick_figure_says_so_in_its_title_and_leaves_the_papers_points_out(runs, tmp_path) -> None:
    figure = sheet(2, runs, tmp_path, "quick")
    assert "Figure 2, quick: densenet_bc_16_4 on digits, not the paper's size" in words(figure)
    assert "Smoke data: 360 test images are too few" in words(figure)
    plt.close(figure)
    assert not (pd.read_csv(tmp_path / "figure2.csv")["source"] == "paper, read off").any()


@pytest.mark.parametrize(
    ("number", "sweep", "why"), [(3, "quick", "Nothing honest to draw"), (5, "quick", "No finished run of sweep quick")]
)
def test_a_figure_that_cannot_be_drawn_says_so_in_its_place(runs, tmp_path, number: int, sweep: str, why: str) -> None:
    figure = sheet(number, runs, tmp_path, sweep)
    (text,) = figure.axes[0].texts
    assert why in " ".join(text.get_text().split())
    assert f"Figure {number}, quick" in words(figure)
    plt.close(figure)
    csv = pd.read_csv(tmp_path / f"figure{number}.csv")
    assert csv.empty
    assert "error" in csv.columns


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_point_of_one_seed_is_hollow(tmp_path, seeds: int) -> None:
    entries = [make_run(tmp_path, BASELINE, seed, error=3.0 + seed) for seed in range(seeds)]
    write_manifest(tmp_path, entries, "figure4")
    figure = sheet(4, tmp_path, tmp_path)
    (marker,) = [line for line in figure.axes[0].lines if line.get_label() == "baseline"]
    assert (marker.get_markerfacecolor() == "white") == (seeds == 1)
    plt.close(figure)


def test_a_figure_from_part_of_its_sweep_says_what_is_missing(runs, tmp_path) -> None:
    figure = sheet(2, runs, tmp_path)
    assert "Not whole" not in words(figure)
    plt.close(figure)
    part = shutil.copytree(runs, tmp_path / "runs")
    for path in sorted(part.glob("*/0/record.json"))[:4]:
        path.unlink()
    sweeps = {row["sweep"] for row in load(part).to_dict("records") if row["status"] == "missing"}
    number = int(min(sweep for sweep in sweeps if sweep.startswith("figure"))[-1])
    figure = sheet(number, part, tmp_path)
    assert re.search(r"Not whole: \d of the sweep's \d+ runs are missing or failed\.", words(figure))
    plt.close(figure)


def test_error_bars_never_reach_below_an_error_of_0(tmp_path) -> None:
    entries = [make_run(tmp_path, BASELINE, seed, error=0.1 + 3 * (seed == 1)) for seed in range(3)]
    write_manifest(tmp_path, entries, "figure4")
    figure = sheet(4, tmp_path, tmp_path)
    assert figure.axes[0].get_ylim()[0] >= 0
    plt.close(figure)


def test_runs_on_two_devices_are_never_mixed_in_a_figure(runs, tmp_path) -> None:
    both = shutil.copytree(runs, tmp_path / "runs")
    table = load(both)
    kept = runs_of(BY_NUMBER[2], table.assign(setting_id=table["seed"].map({0: "a", 1: "b", 2: "b"})), "figure2")
    assert set(kept["setting_id"]) == {"b"}
