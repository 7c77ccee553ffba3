"""A run's W&B files are a window on the local record: they say what metrics.jsonl says, and cost a run nothing."""

from __future__ import annotations

import json
import math
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from tracked import (
    COMMIT,
    CONFIG,
    LOOK,
    PRELUDE,
    RECORD,
    TITLE,
    entry,
    finish,
    history,
    in_new_process,
    inspected,
    opened,
    run_of,
)

from freezeout import records
from freezeout.run import wandb_view

pytestmark = pytest.mark.usefixtures("nobodys_wandb")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, nobodys_wandb):
    """A finished run: its output root, its W&B folder, and what wandb reads there."""
    root = tmp_path_factory.mktemp("runs")
    tracker = opened(root, commit=COMMIT)
    folder = root / tracker.identity["dir"]
    for made in (entry(1), entry(2, eval_loss=None, step_seconds=0.01), entry(3, train_loss=math.nan, error=1 / 3)):
        records.append_line(root / "metrics.jsonl", made)
        tracker.log(made)
    time.sleep(LOOK)
    finish(tracker, root)
    return SimpleNamespace(root=root, folder=folder, read=inspected(folder))


def test_what_wandb_reads_back_is_exactly_what_metrics_jsonl_says(whole):
    expected = []
    for line in records.read_lines(whole.root / "metrics.jsonl"):
        shown = {key: value for key, value in line.items() if key not in ("step", "learning_rates")}
        shown |= {"by_seconds/error": line["error"], "by_seconds/eval_loss": line["eval_loss"]}
        shown |= {f"learning_rate/{i:02d}": rate for i, rate in enumerate(line["learning_rates"])}
        expected.append({key: value for key, value in shown.items() if value is not None})
    assert len(expected) == 3
    assert history(whole.read) == expected
    assert not {"eval_loss", "by_seconds/eval_loss"} & set(expected[1])
    assert "train_loss" not in expected[2], "NaN is absent in both"
    assert [r["history"]["step"]["num"] for r in whole.read if r["type"] == "history"] == [1, 2, 3]


def test_wandb_knows_the_run_by_its_configuration_and_its_sweep(whole):
    run = run_of(whole.read)
    assert {k: v for k, v in run["config"]["update"].items() if k != "_wandb"} == CONFIG
    assert (run["run_id"], run["project"], run["display_name"]) == ("abc123-0", "freezeout", TITLE)
    assert (run["run_group"], run["job_type"], run["tags"]) == ("smoke", "freezeout", ["vgg", "digits"])


def test_the_summary_holds_errors_seconds_by_part_and_savings(whole):
    summary: dict = {}
    for update in (r["summary"].get("update", {}) for r in whole.read if r["type"] == "summary"):
        summary |= update
    assert (summary["status"], summary["error"], summary["test_error"]) == ("done", 1 / 3, 2 / 3)
    assert {k: summary[f"seconds/{k}"] for k in RECORD["seconds"]} == RECORD["seconds"]
    assert summary["saving/predicted"] == 0.1 + 0.2
    assert not {"saving/estimated", "train_error", "reason"} & set(summary), "absent, never 0"


def test_the_machine_and_the_commit_are_where_wandbs_users_look_for_them(whole):
    """And nothing else is sent: no code, no diff, no list of packages."""
    environment: dict = {}
    for update in (r["environment"] for r in whole.read if r["type"] == "environment"):
        environment |= update
    assert environment["git"] == run_of(whole.read)["git"] == {"commit": COMMIT}
    assert {"host", "os", "python", "program", "cpu_count", "memory"} <= set(environment)
    assert not {"username", "email"} & set(environment)
    stats = [r["stats"]["item"] for r in whole.read if r["type"] == "stats"]
    assert "memory_percent" in stats[0]
    assert [path.name for path in (whole.folder / "files").iterdir()] == ["record.json"]


def test_variables_turn_off_what_is_collected(tmp_path):
    code = "import time; tracker = opened(root, commit=COMMIT); time.sleep(LOOK); finish(tracker, root)\n"
    code += "print(tracker.identity['dir'])"
    off = {f"WANDB_{name}": "true" for name in ("DISABLE_GIT", "X_DISABLE_STATS", "X_DISABLE_META")}
    read = inspected(tmp_path / in_new_process(code, tmp_path, **off).stdout.strip())
    assert not {"stats", "environment"} & {r["type"] for r in read}
    assert "git" not in run_of(read)


