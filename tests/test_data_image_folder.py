"""Folders of image files: read by workers as by one process, and refused by name where they are damaged."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from made_data import complaint, source
from PIL import Image

from freezeout.data import image_folder
from freezeout.data.source import eval_order

ROOT = Path(__file__).parent.parent


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
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True, **pipes) as trainer:
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


def test_the_fingerprint_of_a_small_folder_tells_an_image_apart_that_was_edited_to_the_same_size(folder):
    """As any edit of a bitmap is."""
    path = folder / "train" / "cat" / "0.bmp"
    names, sizes = set(), set()
    for shade in (1, 2):
        Image.fromarray(np.full((20, 30, 3), shade, np.uint8)).save(path)
        names.add(source("image_folder", root=str(folder), size=16, workers=0).fingerprint)
        sizes.add(path.stat().st_size)
    assert (len(names), len(sizes)) == (2, 1)
