"""Axes as wide as the data need."""

from __future__ import annotations

import math

import pytest

from analysis.intervals import MARGIN, ROOM, limits


def test_an_interval_of_sane_width_is_shown_whole():
    low, high = limits([1.0, 3.0], [0.5, 3.5])
    assert low < 0.5
    assert high > 3.5


def test_an_interval_many_times_the_spread_of_the_data_is_cut():
    low, high = limits([1.0, 3.0], [-100.0, 200.0])
    span = 2.0 * (1 + 2 * ROOM)
    assert high - low == pytest.approx(span * (1 + 2 * MARGIN))
    assert low < 1 < 3 < high


def test_an_axis_does_not_go_where_nothing_can_be():
    assert limits([1.0, 3.0], [-5.0, 9.0], (0.0, math.inf))[0] == 0.0
    assert limits([90.0, 99.0], [80.0, 120.0], (0.0, 100.0))[1] == pytest.approx(100, abs=1)


def test_a_point_at_the_bound_keeps_its_marker_inside():
    low, _ = limits([0.0, 3.0], [], (0.0, math.inf))
    assert -0.5 < low < 0


@pytest.mark.parametrize("values", [[2.0], [0.0], [2.0, math.nan]])
def test_one_value_has_an_axis_of_some_width(values):
    low, high = limits(values, [math.nan])
    assert low < values[0] < high