def test_error_is_drawn_against_epochs_and_against_seconds(whole):
    axes = {}
    for metric in (r["metric"] for r in whole.read if r["type"] == "metric"):
        axes[metric.get("name") or metric["glob_name"]] = metric["step_metric"]
    against_epochs = dict.fromkeys((*wandb_view.PER_EPOCH, "learning_rate/*"), "epoch")
    assert against_epochs.items() <= axes.items()
    assert axes["by_seconds/error"] == axes["by_seconds/eval_loss"] == "seconds"


def test_the_record_is_attached_to_the_run(whole):
    attached = json.dumps([r["files"] for r in whole.read if r["type"] == "files"])
    assert "record.json" in attached
    assert (whole.folder / "files" / "record.json").read_text() == (whole.root / "record.json").read_text()


def test_a_resumed_run_leaves_its_whole_history_in_one_directory(tmp_path):
    first = opened(tmp_path)
    first.log(entry(1))
    first.log(entry(2, error=77.0))  # beyond the checkpoint: the resumed run does this epoch again
    finish(first, tmp_path, RECORD | {"status": "interrupted"})
    neighbour = opened(tmp_path, "abc123-01")
    finish(neighbour, tmp_path)

    second = opened(tmp_path, record=first.identity, history=[entry(1)])
    second.log(entry(2))
    finish(second, tmp_path)
    folders = {path.name for path in (tmp_path / "wandb").iterdir()}
    assert folders == {Path(t.identity["dir"]).name for t in (second, neighbour)}
    rows = history(inspected(tmp_path / second.identity["dir"]))
    assert [(row["epoch"], row["error"]) for row in rows] == [(1, 90.0), (2, 45.0)]


def test_the_history_of_a_killed_run_is_found_without_its_record(tmp_path):
    in_new_process("opened(root).log(entry(1)); os.kill(os.getpid(), 9)", tmp_path)
    assert len(list((tmp_path / "wandb").iterdir())) == 1
    second = opened(tmp_path, history=[entry(1)])
    finish(second, tmp_path)
    assert [path.name for path in (tmp_path / "wandb").iterdir()] == [Path(second.identity["dir"]).name]


def break_init(monkeypatch, root):
    import wandb

    def fail(**_):
        raise wandb.errors.CommError("no\nanswer")

    monkeypatch.setattr(wandb, "init", fail)


def break_import(monkeypatch, root):
    monkeypatch.setitem(sys.modules, "wandb", None)


def break_folder(monkeypatch, root):
    (root / "wandb").write_text("a file where the folder should be")


@pytest.mark.parametrize("broken", [break_init, break_import, break_folder])
def test_a_wandb_that_cannot_start_costs_one_line(tmp_path, monkeypatch, capfd, broken):
    broken(monkeypatch, tmp_path)
    tracker = opened(tmp_path)
    tracker.log(entry(1))
    finish(tracker, tmp_path)
    out, err = capfd.readouterr()
    assert tracker.identity is None
    assert out == ""
    assert err.startswith("warning: W&B: this run is not logged there (")
    assert err.count("\n") == 1


@pytest.mark.parametrize("method", ["log", "finish"])
def test_a_wandb_that_breaks_later_costs_one_line(tmp_path, monkeypatch, capfd, method):
    import wandb

    tracker = opened(tmp_path)

    def fail(*_, **__):
        raise wandb.errors.CommError("gone")

    monkeypatch.setattr(tracker.run, method, fail)
    for epoch in (1, 2, 3):
        tracker.log(entry(epoch))
    finish(tracker, tmp_path)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("warning: W&B: ")
    assert err.count("\n") == 1


def test_a_run_is_logged_in_silence_and_in_little_time(tmp_path, capfd):
    finish(opened(tmp_path, "first-0"), tmp_path)  # starts the service that the runs of a process share
    taken = []
    for seed in range(3):
        start = time.perf_counter()
        tracker = opened(tmp_path, f"abc123-{seed}")
        for epoch in range(1, 21):
            tracker.log(entry(epoch, learning_rates=[0.1] * 40))
        finish(tracker, tmp_path)
        taken.append(time.perf_counter() - start)
    assert min(taken) < 0.5
    assert capfd.readouterr() == ("", "")


