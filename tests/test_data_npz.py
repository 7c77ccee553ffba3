"""numpy archives as data sets: joined, split, and refused by file and in words where they are not images."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import torch
from made_data import complaint, pictures, save, source
from omegaconf import OmegaConf

from freezeout.data import DATASETS


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_npz_files_of_a_split_are_joined_in_order_and_found_from_the_working_directory(here):
    x, y = pictures(200)
    parts = [save("a.npz", x[:120], y[:120].astype(np.uint8)), save("b.npz", x[120:], y[120:])]
    npz = source("npz", train=parts, test=[save("test.npz", *pictures(50, seed=1))], validation=50)
    assert npz.sizes == {"train": 150, "validation": 50, "test": 50}
    assert (npz.classes, npz.image) == (10, (32, 32))
    together = torch.cat([npz.tensors[split][0] for split in ("train", "validation")])
    assert torch.equal(together, torch.from_numpy(x).permute(0, 3, 1, 2))


def test_npz_files_may_lack_a_test_set_or_give_all_training_images_to_training(here):
    train, test = save("train.npz", *pictures(200)), save("test.npz", *pictures(50, seed=1))
    assert source("npz", train=[train], validation=50).sizes == {"train": 150, "validation": 50, "test": 0}
    assert source("npz", train=[train], test=[test], split="test").sizes == {"train": 200, "validation": 0, "test": 50}
    with pytest.raises(ValueError, match=r"dataset\.split=test: needs test images"):
        DATASETS["npz"](train=[train], split="test")
    with pytest.raises(ValueError, match=r"dataset\.train=\[\]: name at least one file"):
        DATASETS["npz"](train=[])


def test_a_missing_npz_file_is_named_with_the_folder_it_was_looked_for_in(here):
    words = complaint("npz", train=["nowhere.npz"])
    assert words.startswith("nowhere.npz: not found from ")
    assert str(here) in words


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "one array", "pickle", "flipped byte"])
def test_a_damaged_npz_file_is_named_without_the_advice_of_numpy(here, damage):
    bad = here / "bad.npz"
    save("bad.npz", *pictures(20))
    content = bytearray(bad.read_bytes())
    if damage == "cut":
        bad.write_bytes(content[: len(content) // 2])
    elif damage == "text":
        bad.write_text("x,y\n1,2\n")
    elif damage == "empty":
        bad.write_bytes(b"")
    elif damage == "one array":
        with bad.open("wb") as file:
            np.save(file, np.zeros(3))
    elif damage == "pickle":
        np.savez(bad, x=np.array([{}], dtype=object), y=np.zeros(1, int))
    else:
        content[5000] ^= 255
        bad.write_bytes(content)
    said = complaint("npz", train=["bad.npz"])
    valid = "" if damage in ("text", "empty", "one array") else "valid "
    assert said.startswith(f"bad.npz: not a{' ' if valid else 'n '}{valid}npz archive")
    assert "allow_pickle" not in said


def test_an_archive_of_something_else_than_arrays_is_named(here):
    with zipfile.ZipFile("bad.npz", "w") as archive:
        archive.writestr("x", "text")
        archive.writestr("y", "text")
    assert complaint("npz", train=["bad.npz"]).startswith("bad.npz: x is |S4 (): must be uint8")


@pytest.mark.parametrize("given", ["nope.npz", "[3]", "{a: b.npz}"])
def test_a_split_that_is_no_list_of_files_is_refused_with_an_example(given):
    words = OmegaConf.from_dotlist([f"train={given}"])
    composed = OmegaConf.merge(OmegaConf.structured(DATASETS["npz"]), words)
    with pytest.raises(
        ValueError, match=r"dataset\.train=.*: must be a list of files, as in dataset\.train=\[train\.npz\]"
    ):
        OmegaConf.to_object(composed)


X, Y = pictures(200)
MISTAKES = {
    "images kept as floats": (X / 255, Y, "x is float64 (200, 32, 32, 3): must be uint8 (n, height, width, 3)"),
    "channels first": (X.transpose(0, 3, 1, 2), Y, "x is uint8 (200, 3, 32, 32): must be uint8 (n, height, width, 3)"),
    "grey images": (X[..., 0], Y, "x is uint8 (200, 32, 32): must be uint8"),
    "no images": (X[:0], Y[:0], "x is uint8 (0, 32, 32, 3): must be"),
    "one-hot labels": (X, np.eye(10, dtype=int)[Y], "y is int64 (200, 10): must be integers (n,)"),
    "labels kept as floats": (X, Y / 1.0, "y is float64 (200,): must be integers (n,)"),
    "fewer labels than images": (X, Y[:-1], "200 images and 199 labels"),
    "a negative label": (X, Y - 1, "a label is -1: classes are counted from 0"),
    "labels counted from 1": (X, Y + 1, "no training image is of class 0"),
    "a stray label": (X, np.where(np.arange(200) == 7, 15, Y), "no training image is of class 10"),
    "an absurd label": (X, np.where(np.arange(200) == 7, 10**6, Y), "no training image is of class 10"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mislabelled_or_misshapen_arrays_are_refused_by_file_and_in_words(here, mistake):
    x, y, words = MISTAKES[mistake]
    said = complaint("npz", train=[save("bad.npz", x, y)], validation=50)
    assert said.startswith("bad.npz: ")
    assert words in said


def test_an_npz_file_without_labels_is_told_what_it_holds(here):
    np.savez("bad.npz", x=X, labels=Y)
    assert complaint("npz", train=["bad.npz"]) == "bad.npz: holds x, labels, no y: save it with x= and y="


@pytest.mark.parametrize("files", [{"train": ["a.npz"], "test": ["a.npz"]}, {"train": ["a.npz", "a.npz"]}])
def test_a_file_that_is_named_twice_is_refused_before_it_is_read(files):
    with pytest.raises(ValueError, match=r"^dataset\.train, dataset\.test: a\.npz is named twice"):
        DATASETS["npz"](**files)


def test_files_whose_shapes_or_classes_disagree_are_named(here):
    ten, hundred = save("ten.npz", *pictures(2000, 10)), save("hundred.npz", *pictures(2000, 100))
    small = save("small.npz", *pictures(200, side=28))
    rows = {"split": "test"}
    said = complaint("npz", train=[ten], test=[small], **rows)
    assert said == "small.npz: images of 28 x 28 pixels, but ten.npz has 32 x 32: must agree"
    assert complaint("npz", train=[ten, small], test=[hundred], **rows).startswith("small.npz: images of 28 x 28")
    assert complaint("npz", train=[ten], test=[hundred], **rows).startswith("hundred.npz: label 10 occurs in no tra")
    assert complaint("npz", train=[hundred], test=[ten], **rows).startswith("ten.npz: labels reach 9, but 99 in hu")


def test_a_class_may_be_missing_from_a_handful_of_images_by_chance(here):
    train, test = save("train.npz", *pictures(200)), save("test.npz", X[:9], Y[:9])
    assert source("npz", train=[train], test=[test], split="test").classes == 10


def test_a_validation_set_as_large_as_the_training_set_is_refused(here):
    said = complaint("npz", train=[save("train.npz", X, Y)], validation=200)
    assert said.startswith("dataset.validation=200 leaves none of 200 training images: lower it")


def test_a_tenth_of_the_training_images_is_held_out_where_no_number_is_given(here):
    train, test = save("train.npz", X, Y), save("test.npz", *pictures(50, seed=1))
    npz = source("npz", train=[train], test=[test])
    assert npz.sizes == {"train": 180, "validation": 20, "test": 50}
    assert torch.equal(npz.tensors["validation"][0], torch.from_numpy(X[180:]).permute(0, 3, 1, 2))


def test_a_large_set_without_a_number_is_named_as_with_the_5000_of_earlier_versions(here):
    train, test = save("train.npz", *pictures(50_000, side=2)), save("test.npz", *pictures(50, side=2, seed=1))
    today, earlier = (source("npz", train=[train], test=[test], **given) for given in ({}, {"validation": 5000}))
    assert today.fingerprint == earlier.fingerprint
