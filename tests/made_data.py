"""Data sets for tests: small pictures, files of them, and what a set says when it refuses to load."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from freezeout.data import DATASETS, load
from freezeout.data.source import InMemory

# Values of the fields that have no default, for schemas that are only looked at.
GIVEN = {"root": "data", "target": "package.module:function", "train": ["train.npz"]}


def source(name: str, **fields):
    return load(name, DATASETS[name](**fields))


def complaint(name: str, **fields) -> str:
    """The one line with which a data set refuses to load."""
    with pytest.raises(ValueError, match=r"\S") as refusal:
        source(name, **fields)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def pictures(n: int, classes: int = 10, side: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images of random pixels, x uint8 (n, side, side, 3), and labels y (n,) that count through the classes."""
    random = np.random.RandomState(seed)
    return random.randint(256, size=(n, side, side, 3)).astype(np.uint8), np.arange(n) % classes


def save(path: str, x, y) -> str:
    np.savez(path, x=x, y=y)
    return path


def needed(schema: type) -> dict:
    """A value for each field of a schema that has no default."""
    return {
        f.name: GIVEN[f.name]
        for f in dataclasses.fields(schema)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }


def as_large_as(name, fields) -> InMemory:
    """A data set with the sizes that CIFAR has, and no images."""
    classes, image, sizes = fields.outline
    nothing = (torch.empty(0, 3, *image, dtype=torch.uint8), torch.empty(0, dtype=torch.int64))
    return InMemory(
        name=name,
        classes=classes,
        image=image,
        sizes=sizes,
        fingerprint=name,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        tensors=dict.fromkeys(("train", "validation", "test"), nothing),
    )
