"""Online, a run is at W&B's server once and whole; without the server it goes on offline and can be uploaded later.

The server is a stand-in on loopback.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from tracked import COMMIT, CONFIG, SCRIPT, TITLE, entry, history, in_new_process, inspected
from wandb_server import ENTITY, KEY, WandbServer

from freezeout import records
from freezeout.run import wandb_session
from freezeout.run.tracking import Tracker
from freezeout.run.wandb_view import row

pytestmark = pytest.mark.usefixtures("nobodys_wandb")

# Two runs of one process, each of two epochs.
TWO_RUNS = """
for seed in range(2):
    tracker = online(root, f"abc123-{seed}")
    for epoch in (1, 2):
        tracker.log(entry(epoch))
    finish(tracker, root)
"""
# A segment of a run: what it has from earlier ones, what it does itself, and how it ends.
SEGMENT = """
kept, done, status = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
tracker = online(root, history=[entry(epoch) for epoch in range(1, kept + 1)])
for epoch in range(kept + 1, done + 1):
    tracker.log(entry(epoch))
finish(tracker, root, RECORD | {"status": status})
print(tracker.identity["dir"])
"""


@pytest.fixture
def server():
    with WandbServer() as running:
        yield running


def at(url: str, key: str = KEY) -> dict[str, str]:
    return {"WANDB_BASE_URL": url, "WANDB_API_KEY": key}


def closed_port() -> str:
    """The address of a server that is not there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def rows(*epochs: int) -> list[dict]:
    """What W&B has of these epochs."""
    return [row(entry(epoch)) for epoch in epochs]


def sync(line: str, url: str) -> None:
    """Do what a warning tells the user to do."""
    command = re.search(r"wandb (sync [^()\n]+)", line)[1]
    words = [str(SCRIPT), *shlex.split(command)]
    subprocess.run(words, env=os.environ | at(url), check=True, capture_output=True, timeout=240)


def test_a_run_arrives_whole(server, tmp_path):
    done = in_new_process(TWO_RUNS, tmp_path, **at(server.url))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(server.runs) == ["abc123-0", "abc123-1"]
    run = server.runs["abc123-0"]
    assert run.history == rows(1, 2)
    assert run.files["record.json"] == (tmp_path / "record.json").read_bytes()
    about = run.about
    assert (about["displayName"], about["groupName"], about["jobType"]) == (TITLE, "smoke", "freezeout")
    assert (about["entity"], about["project"], sorted(about["tags"])) == (ENTITY, "freezeout", ["digits", "vgg"])
    assert run.config == CONFIG
    assert server.resumed == [], "a run made anew replaces what W&B has under its name"


def test_the_machine_and_the_commit_are_where_wandbs_users_look_for_them(server, tmp_path):
    """In the run's Overview and under System."""
    code = "import time; tracker = online(root, commit=COMMIT); time.sleep(LOOK); finish(tracker, root)"
    assert in_new_process(code, tmp_path, **at(server.url)).stderr == ""
    run = server.runs["abc123-0"]
    assert run.about["commit"] == json.loads(run.files["wandb-metadata.json"])["git"]["commit"] == COMMIT
    assert "system.memory_percent" in json.loads(run.events[0])
    assert set(run.files) <= {"record.json", "wandb-metadata.json", "wandb-summary.json", "config.yaml"}


def test_a_resumed_run_goes_on_under_its_id_and_adds_only_what_is_missing(server, tmp_path):
    """The first attempt uploaded two epochs, and a third was lost on its way to W&B."""
    in_new_process(SEGMENT, tmp_path, 0, 2, "interrupted", **at(server.url))
    assert server.runs["abc123-0"].steps == [1, 2]
    before = list(server.runs["abc123-0"].lines)
    done = in_new_process(SEGMENT, tmp_path, 3, 5, "done", **at(server.url))
    assert done.stderr == ""
    assert server.resumed == ["abc123-0"]
    assert list(server.runs) == ["abc123-0"]
    run = server.runs["abc123-0"]
    assert run.lines[:2] == before, "not sent again"
    assert run.history == rows(1, 2, 3, 4, 5)


def test_no_epoch_that_the_server_has_is_given_to_wandb_again():
    """Which would drop it, and has a warning about it."""
    steps = []
    run = SimpleNamespace(id="abc123-0", dir="/runs/wandb/run-1-abc123-0/files", starting_step=3)
    run.log = lambda _, step: steps.append(step)
    tracker = Tracker(run)
    for epoch in (1, 2, 3, 4):
        tracker.log(entry(epoch))
    assert steps == [3, 4]


def assert_offline_and_uploadable(done: subprocess.CompletedProcess, root: Path, because: str) -> None:
    """One warning that gives the reason and a command; both runs are on disk; the command uploads them."""
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("warning: W&B: logging offline (")
    assert because in done.stderr
    assert done.stderr.endswith(f"to upload later: wandb sync {root / 'wandb'}\n")
    assert done.stderr.count("\n") == 1, "decided once for all runs of the process"
    assert sorted(path.name.partition("abc123-")[2] for path in (root / "wandb").iterdir()) == ["0", "1"]
    with WandbServer() as later:
        sync(done.stderr, later.url)
        assert {name: run.history for name, run in later.runs.items()} == {
            f"abc123-{seed}": rows(1, 2) for seed in (0, 1)
        }
        assert later.runs["abc123-1"].files["record.json"] == (root / "record.json").read_bytes()


