"""What the tracker does not do for each run, counted: seconds would depend on the machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tracked import entry, in_new_process, opened

pytestmark = pytest.mark.usefixtures("nobodys_wandb")
COUNTED = """
import wandb
set_up, given, setup, init = [], [], wandb.setup, wandb.init
wandb.setup = lambda *a, **k: set_up.append(k) or setup(*a, **k)
wandb.init = lambda *a, **k: given.append(sorted(k["settings"].model_fields_set)) or init(*a, **k)
{}
for name in ("one-0", "two-0", "three-0"):
    finish(opened(root, name, commit=COMMIT), root)
print(len(set_up), given == [["disable_git", "git_commit"]] * 3, "wandb.sdk.launch" in sys.modules)
"""
STAGED = """
import wandb.sdk.launch
from wandb.sdk.launch.inputs.internal import StagedLaunchInputs
StagedLaunchInputs.apply = lambda self, run: print(run.id)
"""


def test_what_runs_have_in_common_is_set_once_and_launch_is_not_imported(tmp_path):
    """Each setting of a run is checked thrice by wandb; Launch takes longer to import than all the rest."""
    done = in_new_process(COUNTED.format(""), tmp_path)
    assert done.stdout == "1 True False\n", done.stderr


def test_what_was_staged_for_launch_is_still_given_to_a_run(tmp_path):
    done = in_new_process(COUNTED.format(STAGED), tmp_path)
    assert done.stdout.splitlines() == ["one-0", "two-0", "three-0", "1 True True"], done.stderr


def test_an_epoch_looks_for_room_once_and_walks_no_folders(tmp_path, monkeypatch):
    tracker, looked, usage = opened(tmp_path), [], shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: looked.append(path) or usage(path))
    monkeypatch.setattr(Path, "resolve", lambda *_: pytest.fail("walked"))
    tracker.log(entry(1))
    assert looked == [tracker.folder.parent]
    monkeypatch.undo()
    tracker.run.finish()
