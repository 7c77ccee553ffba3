"""The evaluation images' part of a contrast's variance."""

from __future__ import annotations

import base64
import math

import numpy as np
import pytest

from analysis.images import image_variance, wrong_images
from analysis.verdicts import judge

FORM = np.array([-1.0, 1.0])


def drawn(rng: np.random.Generator, seeds: int, images: int, shared: float) -> tuple[np.ndarray, dict]:
    """Two cells that each get 20 % wrong; `shared` of the images are as hard for one cell as they can be, always."""
    hard = [rng.random(images) < 0.2 for _ in FORM]
    wrong = {}
    for s in range(seeds):
        for c in range(2):
            luck = rng.random(images) < 0.2
            wrong[s, c] = np.where(rng.random(images) < shared, hard[c], luck)
    return np.array([[math.log(100 * wrong[s, c].mean()) for c in range(2)] for s in range(seeds)]), wrong


@pytest.mark.parametrize("shared", [0.0, 0.8])
def test_it_is_the_scatter_of_the_contrast_over_draws_of_images_that_seeds_do_not_show(shared):
    rng, found, estimates, of_seeds = np.random.default_rng(0), [], [], []
    for _ in range(400):
        z, wrong = drawn(rng, 4, 1000, shared)
        found.append(image_variance(FORM, z, wrong))
        each = z @ FORM
        estimates.append(each.mean())
        of_seeds.append(each.var(ddof=1) / 4)
    expected = np.var(estimates) - np.mean(of_seeds)
    assert np.mean(found) == pytest.approx(expected, abs=0.15 * np.var(estimates))
    assert (np.mean(found) > np.mean(of_seeds)) == (shared > 0)


def test_the_second_interval_is_the_wider_one_and_needs_every_cell():
    z, wrong = drawn(np.random.default_rng(0), 4, 1000, 0.8)
    (one,) = judge((1.0,), z[:, :1], [1.0], z[:, 1:], wrong=wrong).verdicts
    assert one.high_images - one.low_images > one.high - one.low
    (none,) = judge((1.0,), z[:, :1], [1.0], z[:, 1:]).verdicts
    assert math.isnan(none.low_images)
    del wrong[0, 1], wrong[1, 1], wrong[2, 1]
    assert math.isnan(image_variance(FORM, z, wrong))


def record(wrong: np.ndarray, **changes) -> dict:
    packed = base64.b64encode(np.packbits(~wrong)).decode()
    return {"split": "test", "data": {"test": len(wrong)}, "correct": {"test": packed}, **changes}


def test_the_bits_of_a_record_are_read_in_the_images_order():
    wrong = np.random.default_rng(0).random(1003) < 0.1
    assert (wrong_images(record(wrong)) == wrong).all()


@pytest.mark.parametrize(
    "changes",
    [{"correct": None}, {"split": "validation"}, {"data": {"test": 2000}}, {"data": None}, {"correct": {"test": "?"}}],
    ids=str,
)
def test_a_record_without_whole_bits_has_none(changes):
    assert wrong_images(record(np.zeros(1000, dtype=bool), **changes)) is None
