"""Profiles beside the records time their runs without being named, and are kept with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_profiles import H200, SECONDS, run, write_profile
from made_records import BASELINE, freezeout, shortened, write_manifest

from analysis.archive import archive
from analysis.comparisons import panels
from analysis.judging import judged_panels
from analysis.load import load

ENGINE = {"precision": "fp32", "channels_last": True, "fold": True}


def beside(root: Path, name: str = "a", device: str = "B", **changes: Any) -> Path:
    """A profile in root/profiles, of the engine of the runs below."""
    (root / "profiles").mkdir(parents=True, exist_ok=True)
    machine = {**ENGINE, "device": device, "threads": 1, **changes.pop("machine", {})}
    return write_profile(root / "profiles" / f"{name}.json", device=device, machine=machine, **changes)


def sweep(root: Path, kind: str = "cpu", device: str = "A", **changes: Any) -> None:
    """Three arms of one seed, trained on `device` without a profile."""
    own = {
        "device": {"type": kind, "model": device, "threads": 1},
        "effective": {"machine": {**ENGINE, "device": device, "threads": 1}},
        "saving": {"profiled": None, "predicted": 0.0, "estimated": None},
        **changes,
    }
    write_manifest(root, [run(root, arm, **own) for arm in (BASELINE, shortened(0.5), freezeout(0.5))])


def test_a_profile_beside_the_records_is_the_time_axis_and_says_whose_seconds_they_are(tmp_path) -> None:
    sweep(tmp_path)
    (measured,) = panels(load(tmp_path))
    assert measured.profiled_on is None
    beside(tmp_path)
    (panel,) = panels(load(tmp_path))
    assert panel.profiled_on == "B"
    saved = panel.points.set_index("strategy")["profiled_saving"]
    assert saved["shortened"] == pytest.approx(0.5)
    assert 0 < saved["freezeout"] < 1


def test_of_several_the_one_of_the_runs_own_device_counts(tmp_path) -> None:
    sweep(tmp_path, device="B")
    beside(tmp_path, "a", "A")
    beside(tmp_path, "b", "B")
    assert load(tmp_path)["timed_on"].unique().tolist() == ["B"]


def test_without_its_own_a_run_is_timed_as_most_runs_of_its_setting_are(tmp_path) -> None:
    """However the files are called: a profile that comes with other runs changes nothing."""
    beside(tmp_path, "a", "B")
    beside(tmp_path, "b", "C")
    entries = []
    for seed, device, smoothing in ((0, "A", 0.0), (1, "C", 0.0), (2, "B", 0.1), (3, "B", 0.1)):
        effective = {"machine": {**ENGINE, "device": device, "threads": 1}, "label_smoothing": smoothing}
        own = {"device": {"type": "cpu", "model": device, "threads": 1}, "effective": effective}
        entries.append(run(tmp_path, BASELINE, seed, **own))
    write_manifest(tmp_path, entries)
    assert load(tmp_path)["timed_on"].tolist() == ["C", "C", "B", "B"]


@pytest.mark.parametrize(
    "changes",
    [
        {"machine": {"precision": "bf16"}},  # another engine
        {"batch_size": 64},  # other steps
    ],
)
def test_one_that_does_not_fit_leaves_the_runs_as_they_are(tmp_path, changes) -> None:
    sweep(tmp_path)
    beside(tmp_path, **changes)
    table = load(tmp_path)
    assert table["timed_on"].isna().all()
    assert table["left_out"].isna().all(), "nobody asked for that profile"


def test_no_other_gpu_times_the_runs_of_one(tmp_path) -> None:
    sweep(tmp_path, kind="cuda", device=H200)
    beside(tmp_path, device="NVIDIA H100")
    assert load(tmp_path)["timed_on"].isna().all()
    beside(tmp_path, "own", device=H200)
    assert load(tmp_path)["timed_on"].unique().tolist() == [H200]


def test_its_rounds_bound_what_verdicts_trust(tmp_path) -> None:
    sweep(tmp_path)
    path = beside(tmp_path)
    path.write_text(path.read_text().replace('"seconds"', f'"width": {[0.08] * len(SECONDS)}, "seconds"', 1))
    (found,) = judged_panels(tmp_path)
    assert found.cells.trust == pytest.approx(0.04)
    assert found.judgement.time_bound == pytest.approx(0.04)


def test_a_file_that_is_none_is_named_and_left_aside(tmp_path, capsys) -> None:
    sweep(tmp_path)
    path = beside(tmp_path)
    path.write_text("{}")
    (tmp_path / "profiles" / "choices-1.json").write_text("{}")
    assert load(tmp_path)["timed_on"].isna().all()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"analysis: left aside: {path}: ")


def test_archive_keeps_those_of_the_runs_that_it_keeps(tmp_path) -> None:
    runs, kept = tmp_path / "runs", tmp_path / "kept"
    sweep(runs)
    beside(runs, "fits")
    beside(runs, "of_another_network", model={"name": "vgg"})
    paths = archive(runs, "smoke", kept).paths
    assert [path.name for path in paths] == ["smoke.jsonl", "smoke.json", "fits.json"]
    assert panels(load(kept))[0].profiled_on == "B"
