"""A full disk in W&B's folder: training goes on, one line says what is needed, and later runs are logged again."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from tracked import entry, finish, history, in_new_process, inspected, opened

from freezeout import records
from freezeout.run import wandb_room

pytestmark = pytest.mark.usefixtures("nobodys_wandb")
LINE = r"warning: W&B: {}: disk full; the log of a run needs 0\.\d MB, and 0\.\d MB are free; runs go on without it "
LINE += r"until there is room"


@pytest.fixture(autouse=True)
def untold(monkeypatch):
    monkeypatch.setattr(wandb_room, "told", set())


@pytest.fixture
def small(tmp_path) -> Iterator[Path]:
    """A file system of 3 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3M", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # W&B's service keeps its log open


def fill(folder: Path) -> Path:
    """Leave a tenth of a megabyte."""
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(folder).free - 100_000))
    return ballast


def test_runs_are_logged_again_once_there_is_room(small, capfd):
    ballast = fill(small)
    for run_id in ("one-0", "two-0"):
        tracker = opened(small, run_id)
        assert tracker.identity is None
        tracker.log(entry(1))
    assert re.fullmatch(LINE.format(small / "wandb") + "\n", capfd.readouterr().err)
    assert not list(small.glob("wandb/*/*"))
    ballast.unlink()
    tracker = opened(small, "three-0")
    tracker.log(entry(1))
    finish(tracker, small)
    assert len(history(inspected(small / tracker.identity["dir"]))) == 1


def test_a_log_whose_folder_fills_up_ends_before_the_gap(small, capfd):
    tracker = opened(small)
    for epoch in (1, 2):
        tracker.log(entry(epoch))
    ballast = fill(small)
    for epoch in (3, 4):
        tracker.log(entry(epoch))
    ballast.unlink()
    tracker.log(entry(5))
    finish(tracker, small)
    assert re.fullmatch(LINE.format(small / "wandb") + "\n", capfd.readouterr().err)
    logged = history(inspected(small / tracker.identity["dir"]))
    assert [row["epoch"] for row in logged] == [1, 2, 3]


@pytest.mark.slow
def test_a_sweep_trains_whole_beside_a_full_folder(small, tmp_path):
    """The whole way: records where there is room, W&B's folder where there is none."""
    fill(small)
    code = "from freezeout.__main__ import main\nsys.argv = ['freezeout', *sys.argv[1:]]\nmain()"
    words = ["-m", "strategy=baseline", "seed=0,1", "epochs=1", "machine=cpu", "machine.threads=1"]
    done = in_new_process(code, *words, f"out={tmp_path / 'runs'}", WANDB_DIR=str(small))
    assert done.returncode == 0, done.stderr
    assert len(re.findall(LINE.format(small / "wandb"), done.stderr)) == 1
    found = [records.read_record(path) for path in records.record_paths(tmp_path / "runs")]
    assert [(record["status"], record["wandb"]) for record in found] == [("done", None)] * 2


@pytest.mark.parametrize(("epochs", "needs"), [(20, "0.6"), (1000, "4.5")])
def test_what_a_run_needs_grows_with_its_length(tmp_path, monkeypatch, capsys, epochs, needs):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    assert not wandb_room.has_room(tmp_path / "not/there", epochs)
    assert f"{tmp_path}/not/there: disk full; the log of a run needs {needs} MB, and 0.0 MB" in capsys.readouterr().err


def test_a_long_run_of_many_stages_needs_no_more_than_that(tmp_path):
    tracker = opened(tmp_path)
    for epoch in range(1, 201):
        tracker.log(entry(epoch, learning_rates=[0.1 / 3**i for i in range(40)]))
    finish(tracker, tmp_path)
    written = sum(path.stat().st_size for path in tracker.folder.rglob("*") if path.is_file())
    assert wandb_room.EPOCH * 200 / 4 < written < wandb_room.EPOCH * 200 + wandb_room.RUN
