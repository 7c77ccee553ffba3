"""The table of claims: agree, disagree or cannot tell, and what smoke data may say."""

from __future__ import annotations

from math import nan
from pathlib import Path

import pytest
from made_figures import CIFAR, MODELS, make_figure
from made_records import BASELINE, freezeout, make_run, write_manifest

from analysis.claims import CLAIMS, Claim, claims_text, holds, rows_of, verdict
from analysis.estimates import Estimate
from analysis.load import load
from analysis.paper import FIGURES, runs_of
from analysis.text import PAPER

SAVES = Estimate(20.0, 18.0, 22.0, 3)
BY_NUMBER = {figure.number: figure for figure in FIGURES}
DENSENET, _, WRN, VGG = CLAIMS


@pytest.mark.parametrize(
    ("saved", "increase", "found"),
    [
        (SAVES, Estimate(1.0, 0.0, 2.9, 3), True),
        (SAVES, Estimate(4.0, 3.1, 4.9, 3), False),
        (SAVES, Estimate(2.0, 1.0, 3.1, 3), None),
        (Estimate(10.0, 8.0, 14.9, 3), Estimate(1.0, 0.0, 2.0, 3), False),
        (Estimate(14.0, 9.0, 19.0, 3), Estimate(1.0, 0.0, 2.0, 3), None),
        (Estimate(20.0, nan, nan, 1), Estimate(9.0, nan, nan, 1), None),
        (Estimate(nan, nan, nan, 0), Estimate(nan, nan, nan, 0), None),
    ],
)
def test_a_sentence_holds_only_where_both_intervals_settle_it(saved, increase, found) -> None:
    assert holds(saved, increase, 3.0) is found


def test_the_paper_denies_for_vgg_what_it_claims_for_the_others() -> None:
    good, bad, open_ = (Estimate(m, m - 0.1, m + 0.1, 3) for m in (0.1, 1.0, 0.3))
    expected = ((good, "agree", "disagree"), (bad, "disagree", "agree"), (open_, "cannot tell", "cannot tell"))
    for increase, of_wrn, of_vgg in expected:
        assert verdict(WRN, SAVES, increase, smoke=False) == of_wrn
        assert verdict(VGG, SAVES, increase, smoke=False) == of_vgg


def test_smoke_data_speak_neither_for_nor_against() -> None:
    for error in (-5.0, 0.0, 50.0):
        increase = Estimate(error, error - 0.01, error + 0.01, 3)
        assert verdict(DENSENET, SAVES, increase, smoke=True) == "cannot tell (smoke data)"


def made(root: Path, figure: int, errors: dict[int, tuple[float, float]], **changes) -> list[tuple[str, ...]]:
    """The claim's rows from runs of a baseline and of cubic scaled 0.8: seed -> their two errors, 20 % saved."""
    sweep = f"figure{figure}"
    entries = []
    for seed, pair in errors.items():
        for strategy, error, seconds in zip((BASELINE, freezeout(0.8)), pair, (100.0, 80.0 + seed), strict=True):
            config = {"epochs": 20, "model": MODELS[sweep], "dataset": {"name": "cifar100"}, "strategy": strategy}
            record = {"config": config, "data": {**CIFAR, "name": "cifar100"}, "seconds": {"train": seconds}} | changes
            entries.append(make_run(root, strategy, seed, error=error, **record))
    write_manifest(root, entries, sweep)
    claim: Claim = next(claim for claim in CLAIMS if claim.figure == figure)
    return rows_of(claim, BY_NUMBER[figure], runs_of(BY_NUMBER[figure], load(root), sweep))


def test_differences_are_paired_by_seed_and_relative_to_its_own_baseline(tmp_path) -> None:
    """Seeds that differ by far more than the strategies do not widen the interval."""
    ((name, n, saved, increase, answer),) = made(tmp_path, 2, {s: (20 + s, 1.02 * (20 + s)) for s in range(3)})
    assert (name.strip(), n) == ("cubic scaled 0.8", "3")
    assert saved.startswith("19.0 [")
    assert increase == "+2.0 [2.0, 2.0] %"
    assert answer == "agree"


def test_an_increase_beyond_the_limit_disagrees(tmp_path) -> None:
    assert made(tmp_path, 4, {s: (20 + s, 21 + 1.1 * s) for s in range(3)})[0][-1] == "disagree"


def test_one_seed_cannot_tell_and_still_shows_its_numbers(tmp_path) -> None:
    ((_, n, saved, increase, answer),) = made(tmp_path, 4, {0: (20.0, 20.1)})
    assert (n, saved, increase, answer) == ("1", "20.0", "+0.1 points", "cannot tell")


def test_without_a_saving_that_can_be_measured_nothing_is_told(tmp_path) -> None:
    rows = made(tmp_path, 4, dict.fromkeys(range(3), (20.0, 20.0)), repeated_seconds=50.0)
    assert rows[0][2] == "-"
    assert rows[0][-1] == "cannot tell"


def test_a_diverged_seed_cannot_tell() -> None:
    increase = Estimate(0.1, 0.0, 0.2, 3)
    assert verdict(WRN, SAVES, increase, smoke=False, diverged=1) == "cannot tell (1 diverged)"


def test_the_table_has_every_claim_in_at_most_100_columns(tmp_path) -> None:
    make_figure(tmp_path, "figure2", small=True)
    runs = {figure.number: runs_of(figure, load(tmp_path), "quick") for figure in FIGURES}
    text = claims_text(runs)
    assert max(map(len, text.splitlines())) <= PAPER
    for network in ("DenseNet, CIFAR-100:", "DenseNet, CIFAR-10:", "WRN, CIFAR-100:", "VGG, CIFAR-100:"):
        assert network in text
    assert text.count("cannot tell (smoke data)") == 2
    assert text.count("cannot tell (no runs)") == 3
