"""The groups of a configuration, and the dataclass that each of their options fills in. Standard library only."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from difflib import get_close_matches

from freezeout.data.schema import DATASETS, Augment
from freezeout.models.schema import MODELS
from freezeout.run.tracking import TRACKERS
from freezeout.strategies import STRATEGIES
from freezeout.train.schema import MACHINES, OPTIMIZERS

TABLES: dict[str, dict[str, type]] = {
    "model": MODELS,
    "dataset": DATASETS,
    "strategy": STRATEGIES,
    "optimizer": OPTIMIZERS,
    "augment": {"augment": Augment},
    "machine": MACHINES,
    "tracker": TRACKERS,
}


def field_names(schema: type) -> list[str]:
    """The fields of a dataclass, in order."""
    return [field.name for field in dataclasses.fields(schema)]


def is_switch(schemas: Iterable[type], name: str) -> bool:
    """Whether a field is true or false (or null) in every one of some dataclasses that have it."""
    types = {field.type for schema in schemas for field in dataclasses.fields(schema) if field.name == name}
    return bool(types) and types <= {"bool", "bool | None"}  # as text: annotations are not evaluated


def no_such_field(group: str, name: str, field: str) -> str:
    """The end of an error about a field that a group's chosen dataclass lacks.

    Args:
        group: A key of TABLES.
        name: A key of TABLES[group]: the dataclass that was chosen.
        field: The field that it lacks.

    Returns:
        "strategy baseline has no field how_scale; it has none; freezeout, lr_only, freeze_only have it": with the most
        similar field where one is similar, and with the other dataclasses of the group that have the field.
    """
    table = TABLES[group]
    own = field_names(table[name])
    owners: dict[str, list[str]] = {}
    for other, schema in table.items():
        for known in field_names(schema):
            owners.setdefault(known, []).append(other)
    which = group if name == group else f"{group} {name}"
    line, has = f"{which} has no field {field}", f"has: {', '.join(own)}" if own else "has none"
    have = owners.get(field, [])
    if have:
        return f"{line}; it {has}; {', '.join(have)} {'has' if len(have) == 1 else 'have'} it"
    close = get_close_matches(field, own, 1, 0.5) or get_close_matches(field, owners, 1, 0.5)
    if not close:
        return f"{line}; it {has}"
    of = "" if close[0] in own else f" (of {', '.join(owners[close[0]])})"
    return f"{line}; did you mean {close[0]}{of}? It {has}"
