"""A sweep from what is typed to what it leaves: its runs, its name, its list, its table, its exit code."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
import yaml

from freezeout import holder
from freezeout.cli.expansion import Job
from freezeout.cli.sweep_list import is_inert
from freezeout.cli.sweeper import tell_apart
from freezeout.run import lease, runner

ROOT = Path(__file__).parent.parent
SWEEPS = {"digits": 39, "quick": 36, "does_it_pay": 45, "figure2": 126, "figure3": 126, "figure4": 72, "figure5": 126}
MINE = """
common: [epochs=1, machine=cpu, machine.threads=1]
arms:
  - [strategy=baseline]
  - [strategy=freezeout, t_0=0.5]
seeds: [0]
"""


@pytest.fixture
def mine(tmp_path):
    """A sweep file of the user's own, `mine`; calling it writes another content. `--config-dir` is in `words`."""
    path = tmp_path / "own/sweeps/mine.yaml"
    path.parent.mkdir(parents=True)

    def write(text: str) -> None:
        path.write_text(text)

    write.words = ("-m", f"--config-dir={tmp_path / 'own'}", "sweeps=mine", "tracker=none")
    write(MINE)
    return write


def listed(root: Path) -> dict[str, list[tuple[str, int, int]]]:
    """(strategy, epochs, seed) of every run in every stored list."""
    found = {}
    for path in sorted((root / "sweeps").glob("*.json")):
        runs = json.loads(path.read_text())["runs"]
        found[path.stem] = [(r["label"]["strategy"]["name"], r["label"]["epochs"], r["seed"]) for r in runs]
    return found


def test_a_sweep_runs_what_is_missing_and_names_what_failed(freezeout, tmp_path) -> None:
    words = ["-m", "strategy=baseline,freezeout", "t_0=0.3,0.8", "seed=0,1", "epochs=1", "sweep=mine"]
    said = freezeout(*words)
    assert said.code == 0, said.err
    assert "6 runs (2 duplicates dropped), 0 done before, 6 to do" in said.err, "a baseline does not depend on t_0"
    seeds = [line.split("seed=")[1][0] for line in said.err.splitlines() if line.startswith("[")]
    assert seeds == list("000111"), "seeds are outermost"
    manifest = json.loads((tmp_path / "runs/sweeps/mine.json").read_text())
    assert len({run["run_id"] for run in manifest["runs"]}) == 6
    again = freezeout(*words)
    assert "6 done before, 0 to do" in again.err
    (tmp_path / "runs" / manifest["runs"][0]["run_id"].rpartition("-")[0] / "0/record.json").unlink()
    assert "5 done before, 1 to do (1 resumed)" in freezeout(*words).err


def test_a_run_that_failed_is_named_and_tried_again_when_that_is_asked_for(freezeout, tmp_path, monkeypatch) -> None:
    real, words = runner.evaluate, ["-m", "strategy=baseline,freezeout", "epochs=1"]

    def broken(training, split):
        if training.freezeout.schedule.freeze[0] < 1:
            raise ZeroDivisionError("no luck")
        return real(training, split)

    with monkeypatch.context() as patched:
        patched.setattr(runner, "evaluate", broken)
        first = freezeout(*words)
    (folder,) = (path.parent.relative_to(tmp_path) for path in (tmp_path / "runs").glob("*/*/error.txt"))
    assert first.code == 1
    lines = first.err.splitlines()[-2:]
    assert lines[0] == "freezeout: 1 of 2 runs failed; retry_failed=true tries them again:"
    assert lines[1].startswith(f"  ZeroDivisionError: no luck (traceback: {folder}")
    again = freezeout(*words)
    assert (again.code, again.err.splitlines()[-2:]) == (1, lines)
    assert "1 done before, 1 failed before (retry_failed=true tries again), 0 to do" in again.err
    mended = freezeout(*words, "retry_failed=true")
    assert mended.code == 0
    assert "1 done before, 1 failed before (tried again), 1 to do, records" in mended.err
    assert len(listed(tmp_path / "runs")) == 1, "asking for it makes no sweep of its own"
    assert "2 done before, 0 to do" in freezeout(*words).err


def test_whether_what_failed_is_tried_again_is_one_choice_for_a_sweep(freezeout) -> None:
    said = freezeout("-m", "retry_failed=true,false", "epochs=1")
    assert (said.code, said.err) == (2, "freezeout: retry_failed=true,false: must be the same in all runs\n")
    assert freezeout("retry_failed=perhaps").err == "freezeout: retry_failed=perhaps: must be true or false\n"


