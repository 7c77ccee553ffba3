"""Which launchers there are, what is missing for one, and what a sweep is told before anything is handed over."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from freezeout.cli import launchers
from freezeout.naming import options
from freezeout.run.config import ConfigError

ROOT = Path(__file__).parent.parent
UNKNOWN = (
    "freezeout: hydra.launcher.n_job=3: unknown key hydra.launcher.n_job; "
    "--cfg hydra --package hydra.launcher prints what there is"
)
PRESETS = sorted((ROOT / "conf/hydra/launcher").glob("*.yaml"))


def test_every_launcher_with_a_file_is_known_and_the_other_way_round() -> None:
    assert options(launchers.GROUP) == sorted(launchers.PLUGINS) == [path.stem for path in PRESETS]


@pytest.mark.parametrize("option", launchers.PLUGINS)
def test_a_launcher_that_is_not_installed_says_what_to_install(freezeout, monkeypatch, option: str) -> None:
    monkeypatch.setattr(launchers, "find_spec", lambda name: None)
    extra = launchers.PLUGINS[option][1]
    said = freezeout("-m", f"hydra/launcher={option}", "epochs=1")
    line = f"freezeout: hydra/launcher={option}: is not installed; pip install 'freezeout[{extra}]'\n"
    assert (said.code, said.err) == (2, line)
    assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text()


def test_a_misspelt_launcher_is_named_with_the_nearest(freezeout) -> None:
    said = freezeout("-m", "hydra/launcher=jobib", "epochs=1")
    assert said.code == 2
    assert said.err == (
        "freezeout: hydra/launcher=jobib: unknown; did you mean joblib? "
        "Available: basic, joblib, ray, submitit_local, submitit_slurm\n"
    )
    launchers.check_launcher(["hydra/launcher=mine"], searchpath=True)


def test_slurm_where_there_is_none_is_a_mistake(monkeypatch) -> None:
    monkeypatch.setattr(launchers, "is_installed", lambda name: True)
    monkeypatch.setattr(launchers.shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match="hydra/launcher=submitit_slurm: there is no Slurm here"):
        launchers.check_launcher(["hydra/launcher=submitit_slurm"])
    launchers.check_launcher(["hydra/launcher=submitit_local", "hydra/launcher=basic"])


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_preset_opens_with_a_comment_and_fills_in_the_schema_of_its_package(freezeout, path: Path, monkeypatch):
    if not launchers.is_installed(path.stem):
        pytest.skip(f"{launchers.PLUGINS[path.stem][0]} is not installed")
    monkeypatch.setattr(launchers.shutil, "which", lambda name: name)
    text = path.read_text()
    assert text.startswith("# ")
    assert f"pip install 'freezeout[{launchers.PLUGINS[path.stem][1]}]'" in text
    shown = ["--cfg", "hydra", "--package", "hydra.launcher", f"hydra/launcher={path.stem}"]
    said = freezeout(*shown, quick=False)
    assert (said.code, said.err) == (0, "")
    assert f"_target_: hydra_plugins.{launchers.PLUGINS[path.stem][0]}" in said.out
    wrong = freezeout(*shown, "hydra.launcher.n_job=3", quick=False)
    assert (wrong.code, wrong.err) == (2, f"{UNKNOWN}\n")


def test_a_launcher_for_a_single_run_is_refused(freezeout, tmp_path) -> None:
    said = freezeout("hydra/launcher=joblib", "epochs=1", quick=False)
    line = "hydra/launcher=joblib: launches the runs of a sweep, and this is one run: add -m, or leave it out"
    assert (said.code, said.err) == (2, f"freezeout: {line}\n")
    assert freezeout("--cfg", "job", "hydra/launcher=joblib", quick=False).code == 0
    assert not list(tmp_path.iterdir())


def test_no_process_at_once_is_refused(freezeout, tmp_path) -> None:
    said = freezeout("-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=0", "epochs=1")
    assert said.code == 2
    assert said.err.endswith("hydra.launcher.n_jobs=0: must be at least 1, or -1 for as many as there are cores\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("launcher", ["submitit_local", "ray"])
def test_processes_elsewhere_have_to_be_told_their_threads(freezeout, tmp_path, launcher: str) -> None:
    if not launchers.is_installed(launcher):
        pytest.skip(f"{launcher} is not installed")
    said = freezeout("-m", f"hydra/launcher={launcher}", "epochs=1", "machine=cpu", "tracker=none", quick=False)
    assert said.code == 2
    assert said.err.startswith(f"freezeout: hydra/launcher={launcher}: machine.threads must be given, as in")
    assert not list(tmp_path.iterdir())


def test_ray_needs_a_folder_that_its_processes_find(freezeout, tmp_path) -> None:
    if not launchers.is_installed("ray"):
        pytest.skip("ray is not installed")
    said = freezeout("-m", "hydra/launcher=ray", "epochs=1")
    assert said.code == 2
    assert said.err == (
        f"freezeout: out=runs: must be an absolute path for hydra/launcher=ray, as in out={tmp_path / 'runs'}\n"
    )


def test_a_run_that_was_planned_on_another_machine_is_refused_before_it_trains(freezeout, tmp_path) -> None:
    said = freezeout("planned=0123456789ab-0", "epochs=1")
    assert said.code == 2
    assert said.err.startswith("freezeout: 0123456789ab-0: is ")
    assert "run the command on a node like this" in said.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("n_jobs", "threads", "cores", "runs", "advice"),
    [
        (2, 4, 8, 9, None),
        (8, 4, 8, 2, None),
        (-1, 1, 8, 9, None),
        (4, 8, 8, 9, "machine.threads=2 (changes run names) or hydra.launcher.n_jobs=1"),
        (4, 1, 2, 9, "hydra.launcher.n_jobs=2"),
    ],
)
def test_more_threads_than_cores_are_noted(n_jobs, threads, cores, runs, advice) -> None:
    config = OmegaConf.create({"hydra": {"runtime": {"choices": {"hydra/launcher": "joblib"}}, "launcher": {}}})
    config.hydra.launcher.n_jobs = n_jobs
    plans = [SimpleNamespace(threads=threads, device=SimpleNamespace(type="cpu"))] * runs
    note = launchers.Chosen(None, None, config).note(plans, cores)
    assert note is None if advice is None else note.endswith(f": {advice} is faster")


@pytest.mark.parametrize(("runs", "advice"), [(2, None), (9, "hydra/launcher=joblib hydra.launcher.n_jobs=2")])
def test_all_at_once_on_this_machine_are_noted_too(runs, advice) -> None:
    config = OmegaConf.create({"hydra": {"runtime": {"choices": {"hydra/launcher": "submitit_local"}}, "launcher": {}}})
    plans = [SimpleNamespace(threads=1, device=SimpleNamespace(type="cpu"))] * runs
    note = launchers.Chosen(None, None, config).note(plans, 2)
    assert note is None if advice is None else note.endswith(f": {advice} is faster")


CLUSTER = (ROOT / "docs/cluster.md").read_text()
COMMANDS = [
    line.removeprefix("$ ").partition(" #")[0].split() for line in CLUSTER.splitlines() if line.startswith("$ ")
]


@pytest.mark.parametrize("words", [w for w in COMMANDS if w[:4] == ["python", "-m", "freezeout", "-m"]], ids=" ".join)
def test_the_commands_of_the_guide_plan_their_sweep(freezeout, tmp_path, monkeypatch, words: list[str]) -> None:
    (launcher,) = [w.partition("=")[2] for w in words if w.startswith("hydra/launcher=")] or ["basic"]
    if launcher in launchers.PLUGINS and not launchers.is_installed(launcher):
        pytest.skip(f"{launcher} is not installed")
    monkeypatch.setattr(launchers.shutil, "which", lambda name: name)
    launched = []
    monkeypatch.setattr(
        "freezeout.cli.sweeper.Arms.launch", lambda self, todo, *rest: launched.append(self.chosen.name)
    )
    monkeypatch.setattr("freezeout.cli.sweeper.report_failures", lambda jobs: None)
    given = [word.replace("/shared", str(tmp_path)) for word in words[3:]]
    said = freezeout(*given, "machine=cpu", "tracker=none", "strategy=baseline", "seed=0", quick=False)
    assert said.code == 0, said.err
    assert launched == [launcher]


def test_the_guide_has_every_launcher_and_what_to_install_for_it() -> None:
    for name, (_, extra) in launchers.PLUGINS.items():
        assert f"| `{name}` |" in CLUSTER
        assert f"`pip install 'freezeout[{extra}]'`" in CLUSTER
