"""What names a run: every field that changes its result or its seconds, by names that old runs keep."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from configurations import OTHER, fields_of, other_value, plan_of, start

from freezeout.run import identity
from freezeout.run.config import Config
from freezeout.run.groups import TABLES

RECORDS = Path(__file__).parent.parent / "analysis/records/quick.jsonl"


@pytest.fixture(scope="module")
def kept() -> list[dict[str, Any]]:
    """Records of runs that were trained before this test was written."""
    return [json.loads(line) for line in RECORDS.read_text().splitlines()]


def test_old_runs_keep_their_names(kept, monkeypatch) -> None:
    """Pinned by real runs: a renamed field, a moved module or a new key must not lose what has been trained."""
    for record in kept:
        monkeypatch.setattr(identity, "device_model", lambda device, r=record: r["device"]["model"])
        plan = plan_of(record["config"])
        assert identity.run_id(plan) == record["run_id"]
        assert identity.setting_id(plan) == record.get("setting_id", record.get("group"))
        assert plan.steps == record["steps"]


def test_a_shortened_run_is_the_baseline_with_as_many_steps(kept) -> None:
    config = kept[0]["config"]
    short = plan_of(config | {"strategy": {"name": "shortened", "budget": 0.5}, "epochs": 2})
    plain = plan_of(config | {"strategy": {"name": "baseline"}, "epochs": 1})
    assert identity.effective(short) == identity.effective(plain)
    assert identity.run_id(short) == identity.run_id(plain)


# Fields that a name does not depend on, with the reason; see also identity.EXEMPT.
NOT_NAMED = {
    "machine.device": "the model of the device stands for it",
    "machine.measured": "the values that were chosen stand for it; see tests/test_choices.py",
    "machine.cache_device": "counts where memory is short",
    "machine.cache_host": "counts on CUDA only",
    "machine.cache_disk": "counts where memory is short",
    "machine.deterministic": "counts on CUDA only",
    "machine.capture": "refused on a CPU; counts on CUDA",
    "seed": "a replicate lies beside the others",
    "t_0": "named by the strategies that read it",
}


def names_differ(config: dict[str, Any], changed: dict[str, Any]) -> bool:
    return identity.name(plan_of(config)) != identity.name(plan_of(changed))


NAMING = [(g, n, f) for g in ("model", "strategy", "optimizer", "augment", "machine") for n, f in fields_of(g)]


@pytest.mark.usefixtures("own_networks")
@pytest.mark.parametrize(("group", "name", "field"), NAMING, ids=["-".join(one) for one in NAMING])
def test_every_field_changes_the_name_or_is_exempt_with_a_reason(group: str, name: str, field: str) -> None:
    config = start(group, name)
    if field in ("views_from", "cache"):
        config |= {"strategy": {"name": "freezeout", "t_0": 0.5}, "epochs": 4}
        config["augment"]["views"] = 1
    changed = copy.deepcopy(config)
    exempt = f"{group}.{field}" in NOT_NAMED
    if exempt:
        assert f"{group}.{field}" in identity.EXEMPT or field == "capture"
        return
    changed[group][field] = other_value(config, group, name, field)
    assert names_differ(config, changed)


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Config) if f.name not in TABLES])
def test_every_top_level_field_changes_the_name_or_is_exempt_with_a_reason(field: str) -> None:
    config = start("strategy", "freezeout")
    if field in ("out", "data_dir", "limit", "retry_failed", "sweep", "sweeps", "planned", "t_0", "seed"):
        assert identity.EXEMPT[field]
        changed = config | {
            field: {"t_0": 0.6, "seed": 7, "limit": "25m", "retry_failed": True, "sweeps": None}.get(field, "elsewhere")
        }
        assert not names_differ(config, changed)
    else:
        assert names_differ(config, config | {field: OTHER[field]})


def test_the_data_name_a_run_by_what_is_in_them(tmp_path) -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 255, (120, 8, 8, 3), dtype=np.uint8), np.arange(120) % 3
    np.savez(tmp_path / "a.npz", x=x, y=y)
    np.savez(tmp_path / "same.npz", x=x, y=y)
    np.savez(tmp_path / "tested.npz", x=x, y=y)
    x[0, 0, 0, 0] ^= 1
    np.savez(tmp_path / "b.npz", x=x, y=y)

    def config(name: str, **fields: Any) -> dict[str, Any]:
        files = {"train": [str(tmp_path / f"{name}.npz")], "test": [str(tmp_path / "tested.npz")]}
        npz = {"name": "npz", **files, "validation": 20, **fields}
        return start("strategy", "baseline") | {"dataset": npz}

    assert not names_differ(config("a"), config("same")), "wherever they lie"
    assert names_differ(config("a"), config("b")), "one bit of one pixel"
    assert names_differ(config("a"), config("a", validation=21))
    assert names_differ(config("a"), config("a", limit=99))
    assert not names_differ(config("a"), config("a", limit=None))
    assert names_differ(config("a"), config("a", size=16))
    assert names_differ(config("a"), config("a", split="test"))


def test_a_network_is_named_by_its_own_file_and_those_beside_it_that_it_imports(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    alone, whole, part = (tmp_path / f"{name}.py" for name in ("named_alone", "named_whole", "named_part"))
    alone.write_text("import torch\n")
    assert identity.source_hash("named_alone:build") == hashlib.sha256(b"import torch\n").hexdigest()[:12], "as ever"
    whole.write_text("import named_part\n")
    part.write_text("WIDTH = 8\n")
    before = identity.source_hash("named_whole:build")
    alone.write_text("import sys\n")
    assert identity.source_hash("named_whole:build") == before
    part.write_text("WIDTH = 9\n")
    assert identity.source_hash("named_whole:build") != before
