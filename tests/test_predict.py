"""What a strategy would save, without training."""

from __future__ import annotations

import pytest

from freezeout import predict


@pytest.fixture
def said(monkeypatch, capsys, tmp_path):
    """Run the command in an empty folder: its exit code (None when it went well) and what it printed."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str):
        monkeypatch.setattr("sys.argv", ["predict", *words])
        try:
            predict.main()
        except SystemExit as stop:
            found = capsys.readouterr()
            call.err = found.err
            return stop.code, found.out
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


def test_a_budget_above_1_saves_less_than_nothing(said) -> None:
    assert "-10.0 %" in said("strategy=shortened", "strategy.budget=1.1", "epochs=10")[1]


def test_a_list_of_t_0_gives_those_rows_alone(said) -> None:
    code, out = said("t_0=0.3,0.2", "epochs=10")
    assert code is None
    rows = [line.split() for line in out.splitlines() if line.lstrip().startswith("0.")]
    assert [row[0] for row in rows] == ["0.30", "0.20"]
    assert "freezes at step" not in out, "of which one?"


def test_lists_of_other_keys_give_a_table_each(said) -> None:
    code, out = said("strategy.how_scale=linear,cubic", "t_0=0.2,0.3")
    assert code is None
    assert out.count("share of the baseline's training time saved") == 2
    for words in ("FreezeOut linear scaled", "FreezeOut cubic scaled"):
        assert f"wrn_10_1 on digits, {words}\n" in out
    table = [line.split()[0] for line in out.splitlines() if line.lstrip().startswith("0.")]
    assert table == ["0.20", "0.30", "0.20", "0.30"]


def test_nothing_is_read_of_data_whose_outline_is_known(said, monkeypatch) -> None:
    from freezeout.run import plan

    def read(*_):
        raise AssertionError("read")

    monkeypatch.setattr(plan.data, "load", read)
    assert said("dataset=digits", "t_0=0.5")[0] is None


def test_a_run_of_the_same_time_says_how_many_steps_it_has(said) -> None:
    code, out = said("strategy.const_time=true", "t_0=0.5", "epochs=10")
    assert code is None
    steps = int(out.split("freezes at step (of ")[1].partition(")")[0])
    assert steps == pytest.approx(280 / (1 - 0.382), abs=2)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["t_0=2"], "t_0=2.0: must lie in (0, 1]"),
        (["model=wrn"], "did you mean"),
        (["batch_size=9999"], "larger than the training set"),
        (["sweeps=digits"], "add -m"),
        (["limit=5s"], "limit=5s: bounds the time of training, and nothing is trained here; leave it out"),
        (["--measure", "out=/dev/null/runs"], "out=/dev/null/runs: cannot write there (/dev/null is not a folder)"),
    ],
)
def test_a_mistake_is_one_line(said, tmp_path, words: list[str], part: str) -> None:
    code, _ = said(*words)
    assert code == 2
    assert part in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "figures").exists()


def test_interrupted_it_is_one_line(said, monkeypatch) -> None:
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(predict, "predict", stop)
    assert said("t_0=0.5") == (130, "")
    assert said.err == "predict: interrupted\n"
