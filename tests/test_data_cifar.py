"""CIFAR: how it is split, downloaded once, and what is said when it cannot be."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
import threading
import time
import urllib.error
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from made_data import complaint, pictures, source
from torchvision.datasets import CIFAR10, CIFAR100

from freezeout.data import DATASETS, cifar, fetch


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
    assert split.outline[:2] == DATASETS[name](root=str(published)).outline[:2]
    assert torch.equal(split.tensors["validation"][0], whole.tensors["train"][0][-30:])
    assert torch.equal(split.tensors["validation"][1], whole.tensors["train"][1][-30:])
    assert whole.fingerprint != split.fingerprint
    assert torch.equal(whole.tensors["train"][0][0], torch.from_numpy(pictures(1)[0][0]).permute(2, 0, 1))


@unpacks
def test_a_limit_of_cifar_keeps_that_many_images_of_those_not_held_out(published):
    fields = {"root": str(published), "validation": 30}
    few, all_images = source("cifar10", **fields, limit=200), source("cifar10", **fields)
    assert few.sizes == {"train": 200, "validation": 30, "test": 100}
    assert few.tensors["train"][1].bincount().tolist() == [20] * 10
    assert torch.equal(few.tensors["validation"][0], all_images.tensors["validation"][0])
    assert few.fingerprint != all_images.fingerprint


@pytest.mark.parametrize(
    ("name", "fields"), [("cifar10", {"split": "test", "size": 8}), ("cifar100", {"validation": 123})]
)
def test_the_outline_is_that_of_a_loaded_set_of_the_published_size(name, fields, monkeypatch):
    def published_size(name, reader, root):
        return [SimpleNamespace(data=np.zeros((n, 32, 32, 3), np.uint8), targets=[0] * n) for n in (50_000, 10_000)]

    monkeypatch.setattr(cifar, "obtain", published_size)
    assert DATASETS[name](root="data", **fields).outline == source(name, root="data", **fields).outline


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


def test_a_link_to_itself_in_the_place_of_the_folder_is_one_line(published):
    (published / "data").symlink_to("data")
    words = complaint("cifar10", root=str(published / "data"))
    assert words.startswith(f"cifar10 is not in {published}/data (")


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


@unpacks
def test_fetched_npz_files_are_the_same_set(published):
    assert fetch.main(["cifar100", "--npz", "--root", str(published)]) == 0
    files = {split: [str(published / f"cifar100_{split}.npz")] for split in ("train", "test")}
    written, downloaded = source("npz", **files, split="test"), source("cifar100", root=str(published), split="test")
    assert written.fingerprint == downloaded.fingerprint
    assert not list(published.glob(".*.npz"))
