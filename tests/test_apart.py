"""Panels of one sweep, network and data set are told apart by the keys in which they differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_records import BASELINE, EPOCHS, freezeout, make_run, shortened, write_manifest

from analysis.__main__ import main
from analysis.comparisons import panels
from analysis.load import load, write_runs

ARMS = ((BASELINE, 0.0), (shortened(0.8), 0.2), (shortened(0.6), 0.4), (freezeout(0.8), 0.2))


def config(seed: int, strategy: dict[str, Any], **sections: Any) -> dict[str, Any]:
    views = {"freezeout": sections.pop("views", 2)}.get(strategy["name"])
    return {
        "seed": seed,
        "epochs": EPOCHS,
        "model": {"name": "wide_resnet", "depth": 10, "widen": 1, "dropout": 0.0},
        "dataset": {"name": "digits", "size": None, "root": f"/data/{seed}"},
        "strategy": strategy,
        "optimizer": {"name": "sgd", "lr": 0.1},
        "augment": {"name": "crop_flip", "views": views},
        **sections,
    }


def make(root: Path, *kinds: dict[str, Any], **changes: Any) -> pd.DataFrame:
    """A sweep with a panel for each of `kinds`, sections of its configuration that replace the usual ones."""
    entries = []
    for i, kind in enumerate(kinds):
        device = {"type": "cpu", "model": kind.pop("device", "Xeon 8480")}
        for seed in range(3):
            for strategy, saving in ARMS:
                own = {"config": config(seed, strategy, **kind), "setting_id": f"{i}" * 12, "device": device}
                made = {"seconds": {"train": 10 * (1 - saving)}, "error": 3.0 + seed / 10 + saving, **changes}
                entries.append(make_run(root, strategy, seed, **{**own, **made}))
    write_manifest(root, entries)
    return load(root)


def whats(table: pd.DataFrame) -> list[str]:
    return [panel.what for panel in panels(table)]


def test_a_panel_that_is_alone_is_named_by_network_and_data_set(tmp_path):
    assert whats(make(tmp_path, {})) == ["wrn_10_1 on digits"]


def test_panels_are_named_by_the_keys_that_differ_and_by_no_key_of_an_arm(tmp_path):
    kinds = [{"optimizer": {"name": "sgd", "lr": lr}, "views": views} for lr, views in ((0.05, 2), (0.2, None))]
    assert whats(make(tmp_path, *kinds)) == [f"wrn_10_1 on digits, optimizer.lr={lr}" for lr in (0.05, 0.2)]


def test_values_read_as_they_are_typed(tmp_path):
    kinds = [
        {"dataset": {"name": "digits", "limit": limit}, "machine": {"fold": fold}}
        for limit, fold in ((None, True), (9, False))
    ]
    ends = ["dataset.limit=null, machine.fold=true", "dataset.limit=9, machine.fold=false"]
    assert whats(make(tmp_path, *kinds)) == [f"wrn_10_1 on digits, {end}" for end in ends]


def test_another_network_is_difference_enough(tmp_path):
    deep = {
        "model": {"name": "wide_resnet", "depth": 16, "widen": 1, "dropout": 0.0},
        "optimizer": {"name": "sgd", "lr": 0.2},
    }
    assert whats(make(tmp_path, {}, deep)) == ["wrn_10_1 on digits", "wide_resnet (depth 16, widen 1) on digits"]


def test_devices_are_named_where_they_differ(tmp_path):
    assert whats(make(tmp_path, {}, {"device": "H200"})) == [
        f"wrn_10_1 on digits, {on}" for on in ("Xeon 8480", "H200")
    ]


def test_older_records_without_these_sections_have_no_words(tmp_path):
    table = make(tmp_path, {}, {}, config={"seed": 0, "model": {"name": "wide_resnet"}, "dataset": {"name": "digits"}})
    assert {*table["setting"]} == {""}


@pytest.mark.parametrize("command", [["verdicts"], ["recommend", "--tolerance", "3%"], ["table"]])
def test_commands_name_each_panel_so(tmp_path, capsys, command):
    make(tmp_path, *({"optimizer": {"name": "sgd", "lr": lr}} for lr in (0.05, 0.2)))
    assert main([*command, "--runs", str(tmp_path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "wrn_10_1 on digits, optimizer.lr=0.05" in said
    assert "wrn_10_1 on digits, optimizer.lr=0.2" in said


def test_files_and_documents_carry_it(tmp_path, capsys):
    table = make(tmp_path, *({"optimizer": {"name": "sgd", "lr": lr}} for lr in (0.05, 0.2)))
    kept = pd.read_csv(write_runs(table, tmp_path))
    assert {*kept["setting"]} == {"optimizer.lr=0.05", "optimizer.lr=0.2"}
    words = ["--runs", str(tmp_path), "--out", str(tmp_path)]
    assert main(["verdicts", "--json", *words]) == 0
    assert [one["setting"] for one in json.loads(capsys.readouterr().out)["panels"]] == [
        *dict.fromkeys(kept["setting"])
    ]
    assert (tmp_path / "verdicts_smoke_wide_resnet-digits-optimizer.lr-0.05.png").exists()
    assert main(["overview", *words]) == 0
    assert {*pd.read_csv(tmp_path / "overview.csv")["setting"]} == {*kept["setting"]}
