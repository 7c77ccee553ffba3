"""Random data for timing: marked as such, and always the same."""

from __future__ import annotations

from made_data import source

from freezeout.data import DATASETS


def test_synthetic_data_says_so_and_is_always_the_same():
    first, second = (source("synthetic", size=16, classes=7, train=50, test=20) for _ in range(2))
    assert first.synthetic
    assert not source("digits").synthetic
    assert first.fingerprint == second.fingerprint
    assert (first.classes, first.image, first.sizes) == (7, (16, 16), {"train": 50, "validation": 0, "test": 20})
    assert first.tensors["train"][1].max() < 7


def test_the_outline_of_synthetic_data_is_that_of_the_loaded_set():
    fields = {"size": 16, "classes": 7, "train": 50, "test": 20}
    assert DATASETS["synthetic"](**fields).outline == source("synthetic", **fields).outline
