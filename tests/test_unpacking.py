"""The same sweep goes on in a fresh folder on another machine: what is packed is done, and only the rest is trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from made_records import find_records

from analysis.__main__ import main as analysis
from analysis.load import load
from freezeout import packed, records

MINE = """
common: [epochs=1, machine=cpu, machine.threads=1]
arms:
  - [strategy=baseline]
  - [strategy=freezeout, t_0=0.5]
seeds: [0, 1]
packed: true
"""


@pytest.fixture
def kept(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr("freezeout.cli.sweeper.KEPT", tmp_path / "kept")
    return tmp_path / "kept"


@pytest.fixture
def sweep(freezeout, tmp_path, monkeypatch):
    """Run the sweep `mine` into a folder, as on a CPU of some model."""
    path = tmp_path / "own/sweeps/mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(MINE)

    def run(out: str, cpu: str, *words: str, text: str = MINE):
        path.write_text(text)
        for module in ("identity", "record"):
            monkeypatch.setattr(f"freezeout.run.{module}.device_model", lambda device: cpu)
        given = ("-m", f"--config-dir={tmp_path / 'own'}", "sweeps=mine", "tracker=none", f"out={out}", *words)
        return freezeout(*given, quick=False)

    return run


def archive(out: str, kept: Path) -> int:
    return analysis(["archive", "--runs", out, "--sweep", "mine", "--out", str(kept)])


@pytest.fixture(scope="module")
def once(tmp_path_factory) -> Path:
    """Where the first machine's folder is kept for all tests here, once the first of them has trained it."""
    return tmp_path_factory.mktemp("once") / "first"


@pytest.fixture
def half(sweep, kept, once, tmp_path, capsys) -> dict[str, dict]:
    """The sweep with one run of four taken away again, packed: its three records by run id."""
    if not once.exists():
        assert sweep(str(once), "CPU A").code == 0
        name = json.loads((once / "sweeps/mine.json").read_text())["runs"][1]["run_id"].rpartition("-")[0]
        (once / name / "0/record.json").unlink()
    shutil.copytree(once, tmp_path / "first")
    assert archive("first", kept) == 0
    capsys.readouterr()
    return {record["run_id"]: record for _, record in find_records(tmp_path / "first")}


@pytest.fixture
def nothing_is_trained(half, monkeypatch) -> None:
    """The sweep's first line is all that is asked for."""
    monkeypatch.setattr("freezeout.cli.sweeper.Arms.launch", lambda self, todo, *rest: None)
    monkeypatch.setattr("freezeout.cli.sweeper.report_failures", lambda jobs: None)


def trained(said) -> list[str]:
    return [line.split("] ")[1].split(":")[0] for line in said.err.splitlines() if line.startswith("[")]


def test_the_same_command_on_another_machine_trains_only_what_is_not_packed(
    sweep, half, kept, tmp_path, capsys
) -> None:
    said = sweep("second", "CPU B")
    assert said.code == 0, said.err
    assert "sweep mine: 4 runs, 3 done before (3 from packed records), 1 to do, records in second" in said.err
    assert trained(said) == ["freezeout cubic scaled t_0=0.5 seed=0"]
    found = {record["run_id"]: (folder, record) for folder, record in find_records(tmp_path / "second")}
    assert len(found) == 4
    for run_id, record in half.items():
        folder, own = found[run_id]
        assert [path.name for path in folder.iterdir()] == ["record.json"]
        assert own["device"]["model"] == "CPU A"
        assert (own["error"], own["correct"]) == (record["error"], record["correct"])
    rows = [line for line in said.out.splitlines() if line.startswith(("baseline ", "FreezeOut "))]
    assert [row.split("  ")[0] for row in rows] == ["baseline", "FreezeOut cubic scaled t_0=0.5"], "a row for both"
    assert all(" ± " in row for row in rows)
    assert all(row.rstrip().endswith("%") for row in rows), "both have a saving"
    assert load(tmp_path / "second")["status"].tolist() == ["done"] * 4
    again = sweep("second", "CPU B")
    assert "4 runs, 4 done before, 0 to do" in again.err
    assert again.out == said.out
    assert archive("second", kept) == 0
    assert "sweep mine: 4 of 4 runs kept" in capsys.readouterr().out
    union = load(kept)
    assert union["status"].tolist() == ["done"] * 4, "the run that the first machine lacked is not listed twice"
    assert sorted(union["device"]) == ["CPU A"] * 3 + ["CPU B"]


