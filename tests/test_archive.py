"""What is kept of a sweep: every finished run once, whichever machine trained it, in few bytes, with every result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_records import BASELINE, freezeout, make_run, write_manifest

from analysis.__main__ import main
from analysis.archive import archive, compact, merged, one_block_a_prefix, portable
from analysis.load import load
from analysis.profiles import steps_at
from analysis.time_breakdown import PARTS, blocks, level, per_prefix, saved
from freezeout import packed
from freezeout.records import run_folder

ARM = freezeout(0.5)


@pytest.fixture
def kept(tmp_path) -> Path:
    return tmp_path / "kept"


def run(root: Path, strategy: dict[str, Any], seed: int, **changes: Any) -> dict[str, Any]:
    """A run whose name has the machine in it, beside what it is called on every machine."""
    entry = make_run(root, strategy, seed, setting_id=root.name, **changes)
    return entry | {"anywhere": strategy["name"]}


def ids(path: Path) -> list[str]:
    return [one["run_id"] for one in packed.read(path / "mine.jsonl")]


def listed(path: Path) -> list[str]:
    return [one["run_id"] for one in json.loads((path / "sweeps/mine.json").read_text())["runs"]]


def test_of_an_unfinished_sweep_what_is_finished_is_kept_and_the_whole_list(tmp_path, kept, capsys) -> None:
    made = [
        make_run(tmp_path, BASELINE),
        make_run(tmp_path, BASELINE, 1, status="interrupted"),
        make_run(tmp_path, ARM, status="failed", diverged=True),
        make_run(tmp_path, ARM, 1, status="failed"),
        {"run_id": "ffff-0", "seed": 0, "label": {"strategy": ARM, "epochs": 20}},
    ]
    write_manifest(tmp_path, made, "mine")
    assert main(["archive", "--runs", str(tmp_path), "--sweep", "mine", "--out", str(kept)]) == 0
    assert "sweep mine: 2 of 5 runs kept" in capsys.readouterr().out
    assert ids(kept) == [made[0]["run_id"], made[2]["run_id"]]
    assert listed(kept) == [one["run_id"] for one in made]
    assert load(kept)["status"].tolist() == ["done", "missing", "failed", "missing", "missing"]


def test_of_whole_seeds_alone_the_rest_is_left_for_the_next_machine(tmp_path, kept, capsys) -> None:
    made = [make_run(tmp_path, strategy, seed) for seed in (0, 1) for strategy in (BASELINE, ARM)]
    made += [make_run(tmp_path, BASELINE, 2), make_run(tmp_path, ARM, 2, status="interrupted")]
    write_manifest(tmp_path, made, "mine")
    words = ["archive", "--runs", str(tmp_path), "--sweep", "mine", "--out", str(kept)]
    assert main([*words, "--whole-seeds"]) == 0
    assert "sweep mine: 4 of 6 runs kept" in capsys.readouterr().out
    assert ids(kept) == [one["run_id"] for one in made[:4]]
    assert listed(kept) == [one["run_id"] for one in made]
    assert main(words) == 0
    assert main([*words, "--whole-seeds"]) == 0
    assert len(ids(kept)) == 5, "what is kept stays"


def test_without_a_whole_seed_nothing_is_kept(tmp_path, kept, capsys) -> None:
    made = [make_run(tmp_path, BASELINE), make_run(tmp_path, ARM, status="interrupted")]
    write_manifest(tmp_path, made, "mine")
    words = ["archive", "--runs", str(tmp_path), "--sweep", "mine", "--out", str(kept), "--whole-seeds"]
    assert main(words) == 2
    assert "no seed of sweep mine is whole yet" in capsys.readouterr().err
    assert not kept.exists()


def test_nothing_is_kept_of_a_sweep_without_a_finished_run_or_that_is_not_there(tmp_path, kept, capsys) -> None:
    write_manifest(tmp_path, [make_run(tmp_path, BASELINE, status="interrupted")], "mine")
    for sweep, words in (("mine", "no run of sweep mine is done yet"), ("other", "other.json: no such sweep")):
        assert main(["archive", "--runs", str(tmp_path), "--sweep", sweep, "--out", str(kept)]) == 2
        assert words in capsys.readouterr().err
    assert not kept.exists()


def test_what_is_kept_stays_and_each_planned_run_is_listed_once(tmp_path, kept) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    a = [run(first, BASELINE, 0), run(first, ARM, 0), run(first, ARM, 1, status="interrupted")]
    b = [a[0], run(second, ARM, 0), run(second, ARM, 1), run(second, BASELINE, 1)]
    write_manifest(first, a, "mine")
    write_manifest(second, b, "mine")
    archive(first, "mine", kept)
    found = archive(second, "mine", kept)
    assert ids(kept) == [*(one["run_id"] for one in a[:2]), *(one["run_id"] for one in b[1:])], "no record is lost"
    assert listed(kept) == [a[0]["run_id"], a[1]["run_id"], b[2]["run_id"], b[3]["run_id"]]
    assert (found.done, found.runs) == (4, 4)
    before = (kept / "mine.jsonl").read_bytes()
    run(first, BASELINE, 0, error=9.0)
    archive(first, "mine", kept)
    assert (kept / "mine.jsonl").read_bytes() == before
    assert listed(kept) == [a[0]["run_id"], a[1]["run_id"], b[2]["run_id"], b[3]["run_id"]]


def test_runs_of_a_list_that_differ_in_the_machine_alone_stay_apart() -> None:
    one, two = ({"run_id": f"{name}-0", "seed": 0, "anywhere": "x", "label": {}} for name in "ab")
    assert merged([one], [one, two], {"a-0", "b-0"}) == [one, two]
    third = one | {"run_id": "c-0"}
    assert merged([third], [one, two], {"c-0"}) == [third, one, two]
    assert merged([one], [two], {"b-0"}) == [two], "elsewhere it was not done"
    assert merged([one], [two], {"a-0", "b-0"}) == [one]


def clocked(prefixes: list[int], seed: int, graph: bool = False) -> list[dict[str, Any]]:
    """Blocks of uneven seconds and steps, some with parts that others lack."""
    rng, found, start = np.random.default_rng(seed), [], 0
    for i, prefix in enumerate(prefixes):
        steps = int(rng.integers(5, 50))
        block = {"prefix": prefix, "step_from": start, "step_to": start + steps, "input": rng.uniform(0, 0.1)}
        block |= {"forward": rng.uniform(0.1, 0.2), "backward": rng.uniform(0.1, 0.4)}
        block |= {"switch": 0.01} if i % 3 == 2 else {}
        block |= {"graph": 0.2} if graph and i % 3 else {}
        block["seconds"] = sum(block[key] for key in block if key in PARTS) * rng.uniform(1, 2)
        found.append(block)
        start += steps
    return found


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("prefixes", [[0] * 7 + [1] * 4 + [3] + [4] * 5, [0] * 8, [0, 0, 1, 0, 0]])
def test_one_block_a_prefix_gives_every_number_that_all_blocks_give(prefixes, graph) -> None:
    own = clocked(prefixes, seed=len(prefixes), graph=graph)
    record = {"run_id": "a-0", "status": "done", "steps": own[-1]["step_to"], "prefixes": own}
    short = record | {"prefixes": one_block_a_prefix(own)}
    assert len(short["prefixes"]) == (len(set(prefixes)) if prefixes == sorted(prefixes) else len(prefixes))
    found, again = (per_prefix(blocks(one), record["steps"]) for one in (record, short))
    np.testing.assert_allclose(again.to_numpy(float), found.to_numpy(float), rtol=1e-12, atol=1e-12)
    assert level(again) == pytest.approx(level(found), rel=1e-12)
    assert saved(again) == pytest.approx(saved(found), rel=1e-12, abs=1e-12)
    assert steps_at(short) == steps_at(record)
    assert one_block_a_prefix(short["prefixes"]) == short["prefixes"]


def test_a_compact_record_is_the_record_but_for_its_blocks_and_the_digits_of_its_rates(tmp_path) -> None:
    own = {
        "prefixes": clocked([0, 0, 1], 0),
        "epochs": [{"epoch": 1, "error": 100 / 3, "learning_rates": [0.1 / 3, 0.0]}],
    }
    entry = make_run(tmp_path, ARM, **own)
    record = json.loads(next(tmp_path.glob("*/*/record.json")).read_text())
    short = compact(record)
    assert short["epochs"] == [{"epoch": 1, "error": 100 / 3, "learning_rates": [0.03333333, 0.0]}]
    assert short | own == record
    write_manifest(tmp_path, [entry], "mine")
    archive(tmp_path, "mine", tmp_path / "kept")
    assert packed.read(tmp_path / "kept/mine.jsonl") == [short]
    assert "prefixes" not in compact({"run_id": "a-0"}), "absent stays absent"


def test_what_is_kept_names_no_folder_of_the_machine_that_trained_it(tmp_path, kept) -> None:
    mine = {
        "out": "/here/runs",
        "data_dir": "/here/pixels",
        "dataset": {"train": ["/here/pixels/a.npz", "/here/pixels_2"]},
    }
    record = {"config": mine, "command": "python -m freezeout 'dataset.train=[/here/pixels/a.npz]' out=/here/runs"}
    found = portable(record)
    assert found["config"]["dataset"]["train"] == ["data/a.npz", "/here/pixels_2"], "another folder is left as it is"
    assert (found["config"]["out"], found["config"]["data_dir"]) == ("runs", "data")
    assert found["command"] == "python -m freezeout 'dataset.train=[data/a.npz]' out=runs"
    made = make_run(tmp_path, BASELINE)
    path = run_folder(tmp_path, made["run_id"].rpartition("-")[0], 0) / "record.json"
    whole = json.loads(path.read_text())
    path.write_text(json.dumps(whole | {"config": whole["config"] | {"out": str(tmp_path)}}))
    write_manifest(tmp_path, [made], "mine")
    archive(tmp_path, "mine", kept)
    assert str(tmp_path) not in (kept / "mine.jsonl").read_text()


def test_a_folder_given_from_the_working_directory_stays(tmp_path) -> None:
    record = {"config": {"out": "mine", "data_dir": "data"}, "command": "python -m freezeout out=mine"}
    assert portable(record) == record


def test_the_margin_that_was_fixed_is_kept_with_the_list(tmp_path, kept) -> None:
    write_manifest(tmp_path, [make_run(tmp_path, BASELINE)], "mine")
    path = tmp_path / "sweeps/mine.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"margin": 1.5}))
    archive(tmp_path, "mine", kept)
    assert list(load(kept)["margin"]) == [0.015]
