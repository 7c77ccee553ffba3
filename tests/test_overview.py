"""The figure of all panels: each sweep judged by itself, its arms under its name."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from made_records import freezeout
from made_verdicts import made_panel
from matplotlib.axes import Axes

from analysis.__main__ import main
from analysis.judging import judged_panels
from analysis.overview import draw_overview


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("overview")
    made_panel(root, sweep="first")
    made_panel(root, sweep="second", seeds=3, model={"name": "vgg", "width": 0.125, "dropout": 0.5})
    return root


def titles_in(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts if text.get_position()[0] < 1]  # verdicts stand beyond the axes


def test_every_sweep_is_judged_by_itself_and_written_in_the_order_asked_for(root, tmp_path, capsys):
    main(["overview", "--runs", str(root), "--sweep", "second", "--sweep", "first", "--out", str(tmp_path)])
    written = pd.read_csv(tmp_path / "overview.csv")
    assert list(dict.fromkeys(written["sweep"])) == ["second", "first"]
    for name in ("first", "second"):
        (alone,) = judged_panels(root, sweeps=[name])
        own = written[written["sweep"] == name]
        assert own["n"].tolist() == [len(alone.cells.seeds)] * 3
        assert sorted(own["verdict"]) == sorted(verdict.word for verdict in alone.judgement.verdicts)
    assert "overview.png" in capsys.readouterr().out


def test_a_panel_is_a_title_and_a_row_for_each_arm_with_its_saving(root, tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(plt, "close", kept.append)
    draw_overview(judged_panels(root), tmp_path)
    (axes,) = kept[0].axes
    titles = titles_in(axes)
    assert [text.split(": ")[0] for text in titles] == ["first", "second"], "two sweeps of one network are told apart"
    assert [text.split(",")[1] for text in titles] == [" 5 seeds", " 3 seeds"]
    assert [label.get_text().split(", ")[1] for label in axes.get_yticklabels()] == ["25 % saved"] * 6
    assert len(axes.texts) == 2 + 6
    monkeypatch.undo()
    plt.close(kept[0])


def test_panels_of_one_network_are_told_apart_by_their_sweep(root, tmp_path, monkeypatch):
    made_panel(tmp_path, sweep="third")
    kept = []
    monkeypatch.setattr(plt, "close", kept.append)
    draw_overview([*judged_panels(root), *judged_panels(tmp_path)], tmp_path)
    titles = [title.partition(" on ")[0] for title in titles_in(kept[0].axes[0])]
    assert titles == ["first: wrn_10_1", "second: wrn_10_1", "third: wrn_10_1"]
    monkeypatch.undo()
    plt.close(kept[0])


def test_what_is_written_below_ends_within_the_figure(tmp_path, monkeypatch):
    names = {"bn": "reestimate", "depth": "cost"}  # long ones leave the axes little room
    long = {**freezeout(0.65, "linear", scale_lr=False), **names}
    arms = [(long, 0.06), (freezeout(0.8), 0.0), (freezeout(0.5), 0.0)]
    made_panel(tmp_path, arms, seeds=20, noise=0.1, without=[(long, seed) for seed in range(17)])  # a wide interval
    kept = []
    monkeypatch.setattr(plt, "close", kept.append)
    draw_overview(judged_panels(tmp_path, margin=0.02), tmp_path)
    label, figure = kept[0].axes[0].xaxis.label, kept[0]
    figure.canvas.draw()
    assert "arrow heads: the interval is longer; green: the margin" in label.get_text()
    assert label.get_window_extent().x1 < figure.bbox.x1
    monkeypatch.undo()
    plt.close(figure)


def test_the_same_panels_give_the_same_bytes(root, tmp_path):
    first, second = (
        [path.read_bytes() for path in draw_overview(judged_panels(root), tmp_path / name)] for name in "ab"
    )
    assert len(first) == 3
    assert first == second


def test_one_line_where_no_arm_can_be_judged_and_for_a_sweep_that_is_not_there(root, tmp_path, capsys):
    made_panel(tmp_path, arms=[])
    main(["overview", "--runs", str(tmp_path), "--out", str(tmp_path / "out")])
    assert capsys.readouterr().out == "nothing to draw: no arm can be set against a curve\n"
    assert not (tmp_path / "out").exists()
    assert main(["overview", "--runs", str(root), "--sweep", "frist"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "first" in line