@pytest.mark.usefixtures("nothing_is_trained")
def test_seconds_of_another_machine_forecast_nothing_here(sweep, half, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr("freezeout.cli.forecast.Rates.expect", lambda self, plan, seconds, steps: seen.append(seconds))
    assert "3 from packed records" in sweep("second", "CPU B").err
    assert not seen
    assert "3 done before, 1 to do" in sweep("first", "CPU A").err
    assert len(seen) == 3


@pytest.mark.usefixtures("nothing_is_trained")
def test_a_sweep_file_without_the_key_trains_as_ever(sweep, half) -> None:
    said = sweep("second", "CPU B", text=MINE.replace("packed: true", ""))
    assert "4 runs, 0 done before, 4 to do" in said.err


@pytest.mark.usefixtures("nothing_is_trained")
def test_what_was_made_by_other_numerics_is_trained_again(sweep, half, monkeypatch) -> None:
    monkeypatch.setattr(records, "NUMERICS", records.NUMERICS + 1)
    assert "0 done before, 4 to do" in sweep("second", "CPU B").err


@pytest.mark.usefixtures("nothing_is_trained")
def test_another_seed_or_length_is_not_what_was_packed(sweep, half) -> None:
    assert "2 runs, 0 done before, 2 to do" in sweep("second", "CPU B", "seed=2").err
    assert "4 runs, 0 done before, 4 to do" in sweep("third", "CPU B", "epochs=2", "sweep=mine").err


@pytest.mark.usefixtures("nothing_is_trained")
def test_runs_that_differ_in_threads_alone_are_not_each_others(sweep, half, monkeypatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(64))  # where there is one core, two would be refused
    said = sweep("second", "CPU B", "machine.threads=1,2", "sweep=mine", "seed=0")
    assert "4 runs, 0 done before, 4 to do" in said.err
    assert len([line for line in said.out.splitlines() if line.startswith(("baseline ", "FreezeOut "))]) == 4


@pytest.mark.usefixtures("nothing_is_trained")
def test_a_run_that_was_begun_here_goes_on_here(sweep, half, tmp_path) -> None:
    first = next(iter(half))
    name, _, seed = first.rpartition("-")
    folder = records.run_folder(tmp_path / "second", name, int(seed))
    folder.mkdir(parents=True)
    (folder / "checkpoint.pt").write_bytes((tmp_path / "first" / name / seed / "checkpoint.pt").read_bytes())
    assert "2 done before (2 from packed records), 2 to do (1 resumed)" in sweep("second", "CPU A").err
    assert not (folder / "record.json").exists()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text[:-100], "mine.jsonl: its last line is cut off; restore the file (git checkout -- "),
        (lambda text: "<<<<<<< HEAD\n" + text, "mine.jsonl: line 1 is malformed"),
    ],
)
def test_a_damaged_packed_record_is_one_line_and_nothing_is_trained(sweep, half, kept, tmp_path, damage, words) -> None:
    path = kept / "mine.jsonl"
    path.write_text(damage(path.read_text()))
    said = sweep("second", "CPU B")
    assert said.code == 2
    (line,) = said.err.splitlines()
    assert line.startswith("freezeout: ")
    assert words in line
    assert not (tmp_path / "second").exists()
    assert archive("first", kept) == 2, "nor does archiving write over it"


def test_a_run_of_ten_epochs_takes_a_few_kilobytes(half, tmp_path) -> None:
    from analysis.archive import compact

    record = next(record for record in half.values() if record["config"]["strategy"]["name"] == "freezeout")
    stages = len(record["stages"])
    cuts = [*range(0, 4000, 50)]
    blocks = [
        {**record["prefixes"][0], "prefix": i * stages // 80, "step_from": s, "step_to": s + 50}
        for i, s in enumerate(cuts)
    ]
    bits = {split: packed.pack_bits([True, False] * 5000) for split in ("validation", "test")}
    long = record | {"prefixes": blocks, "epochs": record["epochs"] * 10, "correct": bits}
    packed.write(tmp_path / "one.jsonl", [compact(long)])
    assert (tmp_path / "one.jsonl").stat().st_size < 16_000
    assert (tmp_path / "one.jsonl").stat().st_size < 0.6 * len(json.dumps(long))
