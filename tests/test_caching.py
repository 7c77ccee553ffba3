"""What remembering saves and what to keep: arithmetic whose answers are known."""

from __future__ import annotations

import math

import pytest

from freezeout.savings.caching import (
    NOTHING,
    UNLIMITED,
    Frozen,
    Kept,
    Tier,
    Visits,
    choose,
    epochs_of,
    per_visit,
    remembered,
)
from freezeout.schedule import Schedule

# Three stages: dear and large, cheap and small, cheap and large.
FROZEN = Frozen(forward=(10.0, 1.0, 1.0), bytes=(100, 20, 100))


def test_with_memory_for_all_the_deepest_is_kept() -> None:
    assert choose(NOTHING, 3, 50, FROZEN, [UNLIMITED]) == Kept(3, (50,))
    assert choose(NOTHING, 1, 50, FROZEN, [UNLIMITED]) == Kept(1, (50,))


def test_deeper_is_not_better_where_images_share_the_memory() -> None:
    """1,000 bytes hold 10 images at depth 3 (120 saved) and 50 at depth 2 (550)."""
    assert choose(NOTHING, 3, 50, FROZEN, [Tier(1000)]) == Kept(2, (50,))


def test_what_is_dearer_to_read_than_to_compute_is_not_kept() -> None:
    assert choose(NOTHING, 3, 50, FROZEN, [Tier(read=0.2)]) == Kept(2, (50,)), "4 of 11 at depth 2, 20 of 12 at 3"
    assert choose(NOTHING, 3, 50, FROZEN, [Tier(read=1.0)]) == NOTHING


def test_each_tier_takes_what_the_one_before_has_no_place_for() -> None:
    tiers = [Tier(200), Tier(400, read=0.01), Tier()]
    kept = choose(NOTHING, 2, 50, FROZEN, tiers)
    assert kept == Kept(2, (10, 20, 20))
    assert per_visit(kept, FROZEN, tiers) == pytest.approx(50 * 11 - 20 * 20 * 0.01)


def test_a_tier_that_does_not_pay_is_left_out() -> None:
    assert choose(NOTHING, 2, 50, FROZEN, [Tier(200), Tier(read=1.0), Tier(1000)]).images == (10, 0, 40)


def test_memory_that_cannot_be_had_leaves_the_others_as_they_are() -> None:
    nothing = Tier(1000, read=math.inf, write=math.inf)
    assert choose(NOTHING, 3, 50, FROZEN, [Tier(), nothing]) == Kept(3, (50, 0))
    assert choose(NOTHING, 3, 50, FROZEN, [nothing, Tier()]) == Kept(3, (0, 50))
    assert choose(Kept(2, (50, 0)), 3, 50, FROZEN, [Tier(), nothing]) == Kept(3, (50, 0))


def test_entries_stay_as_they_are_where_writing_anew_costs_more_than_it_saves() -> None:
    held = Kept(2, (50,))
    assert choose(held, 3, 50, FROZEN, [Tier(write=0.05)]) == held, "one saved, five for writing"
    assert choose(held, 3, 50, FROZEN, [Tier(write=0.005)]) == Kept(3, (50,))


def test_an_output_that_cannot_be_kept_is_not() -> None:
    assert choose(NOTHING, 2, 50, Frozen((10.0, 1.0), (100, 0)), [UNLIMITED]) == Kept(1, (50,))


def test_a_view_is_visited_again_while_epochs_are_left() -> None:
    visits = Visits(epochs=10, views=3)
    assert [visits.again(e) for e in range(10)] == [True] * 7 + [False] * 3


FREEZING = Schedule(freeze=(0.3, 0.5, 0.7, 1.0), anneal=(1.0,) * 4)


def run(views: int, first: int = 0, tier: Tier = UNLIMITED) -> tuple[list[tuple[int, int, int]], float]:
    """Ten epochs of five steps of ten of 50 images: (start, depth read, depth kept) of each, and what is saved."""
    kwargs = {"first": first, "views": views, "images": 50, "frozen": FROZEN, "tiers": [tier]}
    epochs = epochs_of(FREEZING, 50, 5, **kwargs)
    saved = remembered(FREEZING, 50, 5, batch=10, **kwargs)
    return [(e.start, e.read.depth, e.kept.depth) for e in epochs], saved


def test_one_view_is_read_from_the_second_frozen_epoch_on() -> None:
    epochs, saved = run(views=1)
    assert epochs == [(15, 0, 1), (20, 1, 1), (25, 1, 2), (30, 2, 2), (35, 2, 3), (40, 3, 3), (45, 3, 0)]
    assert saved == pytest.approx(50 * (10 + 10 + 11 + 11 + 12 + 12))


def test_with_more_views_fewer_visits_hit() -> None:
    epochs, saved = run(views=3)
    assert epochs == [(15, 0, 1), (20, 0, 1), (25, 0, 2), (30, 1, 2), (35, 1, 0), (40, 2, 0), (45, 2, 0)]
    assert saved == pytest.approx(50 * (10 + 10 + 11 + 11))
    assert run(views=7)[1] == 0.0


def test_views_that_begin_later_are_remembered_later() -> None:
    assert run(views=1, first=6)[0][0] == (30, 0, 2)


def test_reads_and_writes_are_subtracted() -> None:
    tier = Tier(read=0.01, write=0.01)
    epochs, saved = run(views=1, tier=tier)
    assert [kept for _, _, kept in epochs] == [1, 1, 2, 2, 2, 2, 0], "depth 3 is not worth its bytes"
    written = 50 * 0.01 * (100 + 20)
    read = 50 * 0.01 * (2 * 100 + 4 * 20)
    assert saved == pytest.approx(50 * (2 * 10 + 4 * 11) - written - read)


def test_dropped_images_are_no_hits() -> None:
    """Of 54 images four are dropped in each epoch: most of them were seen the time before, but not all."""
    kwargs = {"first": 0, "views": 1, "images": 54, "frozen": FROZEN}
    saved = remembered(FREEZING, 50, 5, batch=10, **kwargs)
    assert saved == pytest.approx(50 * 50 / 54 * (10 + 10 + 11 + 11 + 12 + 12))