@pytest.mark.parametrize(("refuses", "because"), [("401", "invalid API key"), ("nobody", "invalid credentials")])
def test_a_wrong_key_means_offline_and_a_line_that_says_how_to_upload(tmp_path, refuses, because):
    with WandbServer(refuses) as strict:
        done = in_new_process(TWO_RUNS, tmp_path, **at(strict.url, "f" * 40))
        assert strict.runs == {}
        assert strict.refused == 1, "asked once, not before each run"
    assert_offline_and_uploadable(done, tmp_path, because)


def test_without_a_key_nothing_is_asked_and_runs_are_logged_offline(server, tmp_path):
    done = in_new_process(TWO_RUNS, tmp_path, WANDB_BASE_URL=server.url)
    assert_offline_and_uploadable(done, tmp_path, "no API key: run `wandb login` or set WANDB_API_KEY")


def test_a_server_that_is_not_there_means_offline(tmp_path):
    url = closed_port()
    done = in_new_process(TWO_RUNS, tmp_path, **at(url), WANDB_HTTP_TIMEOUT="1")
    assert_offline_and_uploadable(done, tmp_path, f"{url} does not answer")


@pytest.mark.slow
def test_a_server_that_never_answers_is_waited_for_once_and_not_for_long(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        done = in_new_process(TWO_RUNS, tmp_path, **at(f"http://127.0.0.1:{silent.getsockname()[1]}"))
        assert time.monotonic() - start < 25
    assert_offline_and_uploadable(done, tmp_path, "does not answer")


def test_a_run_resumed_offline_is_written_anew_and_may_be_uploaded_over_its_beginning(server, tmp_path):
    in_new_process(SEGMENT, tmp_path, 0, 2, "interrupted", **at(server.url))
    done = in_new_process(SEGMENT, tmp_path, 2, 3, "done", WANDB_BASE_URL=server.url)
    (folder,) = (tmp_path / "wandb").iterdir()
    assert str(folder.relative_to(tmp_path)) == done.stdout.strip()
    assert history(inspected(folder)) == rows(1, 2, 3)
    sync(done.stderr, server.url)
    assert list(server.runs) == ["abc123-0"]
    assert server.runs["abc123-0"].history == rows(1, 2, 3)


def test_a_run_resumed_online_brings_its_offline_beginning(server, tmp_path):
    """Whose folder goes: uploaded later, it would put the run back to where it was."""
    in_new_process(SEGMENT, tmp_path, 0, 2, "interrupted", WANDB_BASE_URL=server.url)
    done = in_new_process(SEGMENT, tmp_path, 2, 3, "done", **at(server.url))
    assert done.stderr == ""
    assert server.runs["abc123-0"].history == rows(1, 2, 3)
    assert list((tmp_path / "wandb").glob("offline-*")) == []


def test_a_server_that_goes_away_during_a_run_costs_a_line_that_says_how_to_upload(server, tmp_path):
    done = in_new_process(
        "from wandb_server import *\n"
        "from freezeout.run import wandb_session\n"
        "wandb_session.PATIENCE = 1.0\n"
        "with WandbServer() as server:\n"
        "    os.environ |= {'WANDB_BASE_URL': server.url, 'WANDB_API_KEY': KEY}\n"
        "    tracker = online(root)\n"
        "tracker.log(entry(1))\n"
        "tracker.log(entry(2))\n"
        "finish(tracker, root)\n",
        tmp_path,
    )
    assert done.returncode == 0
    assert done.stderr.startswith("warning: W&B: finishing failed; to upload what is missing: wandb sync")
    assert done.stderr.count("\n") == 1
    sync(done.stderr, server.url)
    assert server.runs["abc123-0"].history == rows(1, 2)


def test_a_sweep_with_a_wrong_key_trains_and_says_once_how_to_upload(freezeout, server, monkeypatch):
    """The whole way, from the command line to the record."""
    for name, value in at(server.url, "f" * 40).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(wandb_session, "given_up", False)
    said = freezeout("-m", "seed=0,1", "epochs=1", "tracker=wandb", "tracker.mode=online")
    assert said.code == 0
    assert said.err.count(f"W&B online: {server.url}, your default entity/freezeout\n") == 1
    assert said.err.count("logging offline") == said.err.count("to upload later: wandb sync runs/wandb\n") == 1
    found = [records.read_record(path) for path in records.record_paths(Path("runs"))]
    assert [record["status"] for record in found] == ["done", "done"]
    for record in found:
        (logged,) = history(inspected(Path("runs", record["wandb"]["dir"])))
        assert logged["error"] == record["error"]
