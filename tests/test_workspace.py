"""The workspace at W&B: its panels show what is logged, and one command makes it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tracked import RECORD, entry, in_new_process
from wandb_server import ENTITY, KEY, WandbServer

from freezeout.records import KEYS
from freezeout.run import wandb_view, workspace

pytestmark = [
    pytest.mark.usefixtures("nobodys_wandb"),
    pytest.mark.filterwarnings("ignore:Pydantic V1 style"),  # in wandb-workspaces 0.4
]
MAKE = "from freezeout.run import workspace\nsys.exit(workspace.main(sys.argv[1:]))"


def panels_of(spec: dict) -> dict[str, dict]:
    """The configuration of each panel by its title."""
    sections = spec["section"]["panelBankConfig"]["sections"]
    return {panel["config"]["chartTitle"]: panel["config"] for section in sections for panel in section["panels"]}


@pytest.fixture(scope="module")
def panels() -> dict[str, dict]:
    made = workspace.workspace("me", "theirs")._to_model()
    assert (made.entity, made.project, made.display_name) == ("me", "theirs", "FreezeOut")
    return panels_of(json.loads(made.spec.model_dump_json(by_alias=True, exclude_none=True)))


def test_every_panel_shows_what_a_run_logs(panels):
    logged = set(wandb_view.row(entry(1, step_seconds=0.01)))
    saving = dict.fromkeys(re.findall(r"`(\w+)`", KEYS["saving"]), 0.1)
    in_table = set(wandb_view.summary(RECORD | {"saving": saving}))
    for title, panel in panels.items():
        shown = [*panel.get("metrics", []), panel.get("xAxis", "epoch"), panel.get("yAxis")]
        for name in filter(None, shown):
            known = in_table if name.startswith("summary:") else logged | in_table
            assert name.removeprefix("summary:") in known, title
        if expression := panel.get("metricRegex"):
            assert [name for name in logged if re.fullmatch(expression, name)], title


def test_the_panels_that_matter_are_there(panels):
    error = panels["Error against training seconds, by strategy"]
    assert (error["xAxis"], error["metrics"], error["groupBy"]) == ("seconds", ["by_seconds/error"], "jobType")
    shown = {name for panel in panels.values() for name in panel.get("metrics", [])}
    assert {"active_stages", "step_seconds", "saving/predicted", "saving/estimated", "error"} <= shown
    (rates,) = [panel for panel in panels.values() if "metricRegex" in panel]
    assert (rates["metricRegex"], rates["limit"]) == ("learning_rate/.*", 1)


def test_one_command_makes_it_and_says_where_it_is(tmp_path):
    with WandbServer() as server:
        given = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY}
        done = in_new_process(MAKE, "--project", "theirs", **given)
        (view,) = server.views
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"made {server.url}/{ENTITY}/theirs?nw=")
    assert (view["entityName"], view["projectName"], view["type"]) == (ENTITY, "theirs", "project-view")
    assert "Active stages" in panels_of(json.loads(view["spec"]))


def test_without_a_login_a_line_says_so():
    done = in_new_process(MAKE, "--project", "theirs")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "no workspace made: ValueError: no API key: run `wandb login` or set WANDB_API_KEY\n"


def test_without_the_extra_a_line_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    assert workspace.main([]) == 2
    line = "no workspace made: wandb-workspaces is not installed: pip install 'freezeout[workspace]'\n"
    assert capsys.readouterr().err == line


def test_make_workspace_is_this_command():
    command = ["make", "-n", "--no-print-directory", "workspace", "ENTITY=me", "PROJECT=theirs"]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].endswith("python -m freezeout.run.workspace --entity me --project theirs")
