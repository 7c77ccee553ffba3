"""What a strategy would save, without training."""

from __future__ import annotations

import csv
import math

import pytest

from freezeout import predict


@pytest.fixture
def said(monkeypatch, capsys, tmp_path):
    """Run the command in an empty folder: its exit message (None when it went well) and what it printed."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str):
        monkeypatch.setattr("sys.argv", ["predict", *words])
        try:
            predict.main()
        except SystemExit as stop:
            return stop.code, capsys.readouterr().out
        return None, capsys.readouterr().out

    return call


def test_the_table_has_every_t_0_and_the_freeze_step_of_every_stage(said) -> None:
    code, out = said("model=wrn_10_1", "t_0=0.5", "strategy.how_scale=linear", "epochs=10")
    assert code is None
    rows = [line.split() for line in out.splitlines() if line.lstrip().startswith("0.")]
    assert [float(row[0]) for row in rows] == pytest.approx([i / 10 for i in range(1, 10)])
    savings = [float(row[2]) for row in rows]
    assert savings == sorted(savings, reverse=True), "the later it freezes, the less it saves"
    assert all(row[1] == "-" for row in rows), "the paper's estimate is for DenseNets"
    assert "140 (t = 0.500)" in out
    assert out.count("never") == 1, "only the head"


def test_a_densenet_has_the_papers_estimate_beside_the_prediction(said) -> None:
    _, out = said("model=densenet_bc_76_12", "dataset=cifar100", "t_0=0.8")
    assert any(line.split()[:4] == ["0.80", "17.8", "%", "23.4"] for line in out.splitlines())


def test_cifar_is_predicted_without_downloading_it(said, tmp_path) -> None:
    code, out = said("model=resnet8", "dataset=cifar100", "dataset.split=test", "strategy=baseline", "epochs=1")
    assert code is None
    assert "of 1000)" in out
    assert not (tmp_path / "data").exists()


def test_a_shortened_run_saves_what_it_leaves_out(said) -> None:
    assert "40.0 %" in said("strategy=shortened", "strategy.budget=0.6")[1]


def test_the_drawing_for_five_layers_is_figure_1_of_the_paper(said, tmp_path) -> None:
    said("--stages", "5", "t_0=0.5", "strategy.how_scale=linear", "strategy.scale_lr=false")
    assert {p.suffix for p in (tmp_path / "figures").iterdir()} == {".png", ".svg", ".csv"}
    with (tmp_path / "figures/schedule.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        t = float(row["t"])
        for i in range(5):
            t_i = 0.5 + 0.125 * i
            rate = 0.1 * 0.5 * (1 + math.cos(math.pi * t / t_i)) if t < t_i else 0.0
            assert float(row[f"stage_{i}"]) == pytest.approx(rate, abs=1e-15)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["t_0=2"], "t_0=2.0: must lie in (0, 1]"),
        (["model=wrn"], "did you mean"),
        (["--stages", "0"], "--stages 0: must be at least 1"),
        (["batch_size=9999"], "larger than the training set"),
        (["sweeps=digits"], "add -m"),
    ],
)
def test_a_mistake_is_one_line(said, tmp_path, words: list[str], part: str) -> None:
    code, _ = said(*words)
    assert part in code
    assert "\n" not in code
    assert not (tmp_path / "figures").exists()
