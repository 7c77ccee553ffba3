"""Data sets: what is in them, that the same bytes have the same name everywhere, and what is refused in which words."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import os
import pickle
import signal
import subprocess
import sys
import tarfile
import threading
import time
import urllib.error
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from torchvision.datasets import CIFAR10, CIFAR100
from torchvision.transforms.v2 import functional

from freezeout.data import DATASETS, READERS, cifar, fetch, image_folder, load
from freezeout.data.schema import Augment
from freezeout.data.source import eval_order, fingerprint

CONF = Path(__file__).parent.parent / "conf"


def source(name: str, **fields):
    return load(name, DATASETS[name](**fields))


def complaint(name: str, **fields) -> str:
    """The one line with which a data set refuses to load."""
    with pytest.raises(ValueError, match=r"\S") as refusal:
        source(name, **fields)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def pictures(n: int, classes: int = 10, side: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.RandomState(seed)
    return random.randint(256, size=(n, side, side, 3)).astype(np.uint8), np.arange(n) % classes


# ---------------------------------------------------------------------------------------------------------- digits


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


def test_the_fingerprint_of_the_digits_is_the_same_on_every_machine():
    assert source("digits").fingerprint == "2199d454658e133f5bd41f755da6dfd4670c4b6ad80afc8323dfa7212f67f1c4"


# ----------------------------------------------------------------------------------------------- sets held in memory


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


@pytest.mark.parametrize("name", DATASETS)
def test_sides_that_cannot_be_trained_on_are_refused_in_one_line(name):
    given = {"root": "data", "target": "package.module:function", "train": ["train.npz"]}
    given = {f.name: given[f.name] for f in dataclasses.fields(DATASETS[name]) if f.name in given and required(f)}
    for size, rule in ((-1, "at least 2"), (1, "at least 2"), (4097, "at most 4096"), (10**8, "at most 4096")):
        with pytest.raises(ValueError, match=rf"^dataset\.size={size}: must be {rule}$"):
            DATASETS[name](**given, size=size)
    for size in (2, 4096):
        assert DATASETS[name](**given, size=size).size == size


def test_the_smallest_side_can_be_resized_to():
    assert source("digits", size=2).tensors["train"][0].shape == (1437, 3, 2, 2)


def test_synthetic_data_says_so_and_is_always_the_same():
    first, second = (source("synthetic", size=16, classes=7, train=50, test=20) for _ in range(2))
    assert first.synthetic
    assert not source("digits").synthetic
    assert first.fingerprint == second.fingerprint
    assert (first.classes, first.image, first.sizes) == (7, (16, 16), {"train": 50, "validation": 0, "test": 20})
    assert first.tensors["train"][1].max() < 7


# ----------------------------------------------------------------------------------------------------------- CIFAR


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Two small archives in CIFAR's format, taken for the published ones, and no network. Returns their folder."""
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    for reader, label_key, classes in ((CIFAR10, b"labels", 10), (CIFAR100, b"fine_labels", 100)):
        lists = {}
        with tarfile.open(tmp_path / reader.filename, "w:gz") as archive:
            for which, count in (("train_list", 100), ("test_list", 100)):
                lists[which] = []
                for i, (name, _) in enumerate(getattr(reader, which)):
                    x, y = pictures(count, classes, seed=i)
                    content = {b"data": x.transpose(0, 3, 1, 2).reshape(count, -1), label_key: y.tolist()}
                    lists[which].append([name, add(archive, f"{reader.base_folder}/{name}", content)])
            names = {reader.meta["key"].encode(): [str(c) for c in range(classes)]}
            md5 = add(archive, f"{reader.base_folder}/{reader.meta['filename']}", names)
        monkeypatch.setattr(reader, "train_list", lists["train_list"])
        monkeypatch.setattr(reader, "test_list", lists["test_list"])
        monkeypatch.setattr(reader, "meta", {**reader.meta, "md5": md5})
        archived = (tmp_path / reader.filename).read_bytes()
        monkeypatch.setattr(reader, "tgz_md5", hashlib.md5(archived).hexdigest())
    return tmp_path


def refuse(*_, **__):
    raise urllib.error.URLError("Temporary failure in name resolution")


def add(archive: tarfile.TarFile, name: str, content: dict) -> str:
    data = pickle.dumps({key.decode(): value for key, value in content.items()})
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))
    return hashlib.md5(data).hexdigest()


# Python 3.12 and 3.13 announce that 3.14 filters what tarfile unpacks; torchvision asks for no filter.
unpacks = pytest.mark.filterwarnings("ignore:Python 3.14 will:DeprecationWarning")


