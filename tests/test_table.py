"""The table at a sweep's end: one row per configuration, its means, what became of the others, the terminal's width."""

from __future__ import annotations

import sys

import pytest

from freezeout import records
from freezeout.cli.table import FOOTNOTE, table

BASELINE = {"name": "baseline"}
FROZEN = {"name": "freezeout", "t_0": 0.8, "how_scale": "cubic", "scale_lr": True, "bn": "eval", "const_time": False}
WRN = {"name": "wide_resnet", "depth": 10, "widen": 1, "dropout": 0.0}
DENSE = {"name": "densenet_bc", "depth": 16, "growth": 4, "dropout": 0.0}


@pytest.fixture
def sweep(tmp_path):
    """Add a run to a sweep: its record, where it has one, and its entry in the list."""
    entries = []

    def add(
        name: str, seed: int, strategy: dict, epochs: int = 20, *, config=(), status: str | None = "done", **record
    ):
        label = {"strategy": strategy, "epochs": epochs}
        entries.append({"run_id": f"{name}-{seed}", "seed": seed, "label": label})
        if status is None:
            return
        given = {"model": WRN, "strategy": strategy, "epochs": epochs, "seed": seed, "out": name}
        given |= {"t_0": strategy.get("t_0", 0.5), **dict(config)}
        found = {"schema_version": 1, "status": status, "setting_id": "g", "config": given, "seconds": {"train": 10.0}}
        found |= {"error": 3.0, "flops": {"baseline": 1e9, "run": 1e9}} | record
        records.write_json_atomic(records.run_folder(tmp_path, name, seed) / "record.json", found)

    add.lines = lambda: table(tmp_path, entries).splitlines()
    return add


def test_a_row_is_the_mean_and_the_deviation_over_the_seeds_that_are_done(sweep) -> None:
    for seed, error, seconds in ((0, 2.0, 9.0), (1, 4.0, 11.0), (2, 3.0, 10.0)):
        sweep("a", seed, BASELINE, error=error, seconds={"train": seconds})
        sweep("b", seed, FROZEN, error=error + 1, flops={"run": 8e8})
    assert sweep.lines() == [
        "configuration                   runs     error, %     seconds  saving",
        "baseline                           3  3.00 ± 1.00  10.0 ± 1.0   0.0 %",
        "FreezeOut cubic scaled t_0=0.8     3  4.00 ± 1.00  10.0 ± 0.0  20.0 %",
        FOOTNOTE,
    ]


def test_a_budget_above_1_saves_less_than_nothing(sweep) -> None:
    sweep("a", 0, BASELINE)
    sweep("b", 0, {"name": "shortened", "budget": 1.1}, flops={"run": 1.1e9})
    assert [line.split("  ")[-1].strip() for line in sweep.lines()[1:-1]] == ["0.0 %", "-10.0 %"]


def test_what_is_not_done_is_counted_and_enters_no_mean(sweep) -> None:
    sweep("a", 0, BASELINE)
    sweep("a", 1, BASELINE, status="failed", diverged=True, error=None)
    sweep("a", 2, BASELINE, status="interrupted", error=None)
    sweep("a", 3, BASELINE, status=None)
    sweep("b", 0, FROZEN, status=None)
    _, baseline, frozen, _ = sweep.lines()
    assert "1 of 4, 1 diverged, 1 interrupted, 1 not done yet  " in baseline
    assert baseline.split("yet")[1].split() == ["3.00", "10.0", "0.0", "%"]
    assert frozen.split("yet")[1].split() == ["-", "-", "-"]


def test_the_saving_is_against_the_longest_baseline_of_the_same_network_or_not_said(sweep) -> None:
    sweep("a", 0, BASELINE, 10, flops={"run": 5e8})
    sweep("b", 0, BASELINE, 20, flops={"run": 1e9})
    sweep("c", 0, FROZEN, 20, flops={"run": 8e8})
    sweep("d", 0, FROZEN, 20, config={"model": DENSE}, setting_id="other", flops={"run": 1e8})
    assert [line.split("  ")[-1].strip() for line in sweep.lines()[1:-1]] == ["50.0 %", "0.0 %", "20.0 %", "-"]


def test_a_row_says_what_tells_it_from_the_others_and_nothing_else(sweep) -> None:
    sgd, adamw = {"name": "sgd", "lr": 0.1}, {"name": "adamw", "lr": 0.001}
    sweep("a", 0, BASELINE, config={"optimizer": sgd, "label_smoothing": 0.1})
    sweep("b", 0, BASELINE, config={"optimizer": sgd | {"lr": 0.2}, "label_smoothing": 0.1})
    sweep("c", 0, BASELINE, 40, config={"optimizer": adamw, "model": DENSE, "label_smoothing": 0.1})
    assert [line.split("   ")[0].rstrip() for line in sweep.lines()[1:-1]] == [
        "wrn_10_1 baseline optimizer=sgd optimizer.lr=0.1 20 epochs",
        "wrn_10_1 baseline optimizer=sgd optimizer.lr=0.2 20 epochs",
        "densenet_bc_16_4 baseline optimizer=adamw optimizer.lr=0.001 40 epochs",
    ]


def test_a_row_without_a_record_differs_in_nothing_that_is_known(sweep) -> None:
    sweep("a", 0, BASELINE, config={"label_smoothing": 0.1})
    sweep("b", 0, FROZEN, status=None)
    assert [line.split("   ")[0].rstrip() for line in sweep.lines()[1:-1]] == [
        "baseline",
        "FreezeOut cubic scaled t_0=0.8  0 of 1, 1 not done yet",
    ]


def test_rows_keep_the_order_of_the_list(sweep) -> None:
    for name, strategy in (("z", FROZEN), ("a", BASELINE)):
        sweep(name, 0, strategy)
    assert [line.split()[0] for line in sweep.lines()[1:3]] == ["FreezeOut", "baseline"]


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_the_table_fits_the_terminal(sweep, monkeypatch, columns: int) -> None:
    for model in (WRN, DENSE):
        sweep(model["name"], 0, FROZEN, config={"model": model, "label_smoothing": 0.1})
        sweep(model["name"], 1, FROZEN, config={"model": model, "label_smoothing": 0.1}, error=5.0)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    lines = sweep.lines()
    assert max(map(len, lines)) <= columns
    text = " ".join(" ".join(lines).split())
    for word in ("densenet_bc_16_4", "t_0=0.8"):
        assert word in text, "a narrow terminal wraps names and cuts nothing off"


def test_an_unreadable_record_is_a_state_like_others(sweep, tmp_path) -> None:
    sweep("a", 0, BASELINE)
    (tmp_path / "a/0/record.json").write_text("{")
    assert "0 of 1, 1 unreadable" in sweep.lines()[1]
