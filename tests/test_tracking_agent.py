"""The sweep files for `wandb sweep`, and what becomes of a run that `wandb agent` starts.

The agent is wandb's own; its server is a stand-in on loopback.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from launched import environment
from tracked import CONFIG, RECORD, SCRIPT, entry, in_new_process
from wandb_server import ENTITY, KEY, SWEEP, WandbServer

from freezeout import records
from freezeout.naming import folder
from freezeout.run import config as configuration
from freezeout.run import tracking, wandb_agent, wandb_view
from freezeout.run.overrides import check_overrides
from freezeout.run.tracking import NoTracker, Wandb

pytestmark = pytest.mark.usefixtures("nobodys_wandb")

FILES = sorted((folder("sweeps") / "wandb").glob("*.yaml"))
RUNS = {"grid": 48, "rival": 15, "random": 36}


@pytest.fixture
def server():
    with WandbServer() as running:
        yield running


@pytest.fixture
def agent(server, monkeypatch, tmp_path):
    """Be a process that `wandb agent` has started with some parameters, for the run `agents0`."""

    def start(**parameters) -> None:
        path = tmp_path / "config-agents0.yaml"
        path.write_text(yaml.dump({"wandb_version": 1, **{key: {"value": v} for key, v in parameters.items()}}))
        given = {"SWEEP_ID": SWEEP, "RUN_ID": "agents0", "SWEEP_PARAM_PATH": str(path), "PROJECT": "theirs"}
        for name, value in (given | {"ENTITY": ENTITY, "BASE_URL": server.url, "API_KEY": KEY}).items():
            monkeypatch.setenv(f"WANDB_{name}", value)

    return start


def values(file: Path) -> list[dict]:
    """The parameters that W&B's server draws from a sweep file: of a range its ends."""
    drawn = [
        [(name, value) for value in given.get("values") or (given["min"], given["max"])]
        for name, given in yaml.safe_load(file.read_text())["parameters"].items()
    ]
    return [dict(chosen) for chosen in itertools.product(*drawn)]


def commands(file: Path, monkeypatch, tmp_path) -> list[list[str]]:
    """What wandb's own agent would start, one command for each choice of parameters."""
    from wandb import wandb_agent as theirs

    started: list[list[str]] = []
    monkeypatch.setattr(theirs, "AgentProcess", lambda command, **_: started.append(command) or SimpleNamespace())
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SWEEP_ID", SWEEP)
    monkeypatch.setattr(os, "environ", os.environ.copy())  # the agent leaves its variables there
    sweep = yaml.safe_load(file.read_text())
    own = theirs.Agent(api=None, queue=None, sweep_id=SWEEP)
    own._sweep_command = sweep["command"]
    for number, chosen in enumerate(values(file)):
        arguments = {name: {"value": value} for name, value in chosen.items()}
        own._command_run({"run_id": str(number), "program": sweep["program"], "args": arguments})
    return started


@pytest.fixture
def composer(freezeout, monkeypatch):
    """What composes a sweep's jobs as Hydra does, only faster."""
    found = []
    monkeypatch.setattr("freezeout.cli.sweeper.Arms.sweep", lambda self, arguments: found.append(self.composer))
    assert freezeout("-m", quick=False).code == 0
    return found[0]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_command_of_a_sweep_file_composes_to_what_was_drawn(file, composer, monkeypatch, tmp_path):
    drawn, started = values(file), commands(file, monkeypatch, tmp_path)
    assert len(started) == RUNS[file.stem]
    for chosen, command in zip(drawn, started, strict=True):
        assert command[:4] == ["/usr/bin/env", "python", "-m", "freezeout"]
        check_overrides(command[4:], multirun=False, searchpath=False)
        shown = records.flat(configuration.to_dict(composer.config(command[4:])))
        assert {name: shown[name] for name in chosen} == chosen
        assert {name: type(shown[name]) for name in chosen} == {name: type(value) for name, value in chosen.items()}