@unpacks
@pytest.mark.parametrize(("name", "count", "classes"), [("cifar10", 500, 10), ("cifar100", 100, 100)])
def test_the_last_training_images_of_cifar_are_the_validation_set(published, name, count, classes):
    whole = source(name, root=str(published), split="test")
    split = source(name, root=str(published), validation=30)
    assert whole.sizes == {"train": count, "validation": 0, "test": 100}
    assert split.sizes == {"train": count - 30, "validation": 30, "test": 100}
    assert (whole.evaluation_split, split.evaluation_split) == ("test", "validation")
    assert split.classes == classes
    assert torch.equal(split.tensors["validation"][0], whole.tensors["train"][0][-30:])
    assert torch.equal(split.tensors["validation"][1], whole.tensors["train"][1][-30:])
    assert whole.fingerprint != split.fingerprint
    assert torch.equal(whole.tensors["train"][0][0], torch.from_numpy(pictures(1)[0][0]).permute(2, 0, 1))


@unpacks
def test_the_same_pixels_from_cifar_and_from_npz_have_the_same_fingerprint(published):
    whole = source("cifar10", root=str(published), split="test")
    files = {}
    for split in ("train", "test"):
        x, y = whole.tensors[split]
        np.savez(published / f"{split}.npz", x=x.permute(0, 2, 3, 1).numpy(), y=y.numpy())
        files[split] = [str(published / f"{split}.npz")]
    assert source("npz", **files, split="test").fingerprint == whole.fingerprint


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_without_network_it_is_said_what_to_fetch_and_where_to_put_it(published, name):
    file = {"cifar10": "cifar-10-python.tar.gz", "cifar100": "cifar-100-python.tar.gz"}[name]
    words = complaint(name, root=str(published / "empty"))
    assert f"fetch https://www.cs.toronto.edu/~kriz/{file} and put {file} there" in words
    assert str(published / "empty") in words
    assert "name resolution" in words


def test_a_folder_made_for_a_download_that_fails_is_removed_and_one_that_was_there_is_kept(published):
    made, there = published / "made", published / "there"
    there.mkdir()
    for root in (made, there):
        complaint("cifar10", root=str(root))
    assert not made.exists()
    assert there.exists()


def test_jobs_whose_downloads_fail_at_once_leave_no_folder_behind(published, monkeypatch):
    root, downloads, said = published / "shared", [], []

    def download(url, folder, **_):
        downloads.append(url)
        Path(folder).mkdir(exist_ok=True)  # as torchvision's does
        time.sleep(0.1)
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", download)
    jobs = [threading.Thread(target=lambda: said.append(complaint("cifar10", root=str(root)))) for _ in range(3)]
    for thread in jobs:
        thread.start()
    for thread in jobs:
        thread.join()
    assert len(said) == len(downloads) == 3
    assert all("no network" in line for line in said)
    assert not root.exists()


def test_a_damaged_archive_is_called_corrupt(published):
    archive = published / CIFAR10.filename
    archive.write_bytes(archive.read_bytes()[:-100])
    words = complaint("cifar10", root=str(published))
    assert f"{archive} is corrupt, its checksum is not the published one" in words
    assert f"fetch {CIFAR10.url}" in words


@unpacks
def test_a_damaged_file_beside_a_good_archive_is_unpacked_again(published):
    good = source("cifar10", root=str(published), split="test").fingerprint
    batch = published / CIFAR10.base_folder / "data_batch_3"
    batch.write_bytes(batch.read_bytes()[:-1])
    assert source("cifar10", root=str(published), split="test").fingerprint == good


@unpacks
def test_an_unpacked_folder_that_cannot_be_written_is_read_without_a_lock(published, monkeypatch):
    source("cifar10", root=str(published), split="test")
    monkeypatch.setattr(cifar, "locked", refuse)
    assert source("cifar10", root=str(published), split="test").sizes["train"] == 500


def test_jobs_that_start_at_once_download_once(published, monkeypatch):
    root = published / "shared"
    downloads, sizes = [], []

    def download(url, folder, **_):
        downloads.append(url)
        time.sleep(0.2)
        with tarfile.open(published / CIFAR10.filename) as archive:
            archive.extractall(folder, filter="data")

    def job():
        sizes.append(source("cifar10", root=str(root), split="test").sizes["train"])

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", download)
    jobs = [threading.Thread(target=job) for _ in range(5)]
    for thread in jobs:
        thread.start()
    for thread in jobs:
        thread.join()
    assert downloads == [CIFAR10.url]
    assert sizes == [500] * 5