def test_a_sweep_ends_with_its_table_also_when_nothing_was_to_do(freezeout) -> None:
    words = ["-m", "strategy=baseline,freezeout", "seed=0,1", "epochs=1"]
    first, again = freezeout(*words), freezeout(*words)
    lines = first.out.splitlines()
    assert lines[0].split() == ["configuration", "runs", "error,", "%", "seconds", "saving"]
    assert lines[1].startswith("baseline ")
    assert lines[1].endswith(" 0.0 %")
    assert lines[2].startswith("FreezeOut cubic scaled t_0=0.8 ")
    assert " ± " in lines[2]
    assert "0 to do" in again.err
    assert again.out == first.out


def test_the_list_keeps_the_files_order_and_the_runs_are_launched_in_a_drawn_one(freezeout, tmp_path) -> None:
    words = ["-m", "strategy=baseline,shortened,lr_only,freezeout", "seed=0,1,2", "epochs=1"]
    said = freezeout(*words)
    launched = [line.split("] ")[1].split()[0] for line in said.err.splitlines() if line.startswith("[")]
    orders = {tuple(launched[i : i + 4]) for i in (0, 4, 8)}
    assert len(orders) > 1, "no arm always runs first"
    ((_, runs),) = listed(tmp_path / "runs").items()
    assert [name for name, _, _ in runs] == ["baseline", "shortened", "lr_only", "freezeout"] * 3
    assert [seed for _, _, seed in runs] == [0] * 4 + [1] * 4 + [2] * 4


def test_the_order_of_the_runs_does_not_depend_on_what_is_done_already(freezeout, tmp_path) -> None:
    words = ["-m", "strategy=baseline,shortened,freezeout", "seed=1,0", "epochs=1"]

    def launched() -> list[str]:
        said = freezeout(*words)
        return [line.split("] ")[1].split(":")[0] for line in said.err.splitlines() if line.startswith("[")]

    first = launched()
    ((_, runs),) = [(p, json.loads(p.read_text())["runs"]) for p in (tmp_path / "runs/sweeps").glob("*.json")]
    name, _, seed = runs[0]["run_id"].rpartition("-")
    for path in (tmp_path / "runs").glob("*/*/record.json"):
        if path.parts[-3:-1] != (name, seed):
            path.unlink()
    assert launched() == [line for line in first if line != "baseline seed=1"]


def test_nothing_ever_leaves_the_list_of_a_named_sweep(freezeout, tmp_path) -> None:
    def after(*words: str) -> list[tuple[str, int, int]]:
        said = freezeout("-m", "sweep=mine", *words)
        assert said.code == 0, said.err
        return listed(tmp_path / "runs")["mine"]

    one, two, three = ("baseline", 1, 0), ("baseline", 1, 1), ("baseline", 2, 0)
    assert after("strategy=baseline", "seed=0", "epochs=1") == [one]
    assert after("strategy=baseline", "seed=1", "epochs=1") == [one, two]
    assert after("strategy=baseline", "seed=0", "epochs=2") == [one, two, three]
    assert after("strategy=baseline", "seed=0,1", "epochs=1") == [three, one, two]
    # A shortened baseline that is a run of the list already keeps what the list calls it.
    assert after("strategy=shortened", "strategy.budget=0.5", "seed=0", "epochs=2") == [three, two, one]


def test_more_seeds_and_arms_make_the_list_of_a_file_grow(freezeout, tmp_path, mine) -> None:
    freezeout(*mine.words, quick=False)
    freezeout(*mine.words, "seed=1", quick=False)
    both = [("baseline", 1, 0), ("freezeout", 1, 0), ("baseline", 1, 1), ("freezeout", 1, 1)]
    assert listed(tmp_path / "runs") == {"mine": both}
    mine(MINE.replace("- [strategy=baseline]", "- [strategy=baseline]\n  - [strategy=lr_only]"))
    freezeout(*mine.words, "seed=0,1", quick=False)
    grown = [(name, 1, seed) for seed in (0, 1) for name in ("baseline", "lr_only", "freezeout")]
    assert listed(tmp_path / "runs") == {"mine": grown}


@pytest.mark.slow
def test_overrides_that_make_other_runs_make_a_sweep_of_their_own_and_say_so(freezeout, tmp_path, mine) -> None:
    freezeout(*mine.words, quick=False)
    said = freezeout(*mine.words, "epochs=2", "seed=0", "t_0=0.5", quick=False)
    names = listed(tmp_path / "runs")
    (other,) = set(names) - {"mine"}
    assert other.startswith("mine-")
    assert f"sweep {other}: epochs=2 changes the runs of sweeps/mine.yaml" in said.err
    assert names["mine"] == [("baseline", 1, 0), ("freezeout", 1, 0)]
    assert names[other] == [("baseline", 2, 0), ("freezeout", 2, 0)]
    freezeout(*mine.words, "epochs=2", "seed=1", quick=False)
    assert set(listed(tmp_path / "runs")) == {"mine", other}, "what changes nothing is not in the name"


