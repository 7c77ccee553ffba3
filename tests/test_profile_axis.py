"""Profiled seconds as the time axis, from a profile of the reader's own."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from made_profiles import H200, MODEL, SECONDS, STEPS, SWITCHES, record_of, run, schedule, write_profile
from made_records import BASELINE, freezeout, shortened, write_manifest

from analysis.__main__ import main
from analysis.axes import axis_of
from analysis.comparisons import panels
from analysis.judging import judged_panels
from analysis.load import load
from analysis.plots import draw
from analysis.profiles import differences, read_profile, read_profiles, saving_of
from freezeout.savings.profile import Profile, profiled_saving


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return write_profile(tmp_path / "profile.json")


@pytest.mark.parametrize("strategy", [BASELINE, shortened(0.7), freezeout(0.5), freezeout(0.8, "linear")])
def test_a_saving_from_the_blocks_is_that_of_the_schedule(root, profile, strategy):
    record = record_of(root, run(root, strategy))
    expected = profiled_saving(Profile(SECONDS, SWITCHES), schedule(strategy), record["steps"])
    assert saving_of(record, read_profile(profile)) == pytest.approx(expected, abs=1e-12)
    if strategy["name"] == "shortened":
        assert expected == 0, "a baseline of as many steps takes as long"


def test_a_profile_redraws_errors_with_its_own_seconds_and_not_the_runs(root, profile):
    write_manifest(root, [run(root, BASELINE), run(root, shortened(0.5)), run(root, freezeout(0.5), seconds={})])
    table = load(root, [read_profile(profile)]).set_index("strategy")
    expected = profiled_saving(Profile(SECONDS, SWITCHES), schedule(freezeout(0.5)), STEPS)
    assert table["profiled_saving"].to_dict() == pytest.approx(
        {"baseline": 0.0, "shortened": 0.5, "freezeout": expected}
    )
    assert table.loc["freezeout", "profiled_seconds"] == pytest.approx((1 - expected) * STEPS * SECONDS[0])
    assert pd.isna(table.loc["freezeout", "measured_saving"])
    (panel,) = panels(load(root, [read_profile(profile)]), H200)
    assert [axis_of(panel, x).column for x in ("saving", "seconds")] == ["profiled_saving", "profiled_seconds"]


@pytest.mark.parametrize(
    ("change", "what", "own"),
    [
        ({"model": MODEL | {"widen": 2}}, "model", "wrn_10_1"),
        ({"classes": 100}, "classes", "10"),
        ({"image": [32, 32]}, "image", "8 x 8"),
        ({"batch_size": 64}, "batch size", "50"),
        ({"augment": "none"}, "augment", "crop_flip"),
        ({"optimizer": "adamw"}, "optimizer", "sgd"),
    ],
)
def test_each_condition_that_differs_keeps_a_run_out_and_is_named(root, tmp_path, change, what, own):
    (found,) = differences(
        record_of(root, run(root, freezeout(0.5))), read_profile(write_profile(tmp_path / "p", **change))
    )
    assert (found.what, found.run) == (what, own)


def test_the_device_and_the_versions_may_differ(root, tmp_path):
    path = write_profile(tmp_path / "p", machine={"device": "another", "precision": "bf16"}, torch="3.0")
    assert not differences(record_of(root, run(root, freezeout(0.5))), read_profile(path))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"stages": []}, "stages"),
        ({"prefixes": None}, "steps"),
        ({"prefixes": [{"prefix": 0, "step_from": 0, "step_to": 50, "seconds": 1.0}]}, "steps"),
        ({"config": {"strategy": freezeout(0.5) | {"bn": "train"}}}, "bn"),
        ({"config": {"strategy": freezeout(0.5) | {"bn": "reestimate"}}}, "bn"),
        ({"data": {"name": "digits", "image": [8, 8]}}, "classes"),
        ({"data": {"name": "digits", "classes": 10}}, "image"),
    ],
)
def test_a_record_that_does_not_tell_enough_is_kept_out(root, profile, change, what):
    found = differences(record_of(root, run(root, freezeout(0.5), **change)), read_profile(profile))
    assert [one.what for one in found] == [what]


def test_a_panel_of_both_kinds_of_prefix_is_redrawn_with_a_profile_of_each(root, tmp_path, capsys):
    moving = freezeout(0.5) | {"bn": "train"}
    slower = (0.010, 0.0095, 0.009, 0.008, 0.007)
    write_manifest(root, [run(root, BASELINE), run(root, freezeout(0.5)), run(root, moving)])
    files = [write_profile(tmp_path / "eval.json"), write_profile(tmp_path / "train.json", slower, bn="train")]
    both = read_profiles(files)
    own = schedule(moving)
    for profiles in (both, both[::-1]):
        table = load(root, profiles).set_index(["strategy", "bn"])
        assert table.loc[("freezeout", "eval"), "profiled_saving"] == pytest.approx(
            profiled_saving(Profile(SECONDS, SWITCHES), own, STEPS)
        )
        assert table.loc[("freezeout", "train"), "profiled_saving"] == pytest.approx(
            profiled_saving(Profile(slower, SWITCHES), own, STEPS)
        )
        (panel,) = panels(load(root, profiles), H200)
        assert len(panel.points) == 3
        assert panel.profiled_on == H200
    words = ["pareto", "--runs", str(root), "--out", str(tmp_path / "out"), "--x", "saving", "--profile"]
    assert main([*words, *map(str, files)]) == 0
    assert "left out" not in capsys.readouterr().out
    assert main([*words, str(files[0])]) == 0
    assert (
        "left out: 1 run, not what the profile timed (nearest: bn train, the profile's eval)" in capsys.readouterr().out
    )


def test_verdicts_count_the_runs_that_the_profile_leaves_out(root, profile, capsys):
    moving = {**freezeout(0.5), "bn": "train"}
    write_manifest(root, [run(root, arm) for arm in (BASELINE, shortened(0.5), freezeout(0.5), moving)])
    for words in (["verdicts"], ["recommend", "--tolerance", "3%"], ["methods"]):
        assert main([*words, "--runs", str(root), "--profile", str(profile)]) == 0
    verdicts, methods = " ".join(capsys.readouterr().out.split()).split(" We trained ")
    assert "(wrn_10_1 on digits; 1 run left out): cannot tell" in verdicts
    assert "3 runs, 1 seed (1 left out), " in verdicts
    assert "3 runs in all; 1 run left out." in methods


def test_profiles_of_two_devices_or_of_the_same_steps_are_refused_in_one_line(tmp_path, capsys):
    first, again, other = (tmp_path / name for name in ("first", "again", "other"))
    write_profile(first)
    write_profile(again, bn="eval")
    write_profile(other, device="Xeon", bn="train")
    for path, said in (
        (again, f"times the same steps as {first}: give one of them"),
        (other, f"is of Xeon, and {first} of {H200}: give profiles of one device"),
    ):
        assert main(["pareto", "--profile", str(first), str(path)]) == 2
        assert capsys.readouterr().err == f"analysis: --profile {path}: {said}\n"


def test_one_line_counts_the_runs_left_out_and_names_the_nearest_difference(root, profile, tmp_path, capsys):
    other = {"batch_size": 25, "augment": {"kind": "none"}}
    write_manifest(root, [run(root, BASELINE), run(root, freezeout(0.5))], "fits")
    unfit = [run(root, freezeout(t_0), setting_id="g", config={"batch_size": 100}) for t_0 in (0.3, 0.8)]
    write_manifest(root, [*unfit, run(root, freezeout(0.9), setting_id="h", config=other)], "unfit")
    words = ["pareto", "--runs", str(root), "--out", str(tmp_path / "out"), "--profile", str(profile)]
    assert main(words) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("left out:")]
    assert lines == [
        "left out: 3 runs, not what the profile timed (nearest: batch size 100, the profile's 50)",
    ]
    kinds = ("png", "svg", "csv")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *(f"pareto_fits_on-NVIDIA-H200_{x}.{kind}" for x in ("saving", "seconds") for kind in kinds),
        *(f"savings_fits_on-NVIDIA-H200.{kind}" for kind in kinds),
        "runs_on-NVIDIA-H200.csv",
    }
    written = pd.read_csv(tmp_path / "out/pareto_fits_on-NVIDIA-H200_saving.csv")
    assert {"profiled_saving", "profiled_seconds", "measured_saving", "seconds_train"} <= set(written.columns)


def test_verdicts_say_why_runs_are_left_out(root, profile, capsys):
    fits = [run(root, strategy, s) for strategy in (BASELINE, shortened(0.5), freezeout(0.5)) for s in range(2)]
    write_manifest(root, [*fits, *(run(root, freezeout(0.8), s, config={"batch_size": 100}) for s in range(2))])
    words = ["verdicts", "--runs", str(root), "--profile", str(profile)]
    assert main(words) == 0
    heading, *lines = capsys.readouterr().out.splitlines()
    assert "(2 left out)" in heading
    assert lines[-1] == "left out: 2 runs, not what the profile timed (nearest: batch size 100, the profile's 50)"
    assert main([*words, "--json"]) == 0
    json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(("width", "bound"), [([0.0, 0.04, 0.06, 0.06, 0.5], 0.03), ([0.001] * 5, 0.01), (None, 0.01)])
def test_a_profiles_own_rounds_say_how_far_verdicts_may_trust_it(root, profile, width, bound):
    write_manifest(root, [run(root, BASELINE), run(root, shortened(0.5)), run(root, freezeout(0.5))])
    if width:
        profile.write_text(json.dumps({**json.loads(profile.read_text()), "width": width}))
    (found,) = judged_panels(root, [profile])
    assert found.judgement.time_bound == pytest.approx(bound)


def test_a_profile_that_fits_nothing_is_one_line(root, tmp_path, capsys):
    write_manifest(root, [run(root, BASELINE)])
    path = write_profile(tmp_path / "p", classes=100)
    assert main(["pareto", "--runs", str(root), "--profile", str(path), "--out", str(tmp_path / "out")]) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.count("\n") == 1
    assert "1 run, not what the profile timed (nearest: classes 10, the profile's 100)" in streams.err


def test_the_kept_records_are_redrawn_unless_others_are_named(profile, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["pareto", "--profile", str(profile), "--x", "saving", "--sweep", "quick"]) == 0
    said = capsys.readouterr().out
    assert "left out: 23 runs, not what the profile timed (nearest: model " in said
    written = pd.read_csv(tmp_path / "figures/pareto_quick_on-NVIDIA-H200_saving.csv").set_index("swept")
    # Of a baseline of half the epochs half is saved: all of a sweep's lengths are set against the longest.
    assert written.loc["10 epochs", "profiled_saving"] == pytest.approx(0.5)


CLOCKS_OFF = "\nthe runs' own clocks, 40 points off, are not drawn"


@pytest.mark.parametrize(("seconds", "says"), [(5.5, ""), (1.0, CLOCKS_OFF)])
def test_clocks_that_are_far_from_the_budgets_are_said_to_be_off_and_not_drawn(root, tmp_path, seconds, says):
    device = "Xeon 8480"
    path = write_profile(tmp_path / "p", device=device)
    short = {"seconds": {"train": seconds, "total": seconds}}
    write_manifest(root, [run(root, BASELINE), run(root, shortened(0.5), **short), run(root, freezeout(0.5))])
    (one,) = judged_panels(root, [path])
    kept = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plt, "close", kept.append)
        draw(one, "saving", tmp_path / "out", {})
    (axes,) = kept[0].axes
    assert axes.get_xlabel() == f"Training time saved relative to the baseline (%)\nprofiled on {device}, 1 seed{says}"
    assert bool(says) != bool([line for line in axes.lines if line.get_marker() == "|"])
    plt.close(kept[0])


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"conditions": {}}', "null"])
def test_a_file_that_is_no_profile_is_one_line(tmp_path, capsys, text):
    (tmp_path / "file").write_text(text)
    for path in (tmp_path / "file", tmp_path / "nothing", tmp_path):
        assert main(["pareto", "--profile", str(path)]) == 2
        streams = capsys.readouterr()
        assert streams.err.count("\n") == 1
        assert "freezeout.predict --measure" in streams.err


@pytest.mark.parametrize("seconds", [(), (0.01, 0.0), (0.01, float("nan")), (-1.0,)])
def test_a_profile_without_positive_seconds_is_refused(tmp_path, seconds):
    with pytest.raises(ValueError, match="needs seconds above 0 at every prefix"):
        read_profile(write_profile(tmp_path / "p", seconds))