@unpacks
def test_fetching_prints_what_is_there_and_fails_in_one_line(published, capsys):
    assert fetch.main(["cifar10", "--root", str(published / "empty")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert fetch.main(["cifar10", "cifar100", "--root", str(published)]) == 0
    assert "cifar10: 500 train, 100 test; fingerprint" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------------------- npz


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(path: str, x, y) -> str:
    np.savez(path, x=x, y=y)
    return path


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
    assert words.startswith("nowhere.npz: no such file")
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
    whole = "" if damage in ("text", "empty", "one array") else "whole "
    assert said.startswith(f"bad.npz: not a{' ' if whole else 'n '}{whole}npz archive")
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


def test_files_whose_shapes_or_classes_disagree_are_named(here):
    ten, hundred = save("ten.npz", *pictures(2000, 10)), save("hundred.npz", *pictures(2000, 100))
    small = save("small.npz", *pictures(200, side=28))
    rows = {"split": "test"}
    said = complaint("npz", train=[ten], test=[small], **rows)
    assert said == "small.npz: images of 28 x 28 pixels, but ten.npz has 32 x 32: must agree"
    assert complaint("npz", train=[ten, small], test=[ten], **rows).startswith("small.npz: images of 28 x 28")
    assert complaint("npz", train=[ten], test=[hundred], **rows).startswith("hundred.npz: a label is 10, a class that")
    assert complaint("npz", train=[hundred], test=[ten], **rows).startswith("ten.npz: labels end at 9, but those of hu")


def test_a_class_may_be_missing_from_a_handful_of_images_by_chance(here):
    train, test = save("train.npz", *pictures(200)), save("test.npz", X[:9], Y[:9])
    assert source("npz", train=[train], test=[test], split="test").classes == 10


def test_a_validation_set_as_large_as_the_training_set_is_refused(here):
    said = complaint("npz", train=[save("train.npz", X, Y)])
    assert said.startswith("dataset.validation=5000 leaves nothing of 200 training images: lower it")


# ---------------------------------------------------------------------------------------------------------- python


@pytest.fixture
def module(here, monkeypatch):
    """A module `my_images` in the working directory, as a user would write it."""
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    (here / "my_images.py").write_text(
        "import numpy as np\n"
        "def make(n=40, splits=('train', 'test'), classes=4):\n"
        "    x, y = np.full((n, 8, 8, 3), 9, np.uint8), np.arange(n) % classes\n"
        "    return {split: (x, y) for split in splits}\n"
        "def wrong():\n"
        "    return 3\n"
        "def lookup():\n"
        "    return {}['x']\n"
        "def speak():\n"
        "    raise RuntimeError('first line\\nsecond line')\n"
        "def leave():\n"
        "    raise SystemExit(2)\n"
    )
    (here / "misspelt.py").write_text("def make()\n    return {}\n")
    (here / "divided.py").write_text("ratio = 1 / 0\n")
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
        ("no_such_module:make", {}, "No module named 'no_such_module'"),
        ("my_images:no_such", {}, "my_images has no function no_such"),
        ("my_images:make", {"years": 3}, "got an unexpected keyword argument 'years'; dataset.options must fit"),
        ("my_images:lookup", {}, "lookup: raised KeyError: 'x' (in its line 8)"),
        ("my_images:speak", {}, "speak: raised RuntimeError: first line (in its line 10)"),
        ("my_images:leave", {}, "leave: raised SystemExit: 2"),
        ("misspelt:make", {}, "importing misspelt raised SyntaxError: expected ':' (misspelt.py, line 1)"),
        ("divided:make", {}, "importing divided raised ZeroDivisionError: division by zero (in its line 1)"),
        ("builtins:max", {}, "no signature found for builtin"),
        ("my_images:wrong", {}, 'must return {"train": (x, y), "test": (x, y)}'),
        ("my_images:make", {"splits": ("train",)}, 'must return {"train": (x, y), "test": (x, y)}'),
        (
            "my_images:make",
            {"splits": ("train", "test", "val")},
            "returned val; the splits are train, validation",
        ),
        ("my_images:make", {"n": 0}, "train: x is uint8 (0, 8, 8, 3)"),
    ],
)
def test_a_function_that_is_missing_or_returns_something_else_is_named(module, target, options, words):
    said = complaint("python", target=target, options=options)
    assert said.startswith(f"dataset.target={target}")
    assert words in said


# ---------------------------------------------------------------------------------------------------- image folder