@pytest.mark.skipif(torch.cuda.is_available(), reason="machine.device=auto finds a GPU here")
@pytest.mark.parametrize(
    "words",
    [["t_0=0.5"], ["machine.run_ahead=null"], ["tracker=wandb", "tracker.mode=disabled"], ["machine.device=auto"]],
)
def test_overrides_that_make_no_other_runs_leave_the_sweep_its_name(freezeout, tmp_path, mine, words) -> None:
    freezeout(*mine.words, quick=False)
    said = freezeout(*mine.words, *words, quick=False)
    assert "2 done before, 0 to do" in said.err
    assert set(listed(tmp_path / "runs")) == {"mine"}


def test_what_says_where_or_who_or_which_replicate_changes_no_configuration() -> None:
    inert = ["seed=1,2", "out=x", "data_dir=x", "tracker=none", "tracker.mode=online", "dataset.root=x", "sweep=x"]
    assert all(map(is_inert, [*inert, "limit=1h", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]))
    assert not any(map(is_inert, ["dataset.size=8", "dataset=digits", "epochs=1", "machine.threads=1", "seeds=1"]))


def test_overrides_that_choose_among_a_files_runs_leave_the_sweep_its_name(freezeout, tmp_path, mine) -> None:
    freezeout(*mine.words, "strategy=baseline", quick=False)
    assert listed(tmp_path / "runs") == {"mine": [("baseline", 1, 0)]}


def test_what_a_file_requires_may_be_given_beside_it(freezeout, tmp_path, mine) -> None:
    mine("arms: [[model=python, machine=cpu, machine.threads=1]]\nseeds: [0]\n")
    (tmp_path / "net.py").write_text(
        "from torch import nn\ndef build(classes): return nn.Sequential(nn.Flatten(), nn.Linear(192, classes))\n"
    )
    said = freezeout(*mine.words, "epochs=1", "model.target=net:build", quick=False)
    assert said.code == 0, said.err
    ((name, _),) = listed(tmp_path / "runs").items()
    assert name.startswith("mine-")


@pytest.mark.slow
def test_another_folder_or_a_default_spelt_out_is_the_same_sweep(freezeout, tmp_path) -> None:
    words = ["-m", "strategy=freezeout,baseline", "epochs=1"]
    freezeout(*words, "seed=0")
    for more in (["t_0=0.8"], ["out=./runs"], ["strategy.how_scale=cubic"], ["seed=1"]):
        freezeout(*words, *more)
    ((name, runs),) = listed(tmp_path / "runs").items()
    assert name.startswith("multirun-")
    assert len(runs) == 4
    freezeout(*words, "t_0=0.3")
    assert len(listed(tmp_path / "runs")) == 2


def test_a_list_that_cannot_be_read_is_named_and_left_alone(freezeout, tmp_path) -> None:
    path = tmp_path / "runs/sweeps/mine.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    said = freezeout("-m", "epochs=1", "sweep=mine")
    assert said.code == 2
    assert said.err.splitlines()[-1].startswith("freezeout: runs/sweeps/mine.json: not a list of runs; move it away")
    assert path.read_text() == "{"


def test_shortened_is_the_baseline_with_fewer_epochs(freezeout, tmp_path) -> None:
    freezeout("strategy=shortened", "strategy.budget=0.5", "epochs=2")
    said = freezeout("-m", "strategy=baseline", "epochs=1,2", "seed=0")
    assert "2 runs, 1 done before, 1 to do" in said.err


def test_the_runs_of_a_sweep_are_told_apart_and_a_diverged_one_is_a_result(freezeout) -> None:
    words = ["-m", "epochs=1", "strategy=baseline", "optimizer.lr=0.1,1e9", "sweep=rates"]
    said = freezeout(*words)
    assert "] optimizer.lr=0.1 baseline seed=0: error" in said.err
    assert "] optimizer.lr=1000000000.0 baseline seed=0: diverged: the training loss" in said.err
    last = said.err.splitlines()[-2:]
    assert said.code == 0
    assert last[0] == "1 of 2 runs diverged (a result):"
    assert last[1].startswith("  optimizer.lr=1000000000.0 runs")
    assert "0 of 1, 1 diverged" in said.out
    assert "1 done before, 1 diverged before (a result), 0 to do" in freezeout(*words).err


def test_twins_are_told_apart_by_what_their_titles_leave_out() -> None:
    jobs = [
        Job([f"seed={seed}", "strategy=freezeout", *bn], None) for seed in (0, 1) for bn in ([], ["strategy.bn=train"])
    ]
    tell_apart(jobs)
    assert [job.label for job in jobs] == ["", "strategy.bn=train "] * 2


