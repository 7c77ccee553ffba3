"""Controls and their twins: which arms are a pair, and what the one thing does in which they differ."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from made_records import freezeout
from made_verdicts import made_panel

from analysis.__main__ import main
from analysis.judging import judged_panels
from analysis.twins import ONLY_CONTROLS, pairs


def control(name: str, t_0: float = 0.5) -> dict[str, Any]:
    return {"name": name, "t_0": t_0, "how_scale": "cubic", **({"scale_lr": True} if name == "lr_only" else {})}


def test_controls_are_set_against_their_twin_by_a_t_of_their_own_and_mere_ones_leave_the_family(tmp_path, capsys):
    twin, unlike = freezeout(0.5), control("lr_only", 0.3)
    train = {**twin, "bn": "train"}
    arms = [(twin, 0.0), (control("lr_only"), 0.05), (control("freeze_only"), -0.05), (train, 0.0), (unlike, 0.0)]
    made_panel(tmp_path, arms)
    (found,) = judged_panels(tmp_path)
    told = [(found.name(pair.control), pair.what, pair.word) for pair in found.cells.pairs]
    assert told == [
        ("lr_only cubic scaled t_0=0.5", "rates only", "worse"),
        ("freeze_only cubic t_0=0.5", "freezing only", "better"),
        ("FreezeOut cubic scaled bn=train t_0=0.5", "bn=train", "cannot tell"),
    ]
    assert [found.name(c) for c in found.cells.family] == [
        "FreezeOut cubic scaled t_0=0.5",
        "freeze_only cubic t_0=0.5",
        "lr_only cubic scaled t_0=0.3",
    ]
    main(["verdicts", "--runs", str(tmp_path)])
    assert "control (rates only): lr_only cubic scaled t_0=0.5 against FreezeOut cubic" in " ".join(
        capsys.readouterr().out.split()
    )


@pytest.mark.parametrize(
    "strategy", [freezeout(0.5), {"name": "freeze_only", "t_0": 0.5, "how_scale": "cubic"}], ids=lambda one: one["name"]
)
def test_views_are_set_against_fresh_crops_and_stay_in_the_family(strategy):
    label = {"epochs": 10, "strategy": strategy}
    labels = [json.dumps(one) for one in ({**label, "views": 2}, label, {**label, "views": 1, "views_from": 0.5})]
    (pair,) = pairs(labels, np.array([[0.12, 0.0, 0.0], [0.09, 0.0, 0.0], [0.11, 0.0, 0.0]]))
    assert (pair.control, pair.twin, pair.what, pair.word) == (0, 1, "views=2", "worse")
    assert pair.what not in ONLY_CONTROLS


@pytest.mark.parametrize(("views_from", "is_pair"), [(0.125, True), (0.5, False), (None, False)])
def test_rates_alone_have_the_views_of_their_twin_where_these_begin_as_its_stage_0_freezes(views_from, is_pair):
    """Views begin with the first frozen stage: without one they are told when."""
    own = {"views": 2} | ({} if views_from is None else {"views_from": views_from})
    arms = ({"strategy": control("lr_only"), **own}, {"strategy": freezeout(0.5), "views": 2})
    z = np.array([[0.12, 0.0], [0.09, 0.0], [0.11, 0.0]])
    found = pairs([json.dumps({"epochs": 10, **arm}) for arm in arms], z)
    assert [pair.what for pair in found] == (["rates only"] if is_pair else [])


def test_arms_of_two_sweeps_without_a_common_seed_are_no_pair_and_a_twin_that_did_not_run_is_one():
    labels = [json.dumps({"epochs": 10, "strategy": one}) for one in (control("lr_only"), freezeout(0.5))]
    gone = float("nan")
    assert not pairs(labels, np.array([[0.1, gone], [gone, 0.1]]))
    (pair,) = pairs(labels, np.array([[0.1, gone], [0.1, gone]]))
    assert (pair.word, pair.n) == ("under 3 seeds", 0)
