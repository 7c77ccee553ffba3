"""What is configured decides whether and where W&B logs, together with W&B's environment variables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tracked import RECORD, TITLE, entry, finish, in_new_process, inspected, opened, run_of

from freezeout.run import tracking, wandb_session
from freezeout.run.tracking import NoTracker, Wandb

pytestmark = pytest.mark.usefixtures("nobodys_wandb")


@pytest.mark.parametrize(
    ("mode", "variable", "effective"),
    [
        ("offline", None, "offline"),
        ("offline", "online", "online"),
        ("online", None, "online"),
        ("online", "", "online"),
        ("online", "offline", "offline"),
        ("online", "disabled", "disabled"),
        ("disabled", None, "disabled"),
    ],
)
def test_nothing_is_uploaded_unless_asked(tmp_path, monkeypatch, mode, variable, effective):
    if variable is not None:
        monkeypatch.setenv("WANDB_MODE", variable)
    asked = []
    monkeypatch.setattr(wandb_session, "prepare", lambda mode, commit: asked.append(mode) or 1 / 0)
    monkeypatch.setattr(wandb_session, "given_up", False)
    opened(tmp_path, tracker=Wandb(mode=mode))
    assert asked == {"disabled": [], "offline": ["offline"], "online": ["online", "offline"]}[effective]
    assert Wandb().mode == "offline"


def test_an_unknown_mode_is_refused_in_one_line(monkeypatch):
    with pytest.raises(
        ValueError, match=r"^tracker.mode=onlin: must be one of offline, online, disabled; did you mean online\?$"
    ):
        Wandb(mode="onlin")
    monkeypatch.setenv("WANDB_MODE", "dry")
    with pytest.raises(ValueError, match=r"^WANDB_MODE=dry: must be one of offline, online, disabled$"):
        Wandb()


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("WANDB_PROJECT", "mine/yours", r"WANDB_PROJECT=mine/yours: must not contain /"),
        ("WANDB_TAGS", f"short,{'x' * 65}", rf"WANDB_TAGS={'x' * 65}: a tag must have at most 64 characters"),
    ],
)
def test_what_wandb_would_refuse_is_refused_before_training(monkeypatch, variable, value, said):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=f"^{said}$"):
        Wandb()


@pytest.mark.parametrize(
    ("given", "variable", "expected"),
    [(None, None, "freezeout"), (None, "", "freezeout"), (None, "theirs", "theirs"), ("mine", "theirs", "mine")],
)
def test_a_project_given_wins_over_the_variable_and_that_over_the_default(monkeypatch, given, variable, expected):
    if variable is not None:
        monkeypatch.setenv("WANDB_PROJECT", variable)
    assert Wandb(project=given).effective_project == expected
    if variable is not None:
        monkeypatch.setenv("WANDB_ENTITY", variable)
    assert Wandb(entity=given).effective_entity == (None if expected == "freezeout" else expected)


def test_variables_fill_in_what_the_configuration_leaves_open(tmp_path, monkeypatch):
    for name, value in (("PROJECT", "theirs"), ("ENTITY", "team"), ("TAGS", "night, vgg,x"), ("NAME", "mine")):
        monkeypatch.setenv(f"WANDB_{name}", value)
    whole = opened(tmp_path, "open-0", group=None)
    given = opened(tmp_path, "given-0", Wandb(project="ours", entity="us"))
    for tracker in (whole, given):
        finish(tracker, tmp_path)
    runs = [run_of(inspected(tmp_path / tracker.identity["dir"])) for tracker in (whole, given)]
    assert [(run["project"], run["entity"]) for run in runs] == [("theirs", "team"), ("ours", "us")]
    assert [run["display_name"] for run in runs] == ["mine", f"mine {TITLE}"]
    assert sorted(runs[0]["tags"]) == sorted(["vgg", "digits", "night", "x"])


def test_wandb_dir_moves_the_files_and_all_that_speaks_of_them(tmp_path, monkeypatch):
    root, elsewhere = tmp_path / "runs", tmp_path / "elsewhere"
    first = opened(root)
    finish(first, tmp_path)
    assert Path(first.identity["dir"]).parts[0] == "wandb", "relative to the output root, which may be moved"
    monkeypatch.setenv("WANDB_DIR", str(elsewhere))
    assert tracking.destination(Wandb(), root) == f"W&B offline: {elsewhere / 'wandb'}; nothing is uploaded"
    second = opened(root, record=first.identity, history=[entry(1)])
    finish(second, tmp_path)
    assert Path(second.identity["dir"]).parent == elsewhere / "wandb"
    assert Path(second.identity["dir"], "run-abc123-0.wandb").exists()
    assert list((root / "wandb").iterdir()) == [], "the earlier segment's folder is gone, as if in one place"


@pytest.mark.parametrize(("moved", "shown"), [("", "runs/wandb"), ("/elsewhere", "/elsewhere/wandb")])
def test_the_dashboard_looks_where_the_files_are(moved, shown):
    command, root = ["make", "-n", "--no-print-directory", "dashboard"], Path(__file__).parent.parent
    environment = os.environ | {"WANDB_DIR": moved}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].endswith(f"wandb leet {shown}")


def test_the_destination_is_one_line_that_says_where_logs_go(monkeypatch):
    assert tracking.destination(Wandb(), Path("runs")) == "W&B offline: runs/wandb; nothing is uploaded"
    assert tracking.destination(NoTracker(), Path("runs")) == "W&B off: local records only"
    online = tracking.destination(Wandb(mode="online", entity="me", project="p"), Path("runs"))
    assert "https://" in online
    assert online.endswith("me/p")
    assert "\n" not in online
    monkeypatch.setenv("WANDB_PROJECT", "theirs")
    monkeypatch.setenv("WANDB_ENTITY", "team")
    assert tracking.destination(Wandb(mode="online"), Path("runs")).endswith("team/theirs")


@pytest.mark.parametrize("tracker", [NoTracker(), Wandb(mode="disabled")])
def test_without_a_tracker_wandb_is_neither_imported_nor_written(tmp_path, monkeypatch, capfd, tracker):
    monkeypatch.setitem(sys.modules, "wandb", None)
    nothing = opened(tmp_path, tracker=tracker)
    nothing.log(entry(1))
    nothing.finish(RECORD, tmp_path / "none.json")
    assert nothing.identity is None
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_importing_tracking_imports_no_wandb():
    done = in_new_process("print(sorted({'wandb', 'torch', 'hydra'} & set(sys.modules)))", "")
    assert done.stdout == "[]\n", done.stderr
