"""Tables and paragraphs fit the terminal, and no word or number is cut."""

from __future__ import annotations

import pytest

from analysis.text import number, text_table, width, wrapped
from freezeout.naming import counted

HEADER = ("strategy", "n", "error %", "seconds", "against the curve")
ROWS = [
    ("FreezeOut cubic scaled", "3", "3.43 [2.63, 14.22]", "1234.5", "cannot tell +0.11"),
    ("baseline", "2 of 3, 1 diverged", "3.00", "99.0", "the curve"),
]


def words(text: str) -> list[str]:
    return sorted(text.split())


@pytest.mark.parametrize("columns", [60, 70, 90, 200])
def test_a_table_is_as_wide_as_the_terminal_at_most_and_loses_nothing(monkeypatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    table = text_table(HEADER, ROWS)
    assert max(map(len, table.splitlines())) <= columns
    assert words(table.replace("-" * 20, "").replace("-", "")) == words(" ".join(" ".join(r) for r in (HEADER, *ROWS)))
    assert "[2.63, 14.22]" in table


def test_a_wide_terminal_wraps_nothing(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert len(text_table(HEADER, ROWS).splitlines()) == 2 + len(ROWS)


def test_a_terminal_too_narrow_even_so_drops_optional_columns_and_says_which(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    header, row = [f"column_{i}" for i in range(9)], ["x" * 8] * 9
    lines = text_table(header, [row], optional=["column_4", "column_2", "column_8"]).splitlines()
    assert lines[-1] == "(too narrow for: column_4, column_2, column_8)"
    assert lines[0].split() == [name for name in header if name not in ("column_4", "column_2", "column_8")]
    assert max(map(len, lines)) <= 60


def test_a_line_across_all_columns_stands_between_the_rows() -> None:
    lines = text_table(HEADER, ["The paper: 20 % saved", ROWS[0]]).splitlines()
    assert lines[2] == "The paper: 20 % saved"
    assert lines[3].startswith("FreezeOut")


@pytest.mark.parametrize(("columns", "expected"), [("20", 60), ("83", 83)])
def test_the_width_is_the_terminals_and_never_below_60(monkeypatch, columns: str, expected: int) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert width() == expected


def test_without_a_terminal_the_width_is_100(monkeypatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("sys.__stdout__", None)
    assert width() == 100


def test_a_paragraph_breaks_no_path(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    path = "/a/very-long/path/" + "of-a-folder/" * 6 + "record.json"
    assert path in wrapped(f"unreadable: {path} is not a record")


def test_nouns_are_counted_and_zero_has_no_sign() -> None:
    assert (counted(1, "run"), counted(0, "run"), counted(2, "run")) == ("1 run", "0 runs", "2 runs")
    assert (number(-1e-9, 1), number(float("nan"), 1), number(0.25, 2, "+")) == ("0.0", "-", "+0.25")