@pytest.fixture
def folder(tmp_path):
    """Twelve pictures of two classes: cats are red, dogs blue, brighter from file to file; wide ones and tall ones."""
    for split in ("train", "val", "test"):
        for channel, name in ((0, "cat"), (2, "dog")):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(6 if split == "train" else 3):
                pixels = np.zeros((20, 30, 3) if i % 2 else (30, 20, 3), np.uint8)
                pixels[..., channel] = 100 + 10 * i
                Image.fromarray(pixels).save(tmp_path / split / name / f"{i}.png")
    return tmp_path


def read_all(folder_source, split: str, batch: int = 4):
    images, labels = zip(*folder_source.batches(split, eval_order(folder_source.sizes[split], batch)), strict=True)
    return torch.cat(images), torch.cat(labels)


def test_a_folder_is_read_as_its_files_and_folders_say(folder):
    own = source("image_folder", root=str(folder), size=16, workers=0)
    assert own.sizes == {"train": 12, "validation": 6, "test": 6}
    assert (own.classes, own.image, own.evaluation_split) == (2, (16, 16), "validation")
    images, labels = read_all(own, "train")
    assert images.shape == (12, 3, 16, 16)
    assert images.dtype == torch.uint8
    assert labels.tolist() == [0] * 6 + [1] * 6
    assert images[:6, 0, 8, 8].tolist() == [100, 110, 120, 130, 140, 150]
    assert images[6:, 2, 8, 8].tolist() == [100, 110, 120, 130, 140, 150]
    assert read_all(own, "test")[1].tolist() == [0] * 3 + [1] * 3


def test_the_middle_square_is_kept_at_the_size_asked_for(tmp_path):
    for name in ("train/a", "test/a"):
        (tmp_path / name).mkdir(parents=True)
        pixels = np.zeros((16, 48, 3), np.uint8)
        pixels[:, 16:32] = 200
        Image.fromarray(pixels).save(tmp_path / name / "wide.png")
    images, _ = read_all(source("image_folder", root=str(tmp_path), size=16, workers=0), "train")
    assert (images == 200).all()


def test_workers_read_what_one_process_reads_and_outlive_an_epoch(folder):
    alone = source("image_folder", root=str(folder), size=16, workers=0)
    helped = source("image_folder", root=str(folder), size=16, workers=1)
    order = torch.tensor([[11, 0, 3], [5, 7, 1]])
    before = torch.get_rng_state()
    for split, rows in (("train", order), ("validation", order % 6), ("train", order.flip(0))):
        expected, got = list(alone.batches(split, rows)), list(helped.batches(split, rows))
        assert len(expected) == len(got) == 2
        for (x, y), (x_got, y_got) in zip(expected, got, strict=True):
            assert torch.equal(x, x_got)
            assert torch.equal(y, y_got)
    assert torch.equal(torch.get_rng_state(), before), "reading drew from the run's generator"
    # A run that stops in the middle of an epoch, and begins another.
    cut_short = helped.batches("train", order)
    next(cut_short)
    labels = torch.cat([y for _, y in helped.batches("test", eval_order(6, 2))])
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    with pytest.raises(RuntimeError, match="another iteration"):
        next(cut_short)
    # An image that breaks while a run goes on is named by the worker that meets it.
    bad = folder / "train" / "dog" / "5.png"
    bad.write_bytes(bad.read_bytes()[:60])
    with pytest.raises(ValueError, match="a corrupt image") as refusal:
        list(helped.batches("train", order))
    assert str(refusal.value).startswith(f"{bad}: ")
    assert "\n" not in str(refusal.value)


TRAINER = """
import os, sys, torch
from freezeout.data import DATASETS, load

if __name__ == "__main__":
    own = load("image_folder", DATASETS["image_folder"](root=sys.argv[1], size=16, workers=1))
    batches = own.batches("train", torch.zeros(1000, 2, dtype=torch.int64))
    next(batches)
    print("reading", flush=True)
    sys.stdin.read()
"""


