"""A function of the user's own as a data set."""

from __future__ import annotations

import sys

import pytest
from made_data import complaint, source


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module `my_images` in the working directory, as a user would write it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    (tmp_path / "my_images.py").write_text(
        "import numpy as np\n"
        "def make(n=40, splits=('train', 'test'), classes=4):\n"
        "    x, y = np.full((n, 8, 8, 3), 9, np.uint8), np.arange(n) % classes\n"
        "    return {split: (x, y) for split in splits}\n"
        "def wrong():\n"
        "    return 3\n"
        "def lookup():\n"
        "    return {}['x']\n"
        "def single():\n"
        "    return make() | {'test': 3}\n"
    )
    yield
    sys.modules.pop("my_images", None)


def test_a_function_of_the_users_own_is_a_data_set(module):
    own = source("python", target="my_images:make")
    assert own.sizes == {"train": 40, "validation": 0, "test": 40}
    assert (own.classes, own.image) == (4, (8, 8))
    three = ("train", "validation", "test")
    own = source("python", target="my_images:make", options={"splits": three, "classes": 2}, size=16)
    assert own.sizes == dict.fromkeys(three, 40)
    assert (own.classes, own.image, own.evaluation_split) == (2, (16, 16), "validation")


@pytest.mark.parametrize(
    ("target", "options", "words"),
    [
        ("no_such_module:make", {}, "cannot import no_such_module (No module named 'no_such_module')"),
        ("my_images:mak", {}, "my_images has no function mak; did you mean make? Available: make, wrong, lookup"),
        ("my_images:make", {"years": 3}, "with years: got an unexpected keyword argument 'years'; its arguments: n, "),
        ("my_images:lookup", {}, "lookup: raised KeyError: 'x' (in its line 8)"),
        ("my_images:wrong", {}, 'must return {"train": (x, y), "test": (x, y)}'),
        ("my_images:make", {"splits": ("train",)}, 'must return {"train": (x, y), "test": (x, y)}'),
        (
            "my_images:make",
            {"splits": ("train", "test", "val")},
            "returned val; the splits are train, validation",
        ),
        ("my_images:single", {}, "test must be a pair (x, y) of numpy arrays"),
        ("my_images:make", {"n": 0}, "train: x is uint8 (0, 8, 8, 3)"),
    ],
)
def test_a_function_that_is_missing_or_returns_something_else_is_named(module, target, options, words):
    said = complaint("python", target=target, options=options)
    assert said.startswith(f"dataset.target={target}")
    assert words in said
