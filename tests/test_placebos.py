"""Shortened runs against the curve of the others: nothing is found where there is nothing, and a false curve is."""

from __future__ import annotations

import json

import numpy as np
import pytest
from made_verdicts import BUDGETS, ON_CURVE, curve, made_panel

from analysis.__main__ import main
from analysis.placebos import placebos

TRUE = np.array([curve(b) for b in BUDGETS])


def drawn(rng: np.random.Generator, seeds: int = 8, off: tuple[float, ...] = (0,) * 6) -> np.ndarray:
    """(seeds, budgets) log errors about the true curve, `off` from it, with what the runs of a seed share."""
    luck = rng.normal(0, 0.1, (seeds, 1))
    return TRUE + off + luck + rng.normal(0, 0.013, (seeds, len(BUDGETS)))


def test_each_budget_between_others_is_one_and_its_truth_is_nothing():
    (first, *_, last) = found = placebos(BUDGETS, TRUE + np.random.default_rng(0).normal(0, 1, (5, 1)))
    assert [placebo.budget for placebo in found] == list(BUDGETS[1:-1])
    assert [placebo.difference for placebo in found] == pytest.approx([0] * 4, abs=1e-12)
    assert (first.n, last.n) == (5, 5)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_one_in_twenty_is_told_where_there_is_nothing(seeds):
    rng = np.random.default_rng(seeds)
    told = [placebo.is_told for _ in range(400) for placebo in placebos(BUDGETS, drawn(rng, seeds))]
    assert 0.03 < np.mean(told) < 0.07


def test_a_budget_that_lies_off_the_curve_of_the_others_is_told():
    found = placebos(BUDGETS, drawn(np.random.default_rng(0), off=(0, 0, 0.05, 0, 0, 0)))
    assert found[1].is_told
    assert found[1].low < 0.05 < found[1].high


@pytest.mark.parametrize("error", [3.0, 12.34, 100.0])
def test_equal_errors_are_no_difference_whatever_rounding_leaves_of_them(error):
    found = placebos(BUDGETS, np.full((4, len(BUDGETS)), np.log(error)))
    assert not any(placebo.is_told for placebo in found)


@pytest.mark.parametrize("error", [3.0, 0.0])
def test_verdicts_find_none_significant_where_all_errors_are_equal(tmp_path, capsys, error):
    made_panel(tmp_path, [(ON_CURVE, 0.0)], error=error)
    assert main(["verdicts", "--runs", str(tmp_path)]) == 0
    assert " +0.0 to +0.0 % of the error; 0 of 4 significant" in " ".join(capsys.readouterr().out.split())


def test_a_run_that_is_missing_takes_its_seed_out():
    z = drawn(np.random.default_rng(0))
    z[2, 3] = np.nan
    assert {placebo.n for placebo in placebos(BUDGETS, z)} == {7}


@pytest.mark.parametrize(("budgets", "seeds"), [(3, 5), (6, 2)])
def test_none_of_too_few_budgets_or_seeds(budgets, seeds):
    assert not placebos(BUDGETS[:budgets], drawn(np.random.default_rng(0), seeds)[:, :budgets])


@pytest.mark.parametrize(("budgets", "count"), [(BUDGETS, 4), (BUDGETS[:3], 0)])
def test_verdicts_print_them_and_the_document_holds_them(tmp_path, capsys, budgets, count):
    made_panel(tmp_path, [(ON_CURVE, 0.0)], budgets=budgets, saving=0.15)
    assert main(["verdicts", "--runs", str(tmp_path)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert ("placebos, shortened runs against the curve of the other budgets: " in text) == bool(count)
    assert f" of {count} significant (1 in 20 expected by chance)" in text or not count
    assert main(["verdicts", "--runs", str(tmp_path), "--json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)["panels"]
    found = said["curve"]["placebos"]
    assert [placebo["budget"] for placebo in found] == list(budgets[1 : 1 + count])
    assert all(placebo["low"] < placebo["difference"] < placebo["high"] for placebo in found)
