"""The remembered prefix as people meet it, on the command line: killed, on a full disk, with image files, refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from os import posix_fallocate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from launched import ROOT, WORDS, comparable, only_run
from PIL import Image

from freezeout import records
from freezeout.run import runner
from freezeout.run.signals import Stop
from freezeout.train import room

# Seven epochs of 28 steps: stages are frozen from the third on, so that two views are kept in two epochs, and read in
# the three that come after. In a file: the device's own memory is turned off.
VIEWED = [*WORDS, "t_0=0.25", "epochs=7", "augment.views=2", "machine.cache=true", "machine.cache_device=0"]
IN_MID_EPOCH = 4 * 28 + 10  # of the first epoch that reads
OWN_FILES = {"config.yaml", "metrics.jsonl", "checkpoint.pt", "record.json", "predictions.npz"}

KILLED = """
import os, signal
from freezeout.__main__ import main
from freezeout.run import runner

class Killed(runner.Stop):
    steps = 0

    @property
    def asked(self):
        Killed.steps += 1
        if Killed.steps == {step}:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().asked

runner.Stop = Killed
main()
"""


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoint.pt", weights_only=True)["model"]


def assert_same_weights(one: Path, other: Path) -> None:
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)


def files_in(folder: Path) -> set[str]:
    """But for the lease of who trains there."""
    return {path.name for path in folder.rglob("*") if not path.name.startswith("lease.")}


@pytest.fixture
def whole(freezeout, tmp_path: Path, monkeypatch) -> Path:
    """A run that was never stopped.

    Whatever its folder shows, after each step and while space for the cache is being taken, are files of its own.
    """
    seen: list[set[str]] = []
    taken: list[int] = []

    def allocate(file: int, offset: int, size: int) -> None:
        posix_fallocate(file, offset, size)
        taken.append(size)
        seen.append(files_in(only_run(tmp_path / "whole")))

    class Watched(Stop):
        @property
        def asked(self) -> bool:
            seen.append(files_in(only_run(tmp_path / "whole")))
            return super().asked

    with monkeypatch.context() as patched:
        patched.setattr(runner, "Stop", Watched)
        patched.setattr(os, "posix_fallocate", allocate)
        said = freezeout(*VIEWED, "out=whole")
    assert said.code == 0, said.err
    assert taken
    assert len(seen) == len(taken) + 7 * 28 + 7, "a look after each epoch, too"
    assert set.union(*seen) <= OWN_FILES
    return only_run(tmp_path / "whole")


def without_counters(record: dict[str, Any]) -> dict[str, Any]:
    """What two attempts have in common; how often a memory was hit that a kill has emptied is not."""
    return {key: value for key, value in comparable(record).items() if key != "cache"}


def test_a_run_killed_in_mid_epoch_fills_its_cache_again_and_ends_as_if_it_had_not_been(
    whole: Path, freezeout, tmp_path: Path
) -> None:
    code = KILLED.format(step=IN_MID_EPOCH)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *VIEWED, "out=parts"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    folder = only_run(tmp_path / "parts")
    assert files_in(folder) == OWN_FILES - {"record.json", "predictions.npz"}, "nothing of the cache is left"

    again = freezeout(*VIEWED, "out=parts")
    assert again.code == 0, again.err
    assert "resumes from step 112 of 196" in again.err
    assert files_in(folder) == OWN_FILES
    one, other = (records.read_record(path) for path in (folder, whole))
    assert without_counters(one) == without_counters(other)
    assert_same_weights(folder, whole)
    for record in (one, other):
        assert record["cache"]["hits"] > 1000
        assert record["cache"]["bytes"]["disk"] > 0 == record["cache"]["bytes"]["device"]
    assert one["cache"]["hits"] < other["cache"]["hits"], "the last epoch alone finds what was kept since"


@pytest.mark.filterwarnings("default")
def test_a_full_disk_costs_the_cache_and_one_line(whole: Path, freezeout, tmp_path: Path, monkeypatch) -> None:
    def full(folder: Path, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(room, "allocated_file", full)
    said = freezeout(*VIEWED, "out=full")
    assert said.code == 0
    lines = [line for line in said.err.splitlines() if not line.startswith(("epoch ", "W&B off"))]
    assert lines == ["warning: the cache does without disk memory: [Errno 28] No space left on device"]
    folder = only_run(tmp_path / "full")
    assert records.read_record(folder)["cache"]["hits"] == 0
    assert_same_weights(folder, whole)


def test_image_files_are_remembered_too(freezeout, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for split, count in (("train", 11), ("val", 2)):
        for name in ("cat", "dog"):
            (tmp_path / "images" / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = generator.integers(0, 256, (9, 12, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "images" / split / name / f"{i}.png")
    words = ["model=wide_resnet", "model.depth=10", "model.widen=1", "dataset=image_folder", "dataset.root=images"]
    words += ["dataset.size=8", "dataset.workers=1", "strategy.how_scale=linear", "strategy.scale_lr=false", "t_0=0.3"]
    words += ["epochs=5", "batch_size=4", "augment.views=1"]
    for cache in ("true", "false"):
        said = freezeout(*words, f"machine.cache={cache}", f"out=cache_{cache}")
        assert said.code == 0, said.err
    remembering, plain = (only_run(tmp_path / f"cache_{cache}") for cache in ("true", "false"))
    found = records.read_record(remembering)["cache"]
    assert 20 < found["hits"] < found["visits"] - 20, "two images are dropped in each epoch, and computed in the next"
    assert records.read_record(plain)["cache"] is None
    assert_same_weights(remembering, plain)


def test_frozen_stages_that_go_on_moving_are_not_remembered_and_one_line_says_so(freezeout, tmp_path: Path) -> None:
    said = freezeout("strategy=freezeout", "t_0=0.5", "strategy.bn=train", "augment.views=1", "machine.cache=true")
    assert said.code == 0, said.err
    lines = [line for line in said.err.splitlines() if "cache" in line]
    assert lines == [
        "note: machine.cache=true has no effect on freezeout: strategy.bn=train: its frozen stages still change"
    ]
    assert records.read_record(only_run(tmp_path / "runs"))["cache"] is None
