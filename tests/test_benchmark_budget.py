"""The budget is dealt out over what is still to come."""

from __future__ import annotations

import time

import pytest

from benchmarks.budget import Budget, BudgetBar


def test_the_budget_is_dealt_out_over_what_is_still_to_come() -> None:
    budget = Budget(10, ("steps", "savings", "cache") * 2)
    now = time.perf_counter()
    first = budget.take("steps") - now
    assert first == pytest.approx(600 * 3.2 / 21.4, rel=0.01)
    budget.end -= 300  # something took five minutes
    assert budget.take("savings") - now == pytest.approx(300 * 4.5 / 18.2, rel=0.02)


def test_lines_are_written_where_there_is_no_terminal(capsys) -> None:
    bar = BudgetBar(Budget(1, ["steps"]))
    bar.measuring("wrn_10_1")
    bar.write("  2 of 5 frozen")
    bar.close()
    captured = capsys.readouterr()
    assert captured.out == "  2 of 5 frozen\n"
    assert captured.err == ""
