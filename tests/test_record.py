"""What a finished run leaves behind, whoever asked for it."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from launched import WORDS, only_run

from freezeout import records


def test_the_record_has_every_key_that_others_rely_on(through: Path) -> None:
    record = records.read_record(through)
    keys = (
        "schema_version status reason run_id seed sweep config commit dirty host device versions data stages started "
    )
    keys += (
        "seconds prefixes steps epochs error test_error train_error freeze_times freeze_steps peak_memory flops saving "
    )
    keys += "shared_device segments wandb"
    assert set(keys.split()) <= set(record)
    assert record["peak_memory"] is None, "null on a CPU"
    assert set(record["seconds"]) == {"train", "compile", "evaluation", "checkpoint", "total"}
    assert record["seconds"]["total"] > record["seconds"]["train"] > 0
    assert record["seconds"]["train"] == pytest.approx(sum(b["seconds"] for b in record["prefixes"]))
    assert sum(b["step_to"] - b["step_from"] for b in record["prefixes"]) == record["steps"] == 5 * 28
    assert [s["freeze_step"] for s in record["stages"]] == record["freeze_steps"]
    assert record["freeze_steps"][-1] is None
    assert record["error"] == record["epochs"][-1]["error"], "the last epoch's error, never the best"
    assert record["epochs"] == records.read_lines(through / "metrics.jsonl")
    assert 0 < record["saving"]["predicted"] < 1
    assert record["saving"]["estimated"] is None, "the paper's formula is for DenseNets"


def test_blocks_say_which_prefix_was_frozen_when(through: Path) -> None:
    record = records.read_record(through)
    for block in record["prefixes"]:
        for step in range(block["step_from"], block["step_to"]):
            assert block["prefix"] == sum(step / record["steps"] >= t for t in record["freeze_times"])


def test_blocks_say_what_their_seconds_went_to(through: Path) -> None:
    blocks = records.read_record(through)["prefixes"]
    parts = ["input", "forward", "backward", "optimizer"]
    switched = {block["prefix"]: "switch" in block for block in reversed(blocks)}
    assert switched == {prefix: prefix > 0 for prefix in switched}, "in the first block of each prefix but 0"
    for block in blocks:
        known = [block.get(part, 0.0) for part in (*parts, "switch", "prefix_forward")]
        assert min(block[part] for part in parts) > 0
        assert ("prefix_forward" in block) == (block["prefix"] > 0)
        assert 0.5 * block["seconds"] < sum(known) <= block["seconds"]


def test_the_predictions_give_the_error(through: Path) -> None:
    from freezeout.data import DATASETS, load

    source = load("digits", DATASETS["digits"]())
    ((_, labels),) = source.batches("test", [torch.arange(source.sizes["test"])])
    with np.load(through / "predictions.npz") as arrays:
        wrong = 100 * (arrays["test_class"] != labels.numpy()).mean()
    assert wrong == pytest.approx(records.read_record(through)["error"])


def test_const_time_trains_for_more_steps_until_the_predicted_time_is_the_baselines(freezeout, tmp_path) -> None:
    freezeout("t_0=0.5", "strategy.const_time=true", "strategy.scale_lr=false", "epochs=2")
    record = records.read_record(only_run(tmp_path / "runs"))
    assert record["steps"] > 56
    assert record["flops"]["run"] == pytest.approx(56 * record["flops"]["step"], rel=0.02)
    assert len(record["epochs"]) == -(-record["steps"] // 28)


def test_a_synthetic_set_is_marked_and_a_validation_split_leaves_the_test_set_for_the_end(freezeout, tmp_path) -> None:
    size = ["dataset.size=8", "dataset.train=200", "dataset.test=100"]
    freezeout("dataset=synthetic", *size, "strategy=baseline", "epochs=1")
    assert records.read_record(only_run(tmp_path / "runs"))["data"]["synthetic"] is True
    rng = np.random.default_rng(0)
    arrays = {"x": rng.integers(0, 255, (300, 8, 8, 3), dtype=np.uint8), "y": np.arange(300) % 3}
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", **arrays)
    words = ["dataset=npz", "dataset.train=[a.npz]", "dataset.test=[b.npz]", "dataset.validation=60", "out=held"]
    assert freezeout(*words, "strategy=baseline", "epochs=1").code == 0
    record = records.read_record(only_run(tmp_path / "held"))
    assert record["data"]["validation"] == 60
    assert record["split"] == "validation"
    assert record["test_error"] is not None


def test_what_two_askers_share_is_the_runs_own_and_each_is_told_its_own_saving(freezeout, tmp_path: Path) -> None:
    """A baseline shortened to half of two epochs is the baseline of one epoch: one run, whoever asked for it first."""
    first = freezeout("strategy=shortened", "strategy.budget=0.5", "epochs=2")
    assert "50.0 % saving predicted" in first.out
    folder = only_run(tmp_path / "runs")
    record = records.read_record(folder)
    second = freezeout("strategy=baseline", "epochs=1")
    assert "0.0 % saving predicted" in second.out
    assert second.out.startswith("done before: baseline")
    assert records.read_record(folder) == record
    assert (record["config"]["strategy"], record["config"]["epochs"]) == ({"name": "baseline"}, 1)
    written = yaml.safe_load((folder / "config.yaml").read_text())
    assert (written["strategy"], written["epochs"]) == ({"name": "baseline"}, 1)
    assert record["saving"]["predicted"] == 0.0, "against a baseline of as many steps"
    assert record["flops"]["run"] == record["flops"]["step"] * record["steps"]
    assert "full_steps" not in record, "how long the plain recipe is, is the asker's"


def test_a_record_says_what_names_it_and_how_to_make_it_again(freezeout, tmp_path: Path) -> None:
    freezeout(*WORDS, "epochs=1", "label_smoothing=0.1")
    record = records.read_record(only_run(tmp_path / "runs"))
    assert records.digest(record["effective"]) == record["run_id"].rpartition("-")[0]
    words = shlex.split(record["command"])
    assert words[:3] == ["python", "-m", "freezeout"]
    again = freezeout(*words[3:], "out=again", "tracker=none", quick=False)
    assert again.code == 0, again.err
    assert records.read_record(only_run(tmp_path / "again"))["run_id"] == record["run_id"]


def test_a_record_says_the_precision_that_was_trained_in_where_none_was_asked_for(freezeout, tmp_path: Path) -> None:
    freezeout("strategy=baseline", "epochs=1")
    folder = only_run(tmp_path / "runs")
    record, written = records.read_record(folder), yaml.safe_load((folder / "config.yaml").read_text())
    assert [found["machine"]["precision"] for found in (record["config"], record["effective"], written)] == ["fp32"] * 3
    assert "precision" not in record["command"], "it was left to the program"


def test_the_record_has_the_keys_of_the_table_and_no_others(through: Path) -> None:
    assert set(records.read_record(through)) == set(records.KEYS)
