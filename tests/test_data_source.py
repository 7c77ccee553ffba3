"""A set held in memory: its pixels, its statistics, its batches and its name."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from made_data import pictures, source
from torchvision.transforms.v2 import functional

from freezeout.data.source import eval_order, fingerprint


def test_a_set_resizes_as_torchvision_resizes_each_image():
    plain, resized = source("digits"), source("digits", size=32)
    assert resized.image == (32, 32)
    assert resized.pad == 4
    assert resized.fingerprint != plain.fingerprint
    for i in (0, 1000, 1436):
        expected = functional.resize(plain.tensors["train"][0][i], [32, 32], antialias=True)
        assert torch.equal(resized.tensors["train"][0][i], expected)


def test_mean_and_deviation_are_those_of_the_training_pixels(tmp_path):
    x, y = pictures(40)
    x[..., 1] //= 2
    x[..., 2] = 7
    np.savez(tmp_path / "train.npz", x=x, y=y)
    npz = source("npz", train=[str(tmp_path / "train.npz")], validation=10)
    pixels = x[:30].reshape(-1, 3) / 255
    assert npz.mean == pytest.approx(pixels.mean(0))
    assert npz.std == pytest.approx([*pixels.std(0)[:2], 1.0])


def test_batches_are_the_rows_of_the_order():
    digits = source("digits").to("cpu")
    order = torch.tensor([[3, 1, 2], [1000, 0, 3]])
    images, labels = digits.tensors["train"]
    served = list(digits.batches("train", order))
    assert len(served) == 2
    for row, (x, y) in zip(order, served, strict=True):
        assert x.dtype == torch.uint8
        assert y.dtype == torch.int64
        assert torch.equal(x, images[row])
        assert torch.equal(y, labels[row])


def test_evaluation_sees_every_image_once_in_order_with_a_short_last_batch():
    digits = source("digits")
    order = eval_order(360, 100)
    assert [len(row) for row in order] == [100, 100, 100, 60]
    labels = torch.cat([y for _, y in digits.batches("test", order)])
    assert torch.equal(labels, digits.tensors["test"][1])


def test_the_fingerprint_tells_pixels_labels_and_splits_apart_but_not_memory_layouts():
    x, y = pictures(20)
    splits = {"train": (x[:10], y[:10]), "test": (x[10:], y[10:])}
    name = fingerprint(splits, (32, 32))
    same = {"train": (np.asfortranarray(x[:10]), y[:10].astype(np.uint8)), "test": (x[10:], y[10:].astype(">i4"))}
    assert fingerprint(same, (32, 32)) == name
    pixel, label = x.copy(), y.copy()
    pixel[3, 2, 1, 0] ^= 1
    label[3] = 9
    others = [
        {**splits, "train": (pixel[:10], y[:10])},
        {**splits, "train": (x[:10], label[:10])},
        {"train": (x[:9], y[:9]), "test": (x[9:], y[9:])},
        {"train": splits["train"], "validation": splits["test"]},
    ]
    assert len({name, fingerprint(splits, (16, 16)), *(fingerprint(other, (32, 32)) for other in others)}) == 6


def test_images_that_are_shrunk_have_a_fingerprint_of_their_own_and_others_keep_theirs():
    """Earlier versions shrank to other pixels under the digest that is computed here."""

    def earlier(image):
        digest = hashlib.sha256(f"{image}".encode())
        digest.update(f"train {x.shape}".encode() + x.tobytes() + y.astype("<i8").tobytes())
        return digest.hexdigest()

    x, y = pictures(3, side=8)
    now = {image: fingerprint({"train": (x, y)}, image) for image in ((8, 8), (16, 16), (8, 4), (4, 8), (4, 4))}
    assert [image for image in now if now[image] == earlier(image)] == [(8, 8), (16, 16)]
    assert len(set(now.values())) == 5