def test_every_sweep_file_is_counted_here_and_in_the_docs():
    assert [file.stem for file in FILES] == sorted(RUNS)
    page = (folder("sweeps").parent / "docs/wandb.md").read_text()
    counted = dict(re.findall(r"^\| `sweeps/wandb/(\w+)\.yaml` \|.*\| (\S+) \|$", page, re.M))
    assert counted == {"grid": str(RUNS["grid"]), "rival": str(RUNS["rival"]), "random": "`--count`"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_sweep_file_says_what_it_asks_and_costs_and_is_judged_by_a_metric_that_is_logged(file):
    text, content = file.read_text(), yaml.safe_load(file.read_text())
    head = re.findall(r"^# (\w+):", text, re.M)
    assert head == ["Question", "Command", "Runs", "Cost"]
    assert f"wandb sweep sweeps/wandb/{file.name}" in text
    if content["method"] == "grid":
        assert f"\n# Runs:     {RUNS[file.stem]} = " in text
    assert content["metric"] == {"name": "error", "goal": "minimize"}
    assert "error" in wandb_view.row(entry(1))
    assert "error" in wandb_view.summary(RECORD)
    assert content["project"] == Wandb().effective_project


def test_without_an_agent_a_run_is_its_own(monkeypatch):
    assert (wandb_agent.sweep(), wandb_agent.run_id()) == (None, None)
    monkeypatch.setenv("WANDB_RUN_ID", "mine")
    assert wandb_agent.run_id() is None, "a variable that a shell may hold for other programs"
    assert wandb_agent.beside_parameters(CONFIG) is CONFIG


@pytest.mark.parametrize(
    ("mode", "variable", "effective"),
    [
        ("offline", None, "online"),
        ("disabled", None, "disabled"),
        ("offline", "offline", "offline"),
        ("online", "disabled", "disabled"),
    ],
)
def test_an_agent_asks_for_a_run_at_the_server(agent, monkeypatch, mode, variable, effective):
    agent()
    if variable:
        monkeypatch.setenv("WANDB_MODE", variable)
    assert Wandb(mode=mode).effective_mode == effective


def test_where_an_agents_run_is_logged_is_said(agent, server):
    agent()
    line = tracking.destination(Wandb(), Path("runs"))
    assert line == f"W&B online: {server.url}, run agents0 of W&B's sweep {SWEEP}"


def test_a_parameter_that_chooses_an_option_hides_nothing_of_it(agent):
    agent(strategy="freezeout", t_0=0.5)
    kept = wandb_agent.beside_parameters(CONFIG)
    assert kept["strategy.name"] == "freezeout"
    assert kept["strategy.how_scale"] == "cubic"
    assert "strategy" not in kept
    assert kept["model"] == CONFIG["model"]
    assert records.flat(kept) == records.flat(CONFIG)


def test_an_agents_run_is_logged_as_the_run_that_the_agent_named(agent, server, tmp_path):
    agent(strategy="freezeout", t_0=0.8)
    code = "tracker = opened(root, group=None); tracker.log(entry(1)); finish(tracker, root); print(tracker.identity)"
    done = in_new_process(code, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "'id': 'agents0'" in done.stdout
    assert list(server.runs) == ["agents0"]
    run = server.runs["agents0"]
    assert run.history == [wandb_view.row(entry(1))]
    assert (run.about["sweep"], run.about["project"], run.about["entity"]) == (SWEEP, "theirs", ENTITY)
    assert run.config["strategy"] == "freezeout", "as W&B's search knows it"
    assert (run.config["strategy.name"], run.config["t_0"]) == ("freezeout", 0.8)


def test_an_agents_run_that_was_cut_goes_on_under_its_id_also_without_the_agent(agent, server, monkeypatch, tmp_path):
    agent(t_0=0.8)
    first = "tracker = opened(root); tracker.log(entry(1)); finish(tracker, root, RECORD | {'status': 'interrupted'})\n"
    done = in_new_process(first + "print(tracker.identity['dir'])", tmp_path)
    again = "record = {'id': 'agents0', 'dir': sys.argv[2]}\n"
    again += "tracker = online(root, record=record, history=[entry(1)]); tracker.log(entry(2)); finish(tracker, root)"
    for name in ("SWEEP_ID", "RUN_ID", "SWEEP_PARAM_PATH"):
        monkeypatch.delenv(f"WANDB_{name}")
    assert in_new_process(again, tmp_path, done.stdout.strip()).stderr == ""
    assert list(server.runs) == ["agents0"]
    assert server.runs["agents0"].history == [wandb_view.row(entry(epoch)) for epoch in (1, 2)]


def test_a_finished_run_is_given_to_the_agent_that_asks_for_it(freezeout, agent, server, tmp_path):
    """Trained before, by hand or for another sweep: the sweep waits for its result all the same."""
    words = ["strategy=freezeout", "t_0=0.5", "epochs=1", "machine=cpu", "machine.threads=1"]
    assert freezeout(*words).code == 0
    (path,) = (tmp_path / "runs").glob("*/0/record.json")
    before, epochs = path.read_bytes(), records.read_lines(path.with_name("metrics.jsonl"))
    agent(t_0=0.5)
    command = [sys.executable, "-m", "freezeout", *words]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True, timeout=240)
    assert done.stdout.startswith("done before: ")
    run = server.runs["agents0"]
    assert run.history == [wandb_view.row(epoch) for epoch in epochs]
    assert run.files["record.json"] == before == path.read_bytes(), "the record stays as it was"
    assert run.about["sweep"] == SWEEP


def test_a_sweep_within_an_agents_run_is_refused_in_one_line(freezeout, agent):
    agent()
    said = freezeout("-m", "seed=0,1", "tracker=wandb")
    assert said.code == 2
    line = "freezeout: -m: wandb agent has started this command for one run at W&B: leave out -m\n"
    assert said.err == line
    assert freezeout("-m", "seed=0", "epochs=1", "tracker=none").code == 0
    assert isinstance(tracking.TRACKERS["none"](), NoTracker)


@pytest.mark.slow
def test_a_sweep_of_wandbs_from_its_file_to_its_runs(server, tmp_path):
    """`wandb sweep FILE` and `wandb agent`, as typed; the same parameters twice are trained once."""
    text = (folder("sweeps") / "wandb/grid.yaml").read_text().replace("epochs=20", "epochs=2")
    (tmp_path / "grid.yaml").write_text(text)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    at = environment() | {"PATH": path, "WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY}

    def wandb(*words: str) -> str:
        keywords = {"cwd": tmp_path, "env": at, "capture_output": True, "text": True, "check": True}
        return subprocess.run([str(SCRIPT), *words], timeout=400, **keywords).stderr

    agent = re.search(r"wandb (agent \S+)", wandb("sweep", "grid.yaml"))[1].split()
    assert agent == ["agent", f"{ENTITY}/freezeout/{SWEEP}"]
    one = {"seed": 0, "t_0": 0.65, "strategy.how_scale": "linear", "strategy.scale_lr": False}
    server.parameters = [one, one | {"t_0": 0.8}, one]
    wandb(*agent)
    assert server.parameters == []
    assert sorted(server.runs) == ["agents0", "agents1", "agents2"]
    first, other, again = (server.runs[f"agents{i}"] for i in range(3))
    assert len(first.history) == len(other.history) == 2
    assert first.history == again.history != other.history
    assert first.files["record.json"] == again.files["record.json"] != other.files["record.json"]
    assert [run.config["t_0"] for run in (first, other, again)] == [0.65, 0.8, 0.65]
    assert first.config["strategy.how_scale"] == first.config["strategy"]["how_scale"] == "linear"
    assert len(list((tmp_path / "runs").glob("*/0/record.json"))) == 2
