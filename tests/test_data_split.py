"""Which images train: the last are held out, and of the others a limit keeps as many of each class."""

from __future__ import annotations

import numpy as np
import pytest
from made_data import pictures

from freezeout.data import DATASETS
from freezeout.data.split import balanced, training_splits

X, Y = pictures(100, classes=10, side=2)
PINNED = [2, 7, 26, 30, 51, 54, 55, 60, 71, 78, 93, 99]


def split(x=X, y=Y, classes=10, **fields):
    return training_splits(DATASETS["npz"](train=["a.npz"], **fields), x, y, classes)


def test_without_a_limit_all_images_train_that_are_not_held_out():
    splits = split(validation=20)
    assert np.array_equal(splits["train"][0], X[:80])
    assert np.array_equal(splits["validation"][1], Y[80:])
    assert list(split(split="test", test=["b.npz"])) == ["train"]


@pytest.mark.parametrize("limit", [10, 15, 37, 80])
def test_a_limit_keeps_as_many_of_each_class_to_within_one_in_their_order(limit):
    splits = split(validation=20, limit=limit)
    images, labels = splits["train"]
    counts = np.bincount(labels, minlength=10)
    assert (len(images), counts.sum()) == (limit, limit)
    assert counts.max() - counts.min() <= 1
    place = {image.tobytes(): i for i, image in enumerate(X)}
    rows = [place[image.tobytes()] for image in images]
    assert rows == sorted(set(rows)), "each image once, in the original order"
    assert max(rows) < 80, "none that is held out"
    assert np.array_equal(labels, Y[rows])
    assert np.array_equal(splits["validation"][0], X[80:])


def test_a_draw_is_the_same_every_time_and_holds_the_smaller_ones():
    draws = [balanced(Y, count, 10) for count in (12, 30, 57)]
    assert np.array_equal(draws[0], balanced(Y, 12, 10))
    assert set(draws[0]) < set(draws[1]) < set(draws[2])
    assert not np.array_equal(draws[1], np.arange(30)), "drawn, not the first ones"
    assert balanced(Y, 12, 10).tolist() == PINNED, "runs that were trained on it must keep their images"


def test_a_limit_that_cannot_be_kept_is_one_line():
    for limit in (9, 81):
        rule = r"must be from 10 \(one per class\) to 80 \(those left for training\); null for all"
        with pytest.raises(ValueError, match=rf"^dataset\.limit={limit}: {rule}$"):
            split(validation=20, limit=limit)
    rare = np.where((Y == 3) & (np.arange(100) > 20), 4, Y)
    with pytest.raises(
        ValueError, match=r"^dataset\.limit=40: takes 4 training images of each class, but class 3 has 2"
    ):
        split(y=rare, validation=20, limit=40)


def test_images_in_the_order_of_their_classes_are_not_held_out_unseen():
    ordered = np.sort(Y)
    with pytest.raises(ValueError, match=r"^dataset\.validation=10: the last 10 .* 1 of 10 classes.*shuf") as refusal:
        split(y=ordered)
    assert "\n" not in str(refusal.value)
    few = np.random.RandomState(0).randint(100, size=400)  # by chance the held-out images lack many of 100 classes
    x = pictures(400, side=2)[0]
    assert len(set(few[360:])) < 40
    assert len(split(x, few, classes=100)["validation"][1]) == 40
