"""Profiled savings held against the seconds of the runs' own steps: where they are apart, time is known less well."""

from __future__ import annotations

from itertools import pairwise

import pytest
from made_profiles import H200, SECONDS, record_of, run, steps_of, write_profile
from made_records import BASELINE, freezeout, shortened, write_manifest

from analysis.archive import compact
from analysis.judging import judged_panels
from analysis.profiles import off_profile, read_profile
from analysis.verdict_text import verdict_text

XEON = "Xeon 8480"  # what the made-up runs were trained on
EARLY = freezeout(0.5)
SLOWER = (0.010, 0.0095, 0.008, 0.006, 0.005)  # frozen steps that save less than the profile's


@pytest.fixture
def root(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def profile(tmp_path):
    return write_profile(tmp_path / "profile.json", device=XEON)


def clocked(root, strategy, seconds=SLOWER, seed=0, factor=1.0, **changes):
    """A run whose blocks took `seconds` a step at each prefix, all of them longer by `factor`."""
    entry = run(root, strategy, seed, **changes)
    record = record_of(root, entry)
    blocks = [
        {**block, "seconds": factor * seconds[block["prefix"]] * (block["step_to"] - block["step_from"])}
        for block in record["prefixes"]
    ]
    return run(root, strategy, seed, prefixes=blocks, **changes)


def off(root, profile, strategy=EARLY, **changes):
    return off_profile(record_of(root, clocked(root, strategy, **changes)), read_profile(profile))


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_what_a_runs_own_steps_say_is_the_difference_of_two_savings_whatever_the_hour(root, profile, factor):
    steps = steps_of(EARLY)
    more = sum(n * (SECONDS[k] - SLOWER[k]) / SECONDS[0] for k, n in steps.items()) / sum(steps.values())
    assert more < -0.05
    assert off(root, profile, factor=factor) == pytest.approx(more)


def test_one_long_block_of_many_changes_nothing(root, profile):
    whole = record_of(root, clocked(root, EARLY, SECONDS))
    (first, *others) = whole["prefixes"]
    thirds = [first["step_from"] + part * (first["step_to"] - first["step_from"]) // 3 for part in range(4)]
    blocks = [
        {"prefix": 0, "step_from": a, "step_to": b, "seconds": (b - a) * SECONDS[0] * (50 if a == 0 else 1)}
        for a, b in pairwise(thirds)
    ]
    record = whole | {"prefixes": [*blocks, *others]}
    for one in (record, compact(record)):  # a packed record has one block a prefix, and keeps their median
        assert off_profile(one, read_profile(profile)) == pytest.approx(0)


def test_what_says_nothing_of_the_profile_is_left_out(root, tmp_path, profile):
    assert off(root, profile, BASELINE) is None, "nothing is frozen"
    assert off(root, profile, shared_device=True) is None
    assert off(root, profile, effective={"cache": True, "views": {"count": 1, "first_epoch": 0}}) is None
    assert off(root, write_profile(tmp_path / "other.json", device=H200)) is None, "the steps of another device"


@pytest.mark.parametrize(("seeds", "wide"), [(2, False), (3, True)])
def test_an_arms_own_steps_bound_its_time_and_no_others(root, profile, seeds, wide):
    entries = []
    for seed in range(seeds):
        entries += [run(root, BASELINE, seed), run(root, shortened(0.5), seed), run(root, shortened(0.75), seed)]
        entries += [clocked(root, EARLY, seed=seed), clocked(root, freezeout(0.8), SECONDS, seed)]
    write_manifest(root, entries)
    (found,) = judged_panels(root, [profile])
    assert found.judgement.time_bound == pytest.approx(0.01)
    bounds = {found.name(c): found.bound(c) for c in found.cells.family}
    own = -off(root, profile)
    assert own > 0.05
    assert bounds == pytest.approx(
        {"FreezeOut cubic scaled t_0=0.5": own if wide else 0.01, "FreezeOut cubic scaled t_0=0.8": 0.01}
    )
    said = " ".join(verdict_text(found).split())
    assert (f"(1 arm only to {100 * own:.1f}, by step times from the runs themselves)" in said) == wide
