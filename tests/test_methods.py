"""The paragraph on methods says what the records say, and nothing that they do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_records import freezeout, make_run, write_manifest
from made_verdicts import BETTER, DATA, made_panel

from analysis.__main__ import main

FULL = {
    "commit": "0123456789abcdef",
    "dirty": False,
    "stages": [{"name": "stem", "parameters": 432}, {"name": "head", "parameters": 1568}],
    "data": {**DATA, "train": 45_000, "classes": 10, "image": [32, 32]},
    "effective": {"machine": {"precision": "fp32"}},
}


def said(root: Path, capsys, *more: str) -> str:
    assert main(["methods", "--runs", str(root), *more]) == 0
    return " ".join(capsys.readouterr().out.split())


def test_it_names_network_data_seeds_device_versions_and_commit(tmp_path, capsys):
    made_panel(tmp_path, **FULL)
    text = said(tmp_path, capsys)
    for words in (
        "We trained wrn_10_1 (2,000 parameters, 2 stages) on cifar10: 45,000 training images of 32 x 32 pixels in 10",
        "3 configurations that freeze or control for freezing, the baseline and shortened baselines were each trained",
        "with 5 seeds (0 to 4), 45 runs in all.",
        "Errors are the percentage of 10,000 test images misclassified after the last step.",
        "Recipe: 10 to 20 epochs.",
        "Runs were made on Xeon 8480 in fp32 with freezeout 0.1.0, torch 2.14.1, python 3.11.7 at commit 0123456789ab.",
    ):
        assert words in text


def test_it_names_the_curve_the_family_and_the_intervals_as_they_were(tmp_path, capsys):
    made_panel(tmp_path)
    text = said(tmp_path, capsys, "--margin", "1.5%")
    for words in (
        "timed alone on Xeon 8480; it is assumed to be accurate to 1.0 percentage points",
        "(budgets 1, 0.9, 0.8, 0.7, 0.6, 0.5); its log error is modelled as a quadratic function of the log budget",
        "The 3 contrasts share a variance pooled over arms (",
        "simultaneous 95 % intervals from the multivariate t",
        "The equivalence margin is 1.5 % of the error, fixed by the analyst: as good",
    ):
        assert words in text


def test_one_contrast_shares_its_variance_with_nobody(tmp_path, capsys):
    made_panel(tmp_path, arms=[(BETTER, 0.0)])
    text = said(tmp_path, capsys)
    assert "95 % interval from the t distribution with 4.0 degrees of freedom (2.78 standard errors)" in text
    assert "share a variance" not in text


def test_what_the_records_do_not_say_is_not_said(tmp_path, capsys):
    made_panel(tmp_path, budgets=(1.0, 0.5), profiled=False)
    text = said(tmp_path, capsys)
    assert "commit" not in text
    assert "parameters" not in text
    assert "equivalence margin" not in text
    assert "measured by the clocks of the runs" in text
    assert "interpolated linearly in the log budget between neighbours, because there are fewer than 3 budgets" in text


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"arms": (), "budgets": (1.0,)}, "The baseline was trained with 5 seeds"),
        ({"arms": (), "budgets": (1.0, 0.5)}, "The baseline and shortened baselines were each trained with 5 seeds"),
        (
            {"budgets": (0.9, 0.5)},
            "3 configurations that freeze or control for freezing and shortened baselines were each trained",
        ),
        (
            {"arms": [(BETTER, 0.0)], "budgets": ()},
            "1 configuration that freezes or controls for freezing was trained with 5 seeds",
        ),
    ],
)
def test_what_was_not_trained_is_not_said_to_be(tmp_path, capsys, made, words):
    made_panel(tmp_path, **made)
    assert f". {words}" in said(tmp_path, capsys)


@pytest.mark.parametrize(("dirty", "words"), [(True, "(45 runs with uncommitted changes)"), (False, None)])
def test_uncommitted_changes_are_admitted(tmp_path, capsys, dirty, words):
    made_panel(tmp_path, **{**FULL, "dirty": dirty})
    text = said(tmp_path, capsys)
    assert (words or "commit 0123456789ab.") in text
    assert ("uncommitted" in text) == dirty


def test_diverged_and_missing_runs_are_counted(tmp_path, capsys):
    entries = made_panel(tmp_path, without=[(BETTER, 4)])
    lost = make_run(tmp_path, BETTER, 4, status="failed", diverged=True, error=None, data=DATA)
    missing = {"run_id": "ffff-7", "seed": 7, "label": {"strategy": freezeout(0.5), "epochs": 20}}
    write_manifest(tmp_path, [*entries, lost, missing], "made")
    text = said(tmp_path, capsys)
    assert "44 runs in all; 1 run diverged; 1 run of the sweep missing" in text
    assert "with 4 to 5 seeds" in text


def test_one_epoch_is_one(tmp_path, capsys):
    entry = make_run(tmp_path, {"name": "baseline"}, 0, epochs=1, data=DATA, steps=10, steps_per_epoch=10)
    write_manifest(tmp_path, [entry], "made")
    text = said(tmp_path, capsys)
    assert "with 1 seed (0), 1 run in all" in text
    assert "Recipe: 1 epoch." in text


def test_too_few_runs_for_intervals_are_said(tmp_path, capsys):
    made_panel(tmp_path, seeds=1)
    assert "There are too few runs for intervals." in said(tmp_path, capsys)


def test_in_latex_its_special_characters_are_escaped(tmp_path, capsys):
    made_panel(tmp_path)
    text = said(tmp_path, capsys, "--latex")
    assert r"wrn\_10\_1" in text
    assert r"95 \% intervals" in text
