"""The learning rates of a strategy, drawn: no records and no network are needed."""

from __future__ import annotations

import csv
import math

import pytest

from analysis.__main__ import main


def test_five_linear_unscaled_stages_are_a_panel_of_figure_1_of_the_paper(tmp_path, capsys) -> None:
    words = ["strategy=freezeout", "t_0=0.5", "how_scale=linear", "strategy.scale_lr=false"]
    assert main(["rates", *words, "--stages", "5", "--out", str(tmp_path)]) == 0
    written = [line.removeprefix("wrote ") for line in capsys.readouterr().out.splitlines()]
    stem = str(tmp_path / "rates_FreezeOut_linear_unscaled_t_0_0.5")
    assert written == [f"{stem}.png", f"{stem}.svg", f"{stem}.csv"]
    with open(written[-1]) as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 401
    for row in rows:
        t = float(row["t"])
        for i in range(5):
            t_i = 0.5 + 0.125 * i
            rate = 0.1 * 0.5 * (1 + math.cos(math.pi * t / t_i)) if t < t_i else 0.0
            assert float(row[f"stage_{i}"]) == pytest.approx(rate, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["strategy=freezout", "t_0=0.5"], "strategy=freezout: unknown; did you mean freezeout?"),
        (["t0=0.5"], "t0=0.5: freezeout has no such field; did you mean t_0?"),
        (["t_0=half"], "t_0=half: must be a number"),
        (["t_0=0.5", "scale_lr=yes"], "scale_lr=yes: must be true or false"),
        (["t_0=0.5", "depth=[1,x]"], "depth=[1,x]: must be a list of numbers"),
        (["t_0=0.5", "depth=[1,2]"], "strategy.depth=[1, 2]: 2 costs for 5 stages; give one each"),
        (["t_0=0.5", "depth=cost"], "strategy.depth=cost: the stage costs are not known here"),
        (["t_0=2"], "t_0=2.0: must lie in (0, 1]"),
        (["how_scale=cubic"], "strategy=freezeout: must be given t_0, as in t_0=..."),
    ],
)
def test_a_mistake_is_one_line(tmp_path, capsys, words, said) -> None:
    assert main(["rates", *words, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"analysis: {said}")
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("base", ["nan", "inf", "0", "-0.1", "high"])
def test_a_base_rate_that_is_none_is_refused(tmp_path, capsys, base) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["rates", "t_0=0.5", f"--base={base}", "--out", str(tmp_path)])
    assert capsys.readouterr().err == f"analysis rates: --base: {base}: must be a number above 0\n"
    assert not list(tmp_path.iterdir())
