"""The benchmark's tables: all numbers as CSV, and text that fits the terminal."""

from __future__ import annotations

import csv
import json

import pytest
from made_benchmarks import made_results, spread

from benchmarks import report
from benchmarks.bounds import bounds


def test_the_csv_has_every_number_and_under_which_conditions_it_was_measured(tmp_path) -> None:
    results = made_results("cuda")
    report.write(results, tmp_path)
    lines = list(csv.DictReader((tmp_path / report.CSV).read_text().splitlines()))
    assert tuple(lines[0]) == report.COLUMNS
    assert {(line["device"], line["precision"], line["batch"]) for line in lines} == {("made", "tf32", "50")}
    assert {line["quantity"] for line in lines} == {
        *(
            "seconds",
            "ratio",
            "packed",
            "realised",
            "ideal_rounds",
            "switches",
            "ideal",
            "ideal_with_input",
            "profiled",
        ),
        *("run_ratio", "cache_share", "hit_rate", "cache_bytes"),
    }
    ratio = next(line for line in lines if line["of"] == "captured/original" and line["prefix"] == "20")
    assert [ratio[key] for key in ("median", "low", "high", "n")] == ["0.25", "0.25", "0.25", "5"]


def test_the_json_has_the_bounds_on_what_was_measured(tmp_path) -> None:
    results = made_results("cpu")
    report.write(results, tmp_path)
    written = json.loads((tmp_path / report.JSON).read_text())["bounds"]
    assert len(written) == len(bounds(results)) > 0
    assert all(bound["ok"] for bound in written)


@pytest.mark.parametrize("columns", [60, 100])
def test_ratios_fit_the_terminal(monkeypatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    found = made_results("cuda")["networks"]["densenet_bc_76_12"]["steps"]["20"]
    lines = report.steps_text(20, 40, found).splitlines()
    assert lines[0] == "  20 of 40 frozen: plain loop 10.0 ms a step, n = 5"
    assert max(map(len, lines)) <= columns
    assert "captured/original 0.250 (0.250-0.250)" in "\n".join(lines)


def test_packed_bytes_are_in_megabytes_with_peaks_where_there_are_any() -> None:
    held = {"eager": {"packed": 2_000_000, "peak": 5_500_000}, "captured": {"packed": None, "peak": 6_000_000}}
    packed = {"3": {"share": 1_990_000, "arms": held}}
    table = [line.split() for line in report.packed_text(packed).splitlines()]
    assert table[1] == ["frozen", "active", "share", "eager", "captured"]
    assert table[2] == ["3", "1.99", "2.00", "-"]
    assert table[-1] == ["3", "5.50", "6.00"]
    for arm in held.values():
        arm["peak"] = None
    assert len(report.packed_text(packed).splitlines()) == 3


def test_savings_are_in_per_cent() -> None:
    strategies = made_results("cpu")["networks"]["densenet_bc_76_12"]["savings"]["strategies"]
    text = report.savings_text({"arm": "eager", "steps": 150, "extrapolated": False, "strategies": strategies})
    assert "realised 25.0 % (25.0-25.0), n = 5" in text
    assert "ideal 26.0 %, and 27.0 %" in text
    assert "extrapolated" not in text


def test_a_cache_is_said_to_have_saved_kept_and_hit() -> None:
    text = report.cache_text(made_results("cpu")["networks"]["densenet_bc_76_12"]["cache"])
    assert "12 epochs of 12 steps, cubic scaled 0.8, ours, eager" in text
    assert "2 views, cached: realised 18.0 % (18.0-18.0), n = 5; profiled 20.0 %" in text
    assert "1.000 (1.000-1.000) of the seconds without; reading and writing took 3.00 %" in text
    assert "kept: 41.8 MB of device memory, at most; 60 % of the visits" in text


def test_missed_bounds_are_counted() -> None:
    results = made_results("cuda")
    results["networks"]["densenet_bc_76_12"]["steps"]["0"]["ratios"]["captured/composer"] = spread(1.01)
    assert report.bounds_text(bounds(results)).endswith(" bounds, 1 missed")
