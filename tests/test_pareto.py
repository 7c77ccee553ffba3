"""The front is what no other configuration beats on both counts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.pareto import Point, dominates, front

# Few distinct values, so that exact ties are common; NaN among them.
VALUES = st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, math.nan])
POINTS = st.lists(st.builds(Point, name=st.just("p"), x=VALUES, error=VALUES), max_size=12)
EITHER = st.booleans()


@given(POINTS, EITHER)
def test_no_point_of_the_front_is_dominated(points, more):
    members = front(points, more_is_better=more).members
    assert not any(dominates(q, p, more_is_better=more) for p in members for q in points)


@given(POINTS, EITHER)
def test_every_other_point_is_dominated_by_one_of_the_front(points, more):
    found = front(points, more_is_better=more)
    assert all(any(dominates(q, p, more_is_better=more) for q in found.members) for p in found.dominated)


@given(POINTS, EITHER)
def test_every_point_is_a_member_or_dominated_or_undefined_and_only_one_of_them(points, more):
    found = front(points, more_is_better=more)
    parts = [*found.members, *found.dominated, *found.undefined]
    assert sorted(map(repr, parts)) == sorted(map(repr, points))
    assert all(math.isnan(p.x) or math.isnan(p.error) for p in found.undefined)


@given(POINTS)
def test_the_front_of_seconds_is_the_front_of_savings_mirrored(points):
    mirrored = [Point(p.name, -p.x, p.error) for p in points]
    left, right = front(points), front(mirrored, more_is_better=False)
    assert sorted((p.x, p.error) for p in left.members) == sorted((-p.x, p.error) for p in right.members)


def test_along_the_front_more_saving_costs_more_error():
    members = front([Point("a", 0.4, 5.0), Point("b", 0.0, 2.0), Point("c", 0.2, 3.0), Point("d", 0.1, 4.0)]).members
    assert [p.name for p in members] == ["b", "c", "a"]


def test_of_two_equal_points_both_are_on_the_front():
    assert len(front([Point("a", 0.2, 3.0), Point("b", 0.2, 3.0)]).members) == 2


@pytest.mark.parametrize(("better", "worse"), [((0.2, 2.0), (0.2, 3.0)), ((0.3, 3.0), (0.2, 3.0))])
def test_a_tie_on_one_count_is_decided_by_the_other(better, worse):
    found = front([Point("worse", *worse), Point("better", *better)])
    assert [p.name for p in found.members] == ["better"]


def test_no_points_have_an_empty_front():
    assert front([]).members == ()
