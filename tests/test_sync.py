"""`make sync` uploads what W&B does not have yet, says what that was, and nothing twice."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from tracked import CONFIG, RECORD, TITLE, entry, finish, in_new_process, opened
from wandb_server import KEY, WandbServer

from freezeout import records
from freezeout.run import sync
from freezeout.run.wandb_view import row

pytestmark = pytest.mark.usefixtures("nobodys_wandb")
SYNC = "from freezeout.run import sync\nsys.exit(sync.main([*map(str, sys.argv[1:])]))"
LATER = """
import subprocess, time
tracker = opened(root)
for epoch in range(1, 41):  # W&B writes its log in blocks of 32 kB
    tracker.log(entry(epoch, learning_rates=[0.1] * 40))
log = next(tracker.folder.glob("*.wandb"))
while log.stat().st_size < 50_000:
    time.sleep(0.02)
command = [sys.executable, "-m", "freezeout.run.sync", str(root)]
first = subprocess.run(command, capture_output=True, text=True)
print((first.stdout + first.stderr).splitlines()[-1])
before = log.stat().st_size
tracker.log(entry(41))
finish(tracker, root, RECORD | {"config": CONFIG, "run_id": "abc123-0", "schema_version": 1})
while log.stat().st_size == before:
    time.sleep(0.02)
time.sleep(1)
subprocess.run(command, check=True)
"""


@pytest.fixture
def server():
    with WandbServer() as running:
        yield running


def at(server: WandbServer) -> dict[str, str]:
    return {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY}


def trained(root: Path, *run_ids: str) -> None:
    """Offline runs of two epochs that have ended."""
    for run_id in run_ids:
        tracker = opened(root, run_id)
        for epoch in (1, 2):
            tracker.log(entry(epoch))
        finish(tracker, root, RECORD | {"config": CONFIG, "run_id": run_id, "schema_version": 1})
        log, until = next(tracker.folder.glob("*.wandb")), time.monotonic() + 60
        while log.stat().st_size <= sync.HEADER and time.monotonic() < until:  # wandb's service writes it later
            time.sleep(0.02)


def test_what_is_new_is_uploaded_and_said_and_nothing_twice(server, tmp_path):
    trained(tmp_path, "one-0", "two-0")
    done = in_new_process(SYNC, tmp_path, **at(server))
    said = [f"uploading 2 runs to {server.url}", f"uploaded {TITLE} (one-0)", f"uploaded {TITLE} (two-0)"]
    assert (done.returncode, done.stderr, done.stdout.splitlines()) == (0, "", said)
    assert sorted(server.runs) == ["one-0", "two-0"]
    assert all(run.history == [row(entry(1)), row(entry(2))] for run in server.runs.values())
    asked = len(server.asked)
    done = in_new_process(SYNC, tmp_path, **at(server))
    assert done.stdout == f"nothing to upload: W&B has all 2 runs of {tmp_path / 'wandb'}\n"
    assert (done.returncode, done.stderr, len(server.asked)) == (0, "", asked)
    trained(tmp_path, "three-0")
    assert f"uploaded {TITLE} (three-0)\n" in in_new_process(SYNC, tmp_path, **at(server)).stdout
    assert len(server.runs) == 3


def test_a_run_that_goes_on_is_uploaded_so_far_and_whole_once_it_has_ended(server, tmp_path):
    done = in_new_process(LATER, tmp_path, **at(server))
    first, *_, last = done.stdout.splitlines()
    # As the service happens to have written its log by then: up to some byte of a block, or for once to the end.
    cut = first.startswith("1 run not uploaded (") and first.endswith("; the same command tries again")
    assert cut or (first.startswith("uploaded ") and "abc123-0" in first), first
    assert last == f"uploaded {TITLE} (abc123-0)"
    assert server.runs["abc123-0"].steps == [*range(1, 42)]


def test_all_folders_of_all_roots_are_looked_into(tmp_path, monkeypatch):
    """Also those that only a record still tells of, as WANDB_DIR was set when it was written."""
    elsewhere = tmp_path / "elsewhere"
    for place in ("one/wandb", "two/wandb", "elsewhere/wandb", "mine/wandb"):
        (tmp_path / place / f"offline-run-1-{place[:3]}").mkdir(parents=True)
        (tmp_path / place / f"offline-run-1-{place[:3]}" / f"run-{place[:3]}.wandb").touch()
    wandb = {"id": "els", "dir": str(elsewhere / "wandb/offline-run-1-els")}
    record = {"schema_version": 1, "status": "done", "wandb": wandb}
    records.write_json_atomic(tmp_path / "two/abc/0/record.json", record)
    (tmp_path / "two/abc/1").mkdir()
    (tmp_path / "two/abc/1/record.json").write_text("{")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "mine"))
    folders = {path for root in ("one", "two") for path in sync.wandb_folders(tmp_path / root)}
    assert folders == {tmp_path / place / "wandb" for place in ("one", "two", "elsewhere", "mine")}


def test_without_runs_a_line_says_so(tmp_path):
    (tmp_path / "none/wandb/offline-run-1-a").mkdir(parents=True)
    (tmp_path / "none/wandb/offline-run-1-a/run-a.wandb").write_bytes(bytes(sync.HEADER))
    done = in_new_process(SYNC, tmp_path / "none")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"nothing to upload: no offline run in {tmp_path / 'none/wandb'}\n"


def test_a_folder_that_is_not_there_is_a_mistake(tmp_path):
    done = in_new_process(SYNC, tmp_path / "rnus")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"sync: {tmp_path / 'rnus'}: there is no such folder\n"


def test_without_a_key_or_with_a_wrong_one_a_line_says_so(tmp_path):
    trained(tmp_path, "one-0")
    with WandbServer() as server:
        wrong = at(server) | {"WANDB_API_KEY": "f" * 40}
        for given, because in (({}, "no API key: run `wandb login` or"), (wrong, "invalid API key")):
            done = in_new_process(SYNC, tmp_path, **given)
            assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
            assert done.stderr.startswith("could not upload 1 offline run: ")
            assert because in done.stderr
    assert not list(tmp_path.rglob("*.synced"))


def test_a_run_that_cannot_be_uploaded_is_counted_and_tried_again(tmp_path, capsys, monkeypatch):
    trained(tmp_path, "one-0", "two-0")
    good = next(tmp_path.rglob("run-two-0.wandb"))
    marker = good.with_name(f"{good.name}.synced")
    monkeypatch.setattr(sync, "upload", lambda logs: marker.touch() or "connection lost")
    monkeypatch.setattr("freezeout.run.wandb_session.prepare", lambda mode: None)
    assert sync.main([str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert f"uploaded {TITLE} (two-0)\n" in said.out
    assert said.err == "1 run not uploaded (connection lost); the same command tries again\n"


def test_a_log_that_has_grown_since_it_was_sent_is_sent_again(tmp_path):
    log, marker = tmp_path / "run-a.wandb", tmp_path / "run-a.wandb.synced"
    log.touch()
    assert not sync.is_sent(log)
    marker.touch()
    assert sync.is_sent(log)
    os.utime(log, (0, marker.stat().st_mtime + 1))
    assert not sync.is_sent(log)


def test_make_sync_is_this_command():
    command = ["make", "-n", "--no-print-directory", "sync", "RUNS=mine"]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].endswith("python -m freezeout.run.sync mine ")
