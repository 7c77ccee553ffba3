"""scikit-learn's digits: what is in them, how they are split, and that they are the same on every machine."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_data import source

from freezeout.data import DATASETS


def test_digits_are_1437_to_train_and_360_to_test_with_every_class_in_proportion():
    digits = source("digits")
    assert digits.sizes == {"train": 1437, "validation": 0, "test": 360}
    assert (digits.classes, digits.image, digits.pad, digits.evaluation_split) == (10, (8, 8), 1, "test")
    train, test = (torch.bincount(digits.tensors[split][1]) for split in ("train", "test"))
    assert (test / (train + test) - 360 / 1797).abs().max() < 0.01


def test_digits_split_every_image_of_scikit_learn_once_and_scale_it_to_255():
    from sklearn.datasets import load_digits

    digits = source("digits")
    images = torch.cat([digits.tensors[split][0] for split in ("train", "test")])
    assert images.dtype == torch.uint8
    assert torch.equal(images[:, 0], images[:, 1])
    assert torch.equal(images[:, 0], images[:, 2])
    shades = (images[:, 0].flatten(1) / 255 * 16).round().to(torch.uint8).numpy()
    assert sorted(map(bytes, shades)) == sorted(map(bytes, load_digits().data.astype(np.uint8)))


@pytest.mark.parametrize("size", [None, 16])
def test_the_outline_of_the_digits_is_that_of_the_loaded_set(size):
    assert DATASETS["digits"](size=size).outline == source("digits", size=size).outline


def test_the_fingerprint_of_the_digits_is_the_same_on_every_machine():
    assert source("digits").fingerprint == "2199d454658e133f5bd41f755da6dfd4670c4b6ad80afc8323dfa7212f67f1c4"