def test_a_run_that_never_finished_is_not_continued_by_the_next(tmp_path):
    first, second = opened(tmp_path, "one-0"), opened(tmp_path, "two-0")
    assert [t.identity["id"] for t in (first, second)] == ["one-0", "two-0"]
    first.log(entry(1))
    finish(second, tmp_path)
    finish(first, tmp_path)


def test_ctrl_c_reaches_the_program_and_the_run_is_still_written(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    finish(opened(tmp_path, "other-0"), tmp_path)
    assert signal.getsignal(signal.SIGINT) is before
    done = in_new_process(
        "import time, signal\n"
        "tracker = opened(root)\n"
        "tracker.log(entry(1))\n"
        "try:\n"
        "    os.killpg(0, signal.SIGINT)\n"  # as a terminal does it: to the whole group
        "    time.sleep(10)\n"
        "except KeyboardInterrupt:\n"
        "    tracker.log(entry(2))\n"
        "    finish(tracker, root)\n"
        "    print(tracker.identity['dir'])\n"
        "    raise\n",
        tmp_path,
    )
    assert done.returncode == -signal.SIGINT or done.returncode == 128 + signal.SIGINT
    assert "warning" not in done.stderr
    assert [row["epoch"] for row in history(inspected(tmp_path / done.stdout.strip()))] == [1, 2]


def test_a_broken_service_is_one_warning_and_the_next_run_has_a_new_one(tmp_path):
    done = in_new_process(
        "import subprocess, time\n"
        "tracker = opened(root, 'one-0')\n"
        "subprocess.run(['pkill', '-9', '-P', str(os.getpid())], check=True)\n"  # its one child, the service
        "time.sleep(0.2)\n"
        "for epoch in range(1, 9): tracker.log(entry(epoch)); time.sleep(0.05)\n"
        "finish(tracker, root)\n"
        "tracker = opened(root, 'two-0')\n"
        "tracker.log(entry(1))\n"
        "finish(tracker, root)\n",
        tmp_path,
    )
    assert done.returncode == 0
    assert done.stderr.startswith("warning: W&B: logging failed")
    assert done.stderr.count("\n") == 1, done.stderr
    assert len(list(tmp_path.glob("wandb/*-two-0/files/record.json"))) == 1, "finished, the record attached"


def test_processes_may_log_into_one_folder_at_once(tmp_path):
    """Each through a service of its own: the parent's, which children inherit by name, may end before theirs."""
    log = "tracker = opened(root, sys.argv[2]); tracker.log(entry(1)); finish(tracker, root / sys.argv[2])\n"
    done = in_new_process(
        "import subprocess\n"
        "parent = opened(root, 'parent-0')\n"
        "command = [sys.executable, '-c', sys.argv[2], sys.argv[1]]\n"
        "children = [subprocess.Popen([*command, name]) for name in ('one-0', 'two-0')]\n"
        "os.kill(int(subprocess.check_output(['pgrep', '-P', str(os.getpid()), 'wandb-core'])), 9)\n"
        "sys.exit(sum(child.wait() for child in children))\n",
        tmp_path,
        PRELUDE + log,
    )
    assert done.returncode == 0
    assert "warning" not in done.stderr
    assert len(list(tmp_path.glob("wandb/*/files/record.json"))) == 2


HUNG = """
import subprocess, time
from freezeout.run import wandb_session
wandb_session.{0} = 0.5
wandb_session.{1} = 60.0
finish(opened(root), root)
subprocess.run(["pkill", "-STOP", "-P", str(os.getpid()), "wandb-core"], check=True)
"""
AFTER_A_FAILURE = """
start = time.monotonic()
wandb_session.shut_down()
assert time.monotonic() - start < 30
wandb_session.PATIENCE = 0.5
finish(opened(root, 'abc123-1'), root)
"""


@pytest.mark.parametrize(
    ("short", "long", "end", "runs"), [("GRACE", "PATIENCE", AFTER_A_FAILURE, 2), ("PATIENCE", "GRACE", "", 1)]
)
def test_a_service_that_hangs_is_ended(tmp_path, short, long, end, runs):
    """Soon when it is shut down after a failure, and the next run gets another; later when the process ends."""
    start = time.monotonic()
    done = in_new_process(HUNG.format(short, long) + end, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert time.monotonic() - start < 50
    assert len(list((tmp_path / "wandb").iterdir())) == runs
