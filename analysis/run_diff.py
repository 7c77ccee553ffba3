"""`diff`: which keys make the names of two runs differ."""

from __future__ import annotations

from typing import Any

from freezeout.records import NEUTRAL, flat

from .text import text_table, typed

# Keys of an older record's configuration that never named a run; the fingerprint of the data stands for the data set.
UNNAMED = ("dataset", "seed", "epochs", "t_0", "tracker", "out", "data_dir", "sweep", "sweeps")
ABSENT = "-"


def diff_text(a: dict[str, Any], b: dict[str, Any]) -> str:
    """The keys that distinguish two runs, as a table; or a line saying that they are replicates or one run.

    Args:
        a: A record, as `collect.find_record` gives it.
        b: Another record.
    """
    names = [record["run_id"].rpartition("-")[0] for record in (a, b)]
    if a["run_id"] == b["run_id"]:
        return f"both are run {a['run_id']}"
    if names[0] == names[1]:
        return f"both are named {names[0]}: replicates, seeds {a['seed']} and {b['seed']}"
    known = [_named(record, whole="effective" in a and "effective" in b) for record in (a, b)]
    differ = [key for key in {**known[0], **known[1]} if known[0].get(key, ABSENT) != known[1].get(key, ABSENT)]
    if not differ:
        return f"{a['run_id']} and {b['run_id']}: no key differs; versions of the program name runs differently"
    rows = [(key, *(typed(one.get(key, ABSENT)) for one in known)) for key in differ]
    same = a.get("setting_id") is not None and a.get("setting_id") == b.get("setting_id")
    end = "of one setting: they are compared in one panel" if same else "of two settings: they are in different panels"
    return "\n".join([text_table(("key", a["run_id"], b["run_id"]), rows), end])


def _named(record: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """The keys that determine a run's name, as `section.key`, without keys at their neutral values.

    whole: The record holds everything that its name is a hash of. An older one has only parts: configuration,
        fingerprint of the data, device and steps.
    """
    data, config = record.get("data") or {}, record.get("config") or {}
    if whole:
        found = dict(record["effective"])
    else:
        found = {key: value for key, value in config.items() if key not in UNNAMED}
        device = (record.get("device") or {}).get("model")
        found |= {"machine": {**(config.get("machine") or {}), "device": device}, "steps": record.get("steps")}
    found["data"] = f"{data.get('name')} {str(data.get('fingerprint'))[:12]}"
    return {key: value for key, value in flat(found).items() if key not in NEUTRAL or value != NEUTRAL[key]}