def test_a_single_run_is_no_plural_and_the_time_left_is_said_in_words(freezeout) -> None:
    assert "1 run, 0 done before, 1 to do" in freezeout("-m", "epochs=1").err
    said = freezeout("-m", "epochs=1", "strategy=baseline", "seed=0,1")
    lines = [line for line in said.err.splitlines() if line.startswith("[")]
    assert lines[0].endswith("; less than a minute left")
    assert "left" not in lines[1]


def test_a_damaged_record_costs_its_own_run_only(freezeout, tmp_path) -> None:
    words = ["-m", "strategy=baseline", "seed=0,1", "epochs=1", "sweep=mine"]
    freezeout(*words)
    (damaged,) = (tmp_path / "runs").glob("*/0/record.json")
    damaged.write_text("{")
    again = freezeout(*words)
    assert again.code == 1
    assert "1 done before, 1 to do" in again.err
    assert "not a readable record" in again.err.splitlines()[-1]
    assert again.err.splitlines()[-1].count(str(damaged.relative_to(tmp_path).parent)) == 1, "the path is said once"
    assert "delete it to train again" in again.err
    assert "not a readable record" in freezeout("strategy=baseline", "epochs=1").err


def test_a_run_that_another_process_trains_is_left_to_it_at_the_limit_and_is_no_failure(freezeout, tmp_path) -> None:
    words = ["-m", "strategy=baseline", "seed=0,1", "epochs=1", "sweep=mine"]
    freezeout(*words)
    (record,) = (tmp_path / "runs").glob("*/0/record.json")
    record.unlink()
    folder = record.parent.relative_to(tmp_path)
    with lease.take(record.parent) as held:
        said = freezeout(*words, "limit=1s")
        alone = freezeout("strategy=baseline", "epochs=1", "seed=0")
    assert said.code == 0, said.err
    assert f"waiting for {held.holder} to train {folder}\n" in said.err
    assert "1 of 2 runs being trained by another process" in said.err
    assert "failed" not in said.err
    assert alone.code == 2
    last = alone.err.splitlines()[-1]
    assert last == f"freezeout: {folder}: another process is training this run ({held.holder})"
    assert freezeout(*words).code == 0, "what it left is done by the next"


def test_what_a_process_left_that_died_after_its_last_record_is_cleared(freezeout, tmp_path) -> None:
    freezeout("-m", "strategy=baseline", "epochs=1")
    (folder,) = (path.parent for path in (tmp_path / "runs").glob("*/0/record.json"))
    for again in (["-m"], []):
        dead = dataclasses.replace(holder.myself(), began="1")
        holder.path_of(folder, 1).write_bytes(holder.written(0, dead))
        assert freezeout(*again, "strategy=baseline", "epochs=1").code == 0
        assert not list(folder.glob("lease.*"))


def test_a_sweep_with_a_mistake_in_one_arm_starts_nothing(freezeout, tmp_path) -> None:
    said = freezeout("-m", "t_0=0.5,2", "epochs=1")
    assert said.code == 2
    assert "t_0=2.0" in said.err
    assert not list(tmp_path.iterdir())


def test_every_sweep_file_says_what_it_is_and_how_many_runs() -> None:
    names = {p.stem for p in (ROOT / "sweeps").glob("*.yaml")}
    assert {name for name in names if not name.startswith("cpu_")} == set(SWEEPS), (
        "the others: tests/test_cpu_sweeps.py"
    )
    for name, runs in SWEEPS.items():
        text = (ROOT / "sweeps" / f"{name}.yaml").read_text()
        header = [line for line in text.splitlines() if line.startswith("#")]
        for word in ("Question:", "Command:", "Runs:", "Figure:"):
            assert any(word in line for line in header)
        assert any(f"Runs:     {runs} " in line for line in header)
        assert set(yaml.safe_load(text)) <= {"common", "arms", "seeds", "packed", "margin"}


def test_the_default_sweep_has_the_rival_the_baseline_and_three_seeds(freezeout, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr("freezeout.cli.sweeper.Arms.launch", lambda self, todo, *rest: seen.extend(todo))
    monkeypatch.setattr("freezeout.cli.sweeper.report_failures", lambda jobs: None)
    said = freezeout("-m", "sweeps=digits", quick=False)
    assert said.code == 0, said.err
    assert len(seen) == SWEEPS["digits"] >= 24
    kinds = {type(job.config.strategy).__name__ for job in seen}
    assert kinds == {"Baseline", "Shortened", "FreezeOut"}
    assert {job.config.seed for job in seen} == {0, 1, 2}
    assert "nothing is uploaded" in said.err