def in_session(session: int) -> list[str]:
    """The living processes of a session, as /proc has them: pid and command."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # gone in the meantime
            before, _, after = stat.read_text().rpartition(")")
            state, _, _, its_session = after.split()[:4]
            if int(its_session) == session and state not in "ZX":
                found.append(before)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_nothing_is_left_of_a_trainer_that_is_killed(folder):
    command = [sys.executable, "-c", TRAINER, str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=CONF.parent, start_new_session=True, **pipes) as trainer:
        try:
            assert trainer.stdout.readline() == b"reading\n"
            assert len(in_session(trainer.pid)) >= 3, "the trainer, its server and its worker"
            trainer.kill()
            trainer.wait()
            until = time.monotonic() + 10
            while in_session(trainer.pid) and time.monotonic() < until:
                time.sleep(0.1)
            assert in_session(trainer.pid) == []
        finally:
            for left in in_session(trainer.pid):
                os.kill(int(left.split()[0]), signal.SIGKILL)


@pytest.mark.parametrize("content", ["cut", "text", "empty"])
def test_a_corrupt_image_is_named_before_training(folder, content):
    bad = folder / "val" / "cat" / "1.png"
    bad.write_bytes({"cut": bad.read_bytes()[:-30], "text": b"not an image", "empty": b""}[content])
    assert complaint("image_folder", root=str(folder)).startswith(f"{bad}: a corrupt image (")


def test_a_large_folder_is_not_decoded_before_training(folder, monkeypatch):
    monkeypatch.setattr(image_folder, "CHECKED", 100)
    bad = folder / "train" / "cat" / "1.png"
    bad.write_bytes(bad.read_bytes()[:60])
    own = source("image_folder", root=str(folder), size=16, workers=0)
    with pytest.raises(ValueError, match="a corrupt image"):
        read_all(own, "train")


def test_folders_without_images_or_with_other_classes_are_named(folder):
    inner = folder / "train"
    assert complaint("image_folder", root=str(inner)).startswith(f"dataset.root={inner}: must hold")
    assert complaint("image_folder", root=str(folder / "nowhere")).endswith("and val/CLASS/ or test/CLASS/")
    (folder / "val" / "bird").mkdir()
    said = complaint("image_folder", root=str(folder))
    assert said == f"{folder / 'val'}: class bird has no images; it must hold CLASS/IMAGE files"
    (folder / "val" / "cat" / "0.png").rename(folder / "val" / "bird" / "0.png")
    assert f"{folder / 'val'}: class bird is not in both" in complaint("image_folder", root=str(folder))
    empty = folder / "new"
    (empty / "train").mkdir(parents=True)
    (empty / "test").mkdir()
    said = complaint("image_folder", root=str(empty))
    assert said == f"{empty / 'train'}: there are no class folders in it; it must hold CLASS/IMAGE files"


def test_the_fingerprint_of_a_folder_tells_names_sizes_and_labels_apart_but_not_places(folder):
    def name(root=folder, size=16):
        return source("image_folder", root=str(root), size=size, workers=0).fingerprint

    first = name()
    assert name(size=8) != first
    moved = folder.rename(folder.parent / "moved")
    assert name(moved) == first
    (moved / "train" / "cat" / "0.png").rename(moved / "train" / "dog" / "9.png")
    relabelled = name(moved)
    (moved / "train" / "dog" / "9.png").rename(moved / "train" / "dog" / "8.png")
    assert len({first, relabelled, name(moved)}) == 3


# ------------------------------------------------------------------------------------------------- tables and configs


def test_choosing_a_data_set_imports_no_torch():
    code = "import sys, freezeout.data; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=CONF.parent).returncode == 0


def test_an_unknown_data_set_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="dataset=mnist: must be one of digits, cifar10, cifar100"):
        load("mnist", None)


def test_every_data_set_has_a_reader_and_a_config_that_names_all_its_fields():
    assert set(READERS) == set(DATASETS) == {path.stem for path in (CONF / "dataset").glob("*.yaml")}
    assert {path.stem for path in (CONF / "augment").glob("*.yaml")} == {"crop_flip", "none"}


FILES = [*sorted(CONF.glob("dataset/*.yaml")), CONF / "augment/crop_flip.yaml", CONF / "augment/none.yaml"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_config_file_gives_every_field_of_its_schema_and_opens_with_what_to_expect(path):
    group = path.parent.name
    name, schema = (path.stem, DATASETS[path.stem]) if group == "dataset" else ("augment", Augment)
    values = OmegaConf.load(path)
    assert values.pop("defaults") == [f"/schema/{group}/{name}@_here_", "_self_"]
    assert list(values) == [f.name for f in dataclasses.fields(schema)]
    # What has no default is the user's to give, or the data folder.
    given = {"root": "data", "target": "package.module:function", "train": ["train.npz"]}
    given = {f.name: given[f.name] for f in dataclasses.fields(schema) if f.name in given and required(f)}
    composed = OmegaConf.create({"data_dir": "data", "chosen": OmegaConf.structured(schema)})
    composed.chosen = OmegaConf.merge(
        composed.chosen, values, {key: given[key] for key in given if OmegaConf.is_missing(values, key)}
    )
    if path.stem == "none":
        given["kind"] = "none"
    assert OmegaConf.to_object(composed)["chosen"] == schema(**given), "a value differs from the schema's default"
    assert path.read_text().startswith("# ")


def required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
