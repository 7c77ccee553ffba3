"""One run's timeline: every second of the record is in the stack once, and the saving is the area above it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from made_records import freezeout, make_run

from analysis.__main__ import main
from analysis.time_breakdown import PARTS, blocks, level, per_prefix, saved
from analysis.timeline import drawn

ARM = freezeout(0.5)


def block(prefix: int, start: int, end: int, seconds: float, **parts: float) -> dict[str, Any]:
    return {"prefix": prefix, "step_from": start, "step_to": end, "seconds": seconds, **parts}


# 100 steps: half of them at 10 ms with nothing frozen, in uneven blocks; then 30 at 6 ms and 20 at 4 ms.
EAGER = [
    block(0, 0, 10, 0.11, input=0.01, forward=0.03, backward=0.05, optimizer=0.01),
    block(0, 10, 50, 0.40, input=0.04, forward=0.12, backward=0.20, optimizer=0.02),
    block(2, 50, 80, 0.18, input=0.03, prefix_forward=0.03, forward=0.04, backward=0.05, optimizer=0.01, switch=0.01),
    block(4, 80, 100, 0.08, input=0.02, prefix_forward=0.03, forward=0.01, backward=0.01, switch=0.005),
]
# Replayed from the fourth step of each prefix on; outside of graphs a step spends 3 of 9 parts forward, 6 backward.
CAPTURED = [
    block(0, 0, 50, 0.50, forward=0.009, backward=0.018, graph=0.45, input=0.02),
    block(2, 50, 100, 0.30, prefix_forward=0.004, forward=0.004, backward=0.008, graph=0.24, switch=0.03),
]


def record(prefixes: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    data = {"name": "digits"}
    config = {"model": {"name": "wide_resnet", "depth": 10}, "dataset": data, "strategy": ARM}
    same = {"run_id": "abc-0", "seed": 0, "status": "done", "device": {"model": "Xeon 8480"}, "data": data}
    return {**same, "steps": 100, "config": config, "prefixes": prefixes, **changes}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    entry = make_run(tmp_path / "runs", ARM, steps=100, prefixes=EAGER)
    return tmp_path / "runs" / entry["run_id"].rpartition("-")[0] / "0"


@pytest.mark.parametrize("prefixes", [EAGER, CAPTURED])
def test_the_parts_of_every_block_add_up_to_its_seconds(prefixes):
    table = blocks(record(prefixes))
    assert table[[*PARTS]].sum(axis=1).to_numpy() == pytest.approx([b["seconds"] for b in prefixes])
    assert (table[[*PARTS]] >= 0).all(axis=None)


def test_the_area_under_the_stack_is_the_runs_training_seconds():
    found = per_prefix(blocks(record(EAGER)), 100)
    widths = (found["t_to"] - found["t_from"]) * 100
    assert (widths * found["seconds"]).sum() == pytest.approx(sum(b["seconds"] for b in EAGER))
    assert found[["prefix", "t_from", "t_to"]].to_numpy().tolist() == [[0, 0, 0.5], [2, 0.5, 0.8], [4, 0.8, 1]]
    assert found["seconds"].tolist() == pytest.approx([0.0102, 0.006, 0.004])


def test_what_is_in_no_part_is_other():
    assert blocks(record(EAGER))["other"].tolist() == pytest.approx([0.01, 0.02, 0.01, 0.005])


def test_the_saving_is_against_the_median_block_with_nothing_frozen():
    found = per_prefix(blocks(record(EAGER)), 100)
    base = np.median([0.011, 0.010])  # per step: one slow block does not move it as it moves the mean
    assert level(found) == pytest.approx(base)
    assert saved(found) == pytest.approx(1 - 0.77 / (100 * base))


def test_a_run_that_never_trained_unfrozen_has_no_level_and_no_saving():
    found = per_prefix(blocks(record(EAGER[2:])), 100)
    assert level(found) is None
    assert saved(found) is None


def test_seconds_in_graphs_are_split_by_the_other_steps_of_the_same_prefix():
    table = blocks(record(CAPTURED)).set_index("prefix")
    assert (table["graph"] == 0).all()
    assert table.loc[0, ["forward", "backward"]].tolist() == pytest.approx([0.009 + 0.15, 0.018 + 0.30])
    expected = [0.004 + 0.06, 0.004 + 0.06, 0.008 + 0.12]
    assert table.loc[2, ["prefix_forward", "forward", "backward"]].tolist() == pytest.approx(expected)
    assert table.loc[2, "switch"] == 0.03


def test_graphs_of_a_prefix_without_other_steps_stay_one_part():
    table = blocks(record([CAPTURED[0], block(2, 50, 100, 0.3, graph=0.24)])).set_index("prefix")
    assert table["graph"].to_dict() == {0: 0.0, 2: 0.24}


@pytest.fixture
def axes():
    made = record(EAGER)
    table = blocks(made)
    figure = drawn(made, table, per_prefix(table, 100))
    yield figure.axes[0]
    plt.close(figure)


def test_the_figure_stacks_what_the_csv_holds_and_marks_events_level_and_saving(axes):
    found = per_prefix(blocks(record(EAGER)), 100)
    stairs = {patch.get_label(): patch.get_data() for patch in axes.patches}
    stacked = [stairs[words] for key, words in PARTS.items() if found[key].sum() > 0]
    assert len(stacked) == 7
    assert stacked[-1].values == pytest.approx(1000 * found["seconds"].to_numpy())
    for below, above in pairwise(stacked):
        assert above.baseline == pytest.approx(below.values)
    assert stairs["backward"].edges.tolist() == [0, 0.5, 0.8, 1]
    lines = {line.get_label(): line for line in axes.lines}
    assert lines["nothing frozen (median)"].get_ydata()[0] == pytest.approx(10.5)
    events = [line.get_xdata()[0] for line in axes.lines if list(line.get_xdata()) == [line.get_xdata()[0]] * 2]
    assert events == [0.5, 0.8]
    assert len(lines["a block of at most 50 steps"].get_xdata()) == 4
    assert f"saved: {100 * (1 - 0.77 / 1.05):.1f} %" in stairs


def test_the_words_name_network_run_clock_and_unit(axes):
    assert axes.get_title(loc="left") == (
        "wide_resnet (depth 10) on digits\nFreezeOut cubic scaled t_0=0.5, seed 0: 100 steps in 0.77 s"
    )
    assert axes.get_ylabel() == "Milliseconds per training step"
    assert axes.get_xlabel().startswith("t, fraction of training\nmeasured on Xeon 8480, one run")
    assert "CUDA graphs" not in axes.get_xlabel()


def test_a_split_of_graphs_is_said_in_the_figure():
    made = record(CAPTURED)
    table = blocks(made)
    figure = drawn(made, table, per_prefix(table, 100))
    assert "seconds in CUDA graphs are shared out" in figure.axes[0].get_xlabel()
    plt.close(figure)


@pytest.mark.parametrize("steps", [100, 3])
def test_a_baseline_has_a_stack_and_neither_level_nor_saving(steps):
    made = record([block(0, 0, steps, 1.0, forward=0.3)], steps=steps)
    table = blocks(made)
    figure = drawn(made, table, per_prefix(table, steps))
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert not [words for words in labels if words.startswith(("saved", "nothing frozen"))]
    plt.close(figure)


@pytest.mark.parametrize("name", ["", "record.json"])
def test_a_run_is_named_by_its_folder_or_its_record_and_gives_the_same_bytes(folder, tmp_path, capsys, name):
    paths = []
    for out in ("first", "again"):
        assert main(["timeline", str(folder / name), "--out", str(tmp_path / out)]) == 0
        paths.append(sorted((tmp_path / out).iterdir()))
    run_id = f"{folder.parent.name}-0"
    assert [path.name for path in paths[0]] == [f"timeline_{run_id}.{kind}" for kind in ("csv", "png", "svg")]
    assert [path.read_bytes() for path in paths[0]] == [path.read_bytes() for path in paths[1]]
    written = pd.read_csv(paths[0][0])
    assert written["seconds"].tolist() == pytest.approx([0.0102, 0.006, 0.004])
    assert {*PARTS, "t_from", "t_to", "prefix", "median"} <= set(written.columns)
    assert any(line.split()[:3] == ["backward", "0.31", "40.3"] for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize("prefixes", [[], None])
def test_a_record_without_a_training_step_is_one_line_and_nothing_is_drawn(tmp_path, capsys, prefixes):
    entry = make_run(tmp_path, ARM, prefixes=prefixes)
    folder = tmp_path / entry["run_id"].rpartition("-")[0] / "0"
    assert main(["timeline", str(folder), "--out", str(tmp_path / "out")]) == 2
    streams = capsys.readouterr()
    assert streams.err.count("\n") == 1
    assert "no training step in its record" in streams.err
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_record_is_one_line_that_names_the_nearest(folder, capsys):
    assert main(["timeline", str(folder.parent)]) == 2
    assert capsys.readouterr().err.endswith(f"did you mean {folder}?\n")
    assert main(["timeline", str(folder / "nowhere")]) == 2
    assert "no record.json there" in capsys.readouterr().err


def test_a_packed_record_says_that_its_dots_are_whole_prefixes():
    made = record([block(0, 0, 50, 0.5, median=0.01), block(2, 50, 100, 0.3, median=0.006)])
    table = blocks(made)
    figure = drawn(made, table, per_prefix(table, 100))
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert "all steps of a prefix (packed record)" in labels
    assert "a block of at most 50 steps" not in labels
    plt.close(figure)
