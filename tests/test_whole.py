"""Which runs of a sweep's list are still to do."""

from __future__ import annotations

from typing import Any

import pytest
from made_records import BASELINE, make_run, write_manifest

from analysis.load import load
from analysis.whole import still_to_do


def listed(run_id: str, **keys: Any) -> dict[str, Any]:
    return {"run_id": run_id, "seed": int(run_id.rpartition("-")[2]), "label": {"strategy": BASELINE}, **keys}


@pytest.mark.parametrize(
    ("status", "is_to_do"), [("interrupted", True), ("done", False), ("failed", False), ("unreadable", False)]
)
def test_a_run_that_failed_has_ended_and_one_that_was_cut_short_has_not(status, is_to_do):
    assert bool(still_to_do([listed("a-0")], {"a-0": status})) == is_to_do
    assert still_to_do([listed("a-0"), listed("b-0")], {"a-0": status}) >= {"b-0"}


def test_what_another_machine_was_to_train_is_not_to_do_once_it_is_done():
    """The list of a sweep that went on elsewhere keeps the names that its runs had here."""
    here, there, other = listed("here-0", anywhere="x"), listed("there-0", anywhere="x"), listed("here-1", anywhere="x")
    assert still_to_do([here, there], {"there-0": "done"}) == set()
    assert len(still_to_do([here, there], {})) == 1, "one run under two names is one"
    assert still_to_do([here, there, other], {"there-0": "done"}) == {"here-1"}, "another seed is another run"


def test_the_table_marks_them_and_only_where_a_sweep_lists_them(tmp_path):
    loose = make_run(tmp_path, BASELINE, 2, status="interrupted", error=None)
    entries = [make_run(tmp_path, BASELINE), make_run(tmp_path, BASELINE, 1, status="interrupted", error=None)]
    write_manifest(tmp_path, [*entries, listed("aaaaaaaaaaaa-9")])
    table = load(tmp_path).set_index("run_id")["to_do"]
    assert table.to_dict() == {
        entries[0]["run_id"]: False,
        entries[1]["run_id"]: True,
        "aaaaaaaaaaaa-9": True,
        loose["run_id"]: False,
    }
