"""Records -> table: one row per run and sweep, savings paired by seed, and a reason for whatever is left out."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from made_records import BASELINE, EPOCHS, freezeout, make_run, make_sweep, shortened, write_manifest

from analysis.comparisons import panels
from analysis.load import NothingToDrawError, load, write_runs
from analysis.summary import left_out_text
from freezeout.records import write_text_atomic

ARM = freezeout(0.5)
SLOW, FAST = {"train": 10.0, "total": 12.0}, {"train": 7.0, "total": 9.0}
OTHER_GPU = {"type": "cuda", "model": "H200"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def pair(root: Path, baseline: dict | None = None, rival: dict | None = None) -> pd.Series:
    """The row of a FreezeOut run in a sweep of itself and the baseline of its seed."""
    entries = [
        make_run(root, BASELINE, **{"seconds": SLOW, **(baseline or {})}),
        make_run(root, ARM, **{"seconds": FAST, **(rival or {})}),
    ]
    write_manifest(root, entries)
    return load(root).set_index("strategy").loc["freezeout"]


def test_a_saving_is_one_minus_the_seconds_over_those_of_the_baseline_of_its_seed(root):
    seconds = {0: 10.0, 1: 20.0}
    entries = [make_run(root, BASELINE, seed, seconds={"train": seconds[seed]}) for seed in seconds]
    entries += [make_run(root, ARM, seed, seconds={"train": 5.0}) for seed in seconds]
    write_manifest(root, entries)
    table = load(root)
    rivals = table[table["strategy"] == "freezeout"].set_index("seed")["measured_saving"]
    assert rivals.to_dict() == {0: 0.5, 1: 0.75}
    assert (table.loc[table["strategy"] == "baseline", "measured_saving"] == 0).all()


def test_an_error_difference_is_paired_with_the_baseline_of_its_seed(root):
    assert pair(root, {"error": 3.0}, {"error": 3.5})["error_difference"] == 0.5


@pytest.mark.parametrize(
    ("baseline", "rival", "reason"),
    [
        ({"status": "failed"}, {}, "no finished baseline of its seed"),
        ({"setting_id": "another"}, {}, "no finished baseline of its seed"),
        ({"device": OTHER_GPU}, {}, "its baseline ran on another device or other versions"),
        ({"versions": {"torch": "2.11.0"}}, {}, "its baseline ran on another device or other versions"),
        ({}, {"repeated_seconds": 0.07}, "1 % or more of its training seconds were repeated"),
        ({"repeated_seconds": 0.1}, {}, "its baseline: 1 % or more of its training seconds were repeated"),
        ({}, {"repeated_seconds": 0.069}, None),
        ({}, {"repeated_seconds": None, "segments": [{}, {}]}, "resumed, and how much work was repeated is not known"),
        ({}, {"repeated_seconds": None}, None),
        ({}, {"seconds": {"train": None}}, "no training seconds in the record"),
        ({"seconds": {"train": 0.0}}, {}, "its baseline: no training seconds in the record"),
        ({}, {"shared_device": True}, "shared its device or stood still, so its clock is not used"),
        ({"shared_device": True}, {}, "its baseline: shared its device or stood still, so its clock is not used"),
        ({"shared_device": False}, {"shared_device": None}, None),
    ],
)
def test_a_saving_that_cannot_be_had_is_missing_with_its_reason_and_never_zero(root, baseline, rival, reason):
    row = pair(root, baseline, rival)
    if reason is None:
        assert row["measured_saving"] == pytest.approx(0.3)
        assert pd.isna(row["left_out_of_savings"])
    else:
        assert pd.isna(row["measured_saving"])
        assert row["left_out_of_savings"] == reason


def test_a_run_with_repeated_work_still_enters_error_plots(root):
    assert pd.isna(pair(root, {}, {"repeated_seconds": 5.0})["left_out"])


def test_of_a_run_on_a_shared_device_the_error_counts_and_no_second(root):
    entries = [make_run(root, BASELINE, seed, seconds=SLOW) for seed in (0, 1)]
    entries += [make_run(root, ARM, seed, seconds=FAST, error=2.0 + seed, shared_device=seed == 1) for seed in (0, 1)]
    write_manifest(root, entries)
    table = load(root)
    (panel,) = panels(table)
    point = panel.points.set_index("strategy").loc["freezeout"]
    assert (point["n"], point["error"]) == (2, 2.5)
    assert (point["measured_saving_n"], point["measured_saving"]) == (1, pytest.approx(0.3))
    assert (point["seconds_train_n"], point["seconds_train"]) == (1, 7.0)
    said = "left out of savings only: 1 run, shared its device or stood still, so its clock is not used"
    assert left_out_text(table) == said


def test_a_failed_long_baseline_is_not_replaced_by_a_shorter_one(root):
    long, short = make_run(root, BASELINE, status="failed"), make_run(root, {**BASELINE, "of": "10 epochs"}, steps=280)
    short["label"] = {"strategy": BASELINE, "epochs": EPOCHS // 2}
    write_manifest(root, [long, short, make_run(root, ARM)])
    assert load(root)["measured_saving"].isna().all()


def test_a_shorter_baseline_has_its_saving_against_the_longest(root):
    long, short = make_run(root, BASELINE), make_run(root, {**BASELINE, "of": "10 epochs"}, seconds={"train": 5.0})
    short["label"] = {"strategy": BASELINE, "epochs": EPOCHS // 2}
    write_manifest(root, [long, short])
    assert load(root)["measured_saving"].tolist() == [0.0, 0.5]


def lengths(root: Path, **rival) -> pd.DataFrame:
    """A baseline of 20 epochs and one of 10, a shortened one of 10, and FreezeOut of 10, by configuration."""
    short = make_run(root, {**BASELINE, "of": "10 epochs"}, steps=280, seconds={"train": 5.0})
    half = make_run(root, shortened(0.5), seconds={"train": 5.0})
    rival = make_run(root, ARM, steps=280, seconds={"train": 4.0}, **rival)
    for entry in (short, rival):
        entry["label"]["epochs"] = EPOCHS // 2
    short["label"]["strategy"] = BASELINE
    write_manifest(root, [make_run(root, BASELINE, seconds={"train": 10.0}), short, half, rival])
    return load(root).assign(name=["20", "10", "half", "rival"]).set_index("name")


def test_of_several_lengths_every_saving_is_against_the_longest_baseline(root):
    saved = {"estimated": 0.4, "predicted": None, "profiled": 0.2}
    table = lengths(root, saving=saved, flops={"step": 1000, "run": 1000 * 280 * 0.9})
    assert (table["reference_epochs"] == EPOCHS).all()
    kinds = ["estimated_saving", "predicted_saving", "profiled_saving", "measured_saving"]
    assert table.loc["rival", kinds].tolist() == pytest.approx([0.7, 0.55, 0.6, 0.6])
    assert table.loc[["20", "10"], "predicted_saving"].tolist() == [0.0, 0.5]
    assert table.loc[["20", "10"], "measured_saving"].tolist() == [0.0, 0.5]


def test_a_shortened_run_and_the_baseline_of_as_many_steps_save_the_same(root):
    table = lengths(root)
    for kind in ("predicted_saving", "measured_saving"):
        assert table.loc["half", kind] == table.loc["10", kind] == 0.5


def test_one_shared_record_saves_half_of_two_epochs_and_nothing_of_one(root):
    entry = make_run(root, BASELINE, steps=28, seconds={"train": 1.0})
    two = make_run(root, {**BASELINE, "of": 2}, steps=56, seconds={"train": 2.0})
    two["label"] = {"strategy": BASELINE, "epochs": 2}
    write_manifest(root, [{**entry, "label": {"strategy": shortened(0.5), "epochs": 2}}, two], "halved")
    write_manifest(root, [{**entry, "label": {"strategy": BASELINE, "epochs": 1}}], "single")
    table = load(root).groupby("sweep")[["predicted_saving", "measured_saving"]].first()
    assert table.loc["halved"].tolist() == [0.5, 0.5]
    assert table.loc["single"].tolist() == [0.0, 0.0]


def test_a_record_of_an_earlier_version_gives_the_row_that_a_new_one_gives(tmp_path):
    """It was set against the 560 steps of whoever asked for it first, and had other words for some keys."""
    for name, saving, flops in (("new", 0.2, {"step": 10, "run": 2240}), ("old", 0.6, {"baseline": 5600, "run": 2240})):
        record = {"steps": 280, "saving": {"profiled": saving}, "flops": flops}
        write_manifest(tmp_path / name, [make_run(tmp_path / name, ARM, **record)])
    (path,) = (tmp_path / "old").glob("*/*/record.json")
    old = json.loads(path.read_text())
    old |= {"group": old.pop("setting_id"), "full_steps": 560, "repeated_seconds": None}
    path.write_text(json.dumps({key: value for key, value in old.items() if key not in ("split", "diverged")}))
    new, old = load(tmp_path / "new"), load(tmp_path / "old")
    assert new["setting_id"].tolist() == ["9f2c4e1b77aa"]
    pd.testing.assert_frame_equal(new, old)
    assert old[["predicted_saving", "profiled_saving"]].values.tolist() == [[pytest.approx(0.6), pytest.approx(0.6)]]


def test_diverged_seeds_are_counted_beside_every_run_of_their_configuration(root):
    lost = {"status": "failed", "diverged": True, "error": None}
    write_manifest(root, [make_run(root, ARM), make_run(root, ARM, 1, **lost), make_run(root, BASELINE)])
    table = load(root)
    assert table["diverged_seeds"].tolist() == [1, 1, 0]
    assert table["left_out"].tolist() == [None, "diverged", None]


def test_two_sweeps_are_one_panel_in_which_a_shared_run_is_one_row(root):
    baseline, ours, theirs = make_run(root, BASELINE), make_run(root, ARM), make_run(root, ARM, 1)
    write_manifest(root, [baseline, ours], "a")
    write_manifest(root, [baseline, theirs], "b")
    write_manifest(root, [make_run(root, shortened(0.5))], "c")
    table = load(root, sweeps=["b", "a"])
    assert set(table["comparison"]) == {"b+a"}
    assert table.set_index("series")["sweep"].to_dict() == {
        "baseline": "b+a",
        "FreezeOut cubic scaled (a)": "a",
        "FreezeOut cubic scaled (b)": "b",
    }
    assert len(load(root)) == 5


def test_a_series_that_two_sweeps_share_whole_is_not_told_apart(root):
    both = [make_run(root, BASELINE), make_run(root, ARM)]
    for sweep in ("a", "b"):
        write_manifest(root, both, sweep)
    assert load(root, sweeps=["a", "b"])["series"].tolist() == ["baseline", "FreezeOut cubic scaled"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": "failed", "diverged": True}, "diverged"),
        ({"status": "failed", "reason": "the loss is NaN"}, "failed"),
        ({"status": "interrupted"}, "interrupted"),
        ({"data": {"name": "synthetic", "test": 10, "synthetic": True}}, "synthetic data: for timing only"),
        ({"error": None}, "no final error in its record"),
        ({"schema_version": 99}, "unreadable"),
        ({"config": None}, "unreadable"),
    ],
)
def test_a_run_that_enters_no_error_plot_stays_in_the_table_with_the_reason(root, change, reason):
    write_manifest(root, [make_run(root, BASELINE), make_run(root, ARM, **change)])
    assert load(root)["left_out"].tolist()[1] == reason


def test_synthetic_runs_keep_their_savings(root):
    synthetic = {"data": {"name": "synthetic", "test": 10, "synthetic": True}}
    assert pair(root, synthetic, synthetic)["measured_saving"] == pytest.approx(0.3)


def test_half_a_record_is_unreadable_and_counted(root):
    entry = make_run(root, BASELINE)
    record = next(root.glob("*/*/record.json"))
    write_text_atomic(record, record.read_text()[:100])
    write_manifest(root, [entry])
    table = load(root)
    assert table["left_out"].tolist() == ["unreadable"]
    assert "not a readable record" in table["reason"].iloc[0]


def test_a_listed_run_without_a_record_is_missing(root):
    write_manifest(root, [make_run(root, BASELINE), {"run_id": "ffff-0", "seed": 0, "label": {"strategy": ARM}}])
    assert load(root)["left_out"].tolist()[1] == "missing: not started, or still running"


@pytest.mark.parametrize("text", ["{", "[]", '{"runs": [{"run_id": "a-0", "seed": 0, "label": "baseline"}]}'])
def test_a_manifest_that_is_none_is_a_row_that_says_so(root, text):
    make_run(root, BASELINE)
    write_text_atomic(root / "sweeps" / "broken.json", text)
    table = load(root).set_index("sweep")
    assert table.loc["broken", "left_out"] == "unreadable"


def test_runs_on_another_machine_than_most_of_their_panel_are_left_out(root):
    entries = [make_run(root, BASELINE), make_run(root, shortened(0.5)), make_run(root, ARM, device=OTHER_GPU)]
    write_manifest(root, entries)
    assert load(root)["left_out"].tolist() == [None, None, "another device or other versions"]


@pytest.mark.parametrize("where", [{}, {"device": OTHER_GPU}])
def test_with_a_tie_the_baselines_machine_is_the_reference(root, where):
    elsewhere = {"device": {"type": "cuda", "model": "L4"}}
    write_manifest(root, [make_run(root, ARM, **elsewhere), make_run(root, BASELINE, **where)])
    assert load(root).set_index("strategy")["left_out"].notna().to_dict() == {"freezeout": True, "baseline": False}


def test_a_run_in_two_sweeps_is_a_row_in_each_as_that_sweep_calls_it(root):
    entry = make_run(root, BASELINE)
    write_manifest(root, [entry], "a")
    write_manifest(root, [{**entry, "label": {"strategy": shortened(0.5), "epochs": 40}}], "b")
    assert load(root)[["sweep", "strategy", "epochs"]].values.tolist() == [
        ["a", "baseline", 20],
        ["b", "shortened", 40],
    ]


def test_a_run_that_no_manifest_lists_belongs_to_the_sweep_runs_under_its_own_config(root):
    make_run(root, ARM)
    row = load(root).iloc[0]
    assert (row["sweep"], row["strategy"], row["t_0"], row["epochs"]) == ("runs", "freezeout", 0.5, EPOCHS)


@pytest.mark.parametrize(
    ("data", "split", "images"), [({"validation": 50, "test": 9}, "validation", 50), ({"test": 9}, "test", 9)]
)
def test_the_evaluation_images_are_those_of_the_split_that_gave_the_error(root, data, split, images):
    make_run(root, BASELINE, split=split, data={"name": "digits", "synthetic": False, **data})
    row = load(root).iloc[0]
    assert (row["evaluation_split"], row["evaluation_images"]) == (split, images)


def test_nothing_there_is_one_line_with_a_remedy(root):
    with pytest.raises(NothingToDrawError, match="no such folder; `python -m freezeout -m sweeps=digits"):
        load(root)
    root.mkdir()
    with pytest.raises(NothingToDrawError, match="no record in it yet"):
        load(root)


def test_runs_csv_has_one_row_per_run_and_null_where_nothing_is_known(root, tmp_path):
    make_sweep(root, seeds=2)
    write_manifest(root, [{"run_id": "ffff-0", "seed": 0, "label": {"strategy": ARM}}], "gap")
    written = pd.read_csv(write_runs(load(root), tmp_path / "figures"))
    assert len(written) == 21
    gap = written[written["sweep"] == "gap"].iloc[0]
    assert gap[["error", "seconds_train", "measured_saving", "steps"]].isna().all()
