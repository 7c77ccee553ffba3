"""The table of claims: agree, disagree or cannot tell, and what smoke data may say."""

from __future__ import annotations

import re
from math import nan
from pathlib import Path

import numpy as np
import pytest
from made_figures import CIFAR, MODELS, make_figure
from made_records import BASELINE, freezeout, make_run, write_manifest

from analysis.claims import CLAIMS, NO_LOSS, Claim, Range, claims_text, holds, panel_of, rows_of, verdict
from analysis.judging import judged_panel
from analysis.load import load
from analysis.paper import FIGURES
from analysis.text import PAPER

SAVES = Range(20.0, 18.0, 22.0)
BY_NUMBER = {figure.number: figure for figure in FIGURES}
DENSENET, _, WRN, VGG = CLAIMS


@pytest.mark.parametrize(
    ("saved", "increase", "found"),
    [
        (SAVES, Range(1.0, 0.0, 2.9), True),
        (SAVES, Range(4.0, 3.1, 4.9), False),
        (SAVES, Range(2.0, 1.0, 3.1), None),
        (Range(10.0, 8.0, 14.9), Range(1.0, 0.0, 2.0), False),
        (Range(14.0, 9.0, 19.0), Range(1.0, 0.0, 2.0), None),
        (Range(20.0, nan, nan), Range(9.0, nan, nan), None),
        (Range(nan, nan, nan), Range(nan, nan, nan), None),
    ],
)
def test_a_sentence_holds_only_where_both_intervals_settle_it(saved, increase, found) -> None:
    assert holds(saved, increase, 3.0) is found


def test_the_paper_denies_for_vgg_what_it_claims_for_the_others() -> None:
    good, bad, open_ = (Range(m, m - 0.1, m + 0.1) for m in (0.1, 1.0, 0.3))
    expected = ((good, "agree", "disagree"), (bad, "disagree", "agree"), (open_, "cannot tell", "cannot tell"))
    for increase, of_wrn, of_vgg in expected:
        assert verdict(WRN, SAVES, increase, 3, smoke=False) == of_wrn
        assert verdict(VGG, SAVES, increase, 3, smoke=False) == of_vgg


def test_smoke_data_speak_neither_for_nor_against() -> None:
    for error in (-5.0, 0.0, 50.0):
        increase = Range(error, error - 0.01, error + 0.01)
        assert verdict(DENSENET, SAVES, increase, 3, smoke=True) == "cannot tell (smoke data)"


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
    panel = panel_of(BY_NUMBER[figure], load(root), sweep)
    assert panel is not None
    return rows_of(claim, BY_NUMBER[figure], judged_panel(panel))


def test_differences_are_paired_by_seed_and_relative_to_its_own_baseline(tmp_path) -> None:
    """Seeds that differ by far more than the strategies do not widen the interval."""
    ((name, n, saved, increase, answer),) = made(tmp_path, 2, {s: (20 + s, 1.02 * (20 + s)) for s in range(3)})
    assert (name.strip(), n) == ("cubic scaled 0.8", "3")
    assert saved == "19.0 [18.0, 20.0]", "to the bound on time, which clocks of one run each are not trusted beyond"
    assert increase == "+2.0 [2.0, 2.0] %"
    assert answer == "agree"


def test_an_increase_beyond_the_limit_disagrees(tmp_path) -> None:
    assert made(tmp_path, 4, {s: (20 + s, 21 + 1.1 * s) for s in range(3)})[0][-1] == "disagree"


@pytest.mark.parametrize("seeds", [1, 2])
def test_under_three_seeds_it_cannot_tell_and_still_shows_its_numbers(tmp_path, seeds: int) -> None:
    ((_, n, saved, increase, answer),) = made(tmp_path, 4, dict.fromkeys(range(seeds), (20.0, 20.1)))
    assert (n, answer) == (str(seeds), "cannot tell (under 3 seeds)")
    assert saved.startswith("20.0 [" if seeds == 1 else "19.5 [")
    assert increase.startswith("+0.1")


def test_the_interval_is_simultaneous_and_of_a_variance_that_all_arms_share(tmp_path) -> None:
    """Three seeds that happen to agree are no proof: the spread of the other arms counts, too."""
    rng = np.random.default_rng(0)
    entries = []
    for seed in range(3):
        arms = [(BASELINE, 20.0), (freezeout(0.8), 20.1), *((freezeout(t), 20 + rng.normal(0, 1)) for t in (0.3, 0.5))]
        for strategy, error in arms:
            config = {"epochs": 20, "model": MODELS["figure4"], "dataset": {"name": "cifar100"}, "strategy": strategy}
            seconds = {"train": 100.0 if strategy is BASELINE else 80.0}
            data = {**CIFAR, "name": "cifar100"}
            entries.append(make_run(tmp_path, strategy, seed, error=error, config=config, data=data, seconds=seconds))
    write_manifest(tmp_path, entries, "figure4")
    panel = panel_of(BY_NUMBER[4], load(tmp_path), "figure4")
    ((*_, increase, answer),) = rows_of(WRN, BY_NUMBER[4], judged_panel(panel))
    low, high = (float(end) for end in re.findall(r"-?[\d.]+", increase)[1:])
    assert low < -NO_LOSS < NO_LOSS < high
    assert answer == "cannot tell"


def test_what_saves_nothing_disagrees_with_any_claim_of_a_saving(tmp_path) -> None:
    rows = made(tmp_path, 4, dict.fromkeys(range(3), (20.0, 20.0)), seconds={"train": 100.0})
    assert rows[0][1:3] == ("3", "0.0 [-1.0, 1.0]")
    assert rows[0][-1] == "disagree"


def test_without_a_saving_that_can_be_measured_nothing_is_told(tmp_path) -> None:
    rows = made(tmp_path, 4, dict.fromkeys(range(3), (20.0, 20.0)), repeated_seconds=50.0)
    assert rows[0][2] == "-"
    assert rows[0][-1] == "cannot tell"


def test_a_diverged_seed_cannot_tell() -> None:
    increase = Range(0.1, 0.0, 0.2)
    assert verdict(WRN, SAVES, increase, 3, smoke=False, diverged=True) == "cannot tell (a seed diverged)"


def test_the_table_has_every_claim_in_at_most_100_columns(tmp_path) -> None:
    make_figure(tmp_path, "figure2", small=True)
    text = claims_text({figure.number: panel_of(figure, load(tmp_path), "quick") for figure in FIGURES})
    assert max(map(len, text.splitlines())) <= PAPER
    for network in ("DenseNet, CIFAR-100:", "DenseNet, CIFAR-10:", "WRN, CIFAR-100:", "VGG, CIFAR-100:"):
        assert network in text
    assert text.count("cannot tell (smoke data)") == 2
    assert text.count("cannot tell (no runs)") == 3
