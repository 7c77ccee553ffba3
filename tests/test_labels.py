"""Words beside points hide neither the points nor each other, and stay inside the axes."""

from __future__ import annotations

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from analysis.labels import place


@pytest.fixture
def axes():
    figure, axes = plt.subplots(figsize=(6, 4))
    axes.set(xlim=(0, 10), ylim=(0, 10))
    yield axes
    plt.close(figure)


def boxes(axes, words, lines=()):
    place(axes, [(text, x, y, "black") for text, x, y in words], lines)
    axes.figure.draw_without_rendering()
    return [text.get_window_extent() for text in axes.texts]


@pytest.mark.parametrize(("x", "y"), [(0.2, 5), (9.8, 5), (5, 0.2), (5, 9.8), (0.2, 9.8)])
def test_a_word_stays_inside_the_axes(axes, x, y) -> None:
    (box,) = boxes(axes, [("0.8, 20 epochs", x, y)])
    edges = axes.get_window_extent()
    assert edges.x0 <= box.x0
    assert box.x1 <= edges.x1
    assert edges.y0 <= box.y0
    assert box.y1 <= edges.y1


def test_words_of_neighbours_do_not_meet_whatever_their_length(axes) -> None:
    found = boxes(axes, [("0.8, 20 epochs", 5, 5), ("0.5, 20 epochs", 5.3, 5.2), ("0.3", 5.1, 4.7)])
    assert not [pair for pair in combinations(found, 2) if pair[0].overlaps(pair[1])]


def test_a_long_word_is_beside_its_own_interval_and_not_on_it(axes) -> None:
    (box,) = boxes(axes, [("0.8, 20 epochs", 5, 5)], [np.array([[5, 1], [5, 9]])])
    x = axes.transData.transform((5, 5))[0]
    assert x <= box.x0 or box.x1 <= x


@pytest.mark.parametrize("seed", [9, 10, 19, 21])
def test_in_a_crowd_a_word_is_rather_across_a_line_than_across_another_word(axes, seed) -> None:
    rng = np.random.default_rng(seed)
    crowd = [(text, *rng.normal(5, 0.3, 2)) for text in ("0.8", "0.65", "0.5", "0.3", "0.9", "0.7", "0.4")]
    found = boxes(axes, crowd, [np.array([[x, 3], [x, 7]]) for x in (4.2, 5, 5.8)])
    assert not [pair for pair in combinations(found, 2) if pair[0].overlaps(pair[1])]
