"""Memory format, folding and run-ahead as measured on this device: their file, and how a plan reads it.

A run with machine.measured=true uses them. They are filled into its configuration when it is planned, so they are part
of its name: a resumed run keeps the choices it began with, and a run with other choices is a different run. The file is
written once, by `freezeout.run.choosing`, and used until it is deleted.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from freezeout.records import write_json_atomic
from freezeout.run import identity
from freezeout.run.plan import Plan, with_machine
from freezeout.train.schema import CHOICES, WINDOWS

ALLOWED: dict[str, tuple[Any, ...]] = {"channels_last": (True, False), "fold": (True, False), "run_ahead": WINDOWS}


def write(path: Path, chosen: Mapping[str, bool | int], **how: Any) -> None:
    """Write choices to their file; how: further facts on the measurement (seconds, rounds, steps)."""
    write_json_atomic(path, {"choices": dict(chosen), **how})


def read(path: Path) -> dict[str, bool | int]:
    """The choices in a file: the value of each field that was measured.

    Raises:
        ValueError: In one line: the file cannot be read or holds something else.
    """
    remedy = "delete it; python -m freezeout.predict --measure rewrites it"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["choices"]
        wrong = [f"{key}={value}" for key, value in found.items() if not _allowed(key, value)]
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: holds no choices; {remedy}") from error
    if wrong:
        raise ValueError(f"{path}: {wrong[0]} is not a choice; {remedy}")
    return dict(found)


def _allowed(field: str, value: Any) -> bool:
    return any(type(value) is type(one) and value == one for one in ALLOWED.get(field, ()))  # 1 is not true


def filled_in(plan: Plan) -> Plan:
    """The plan with measured choices in the fields that its configuration leaves open, if it asks for them.

    If nothing was measured, they get their usual values.

    Raises:
        ValueError: The file of the choices is damaged.
    """
    machine = plan.config.machine
    left_open = [field for field in CHOICES if getattr(machine, field) is None]
    if not machine.measured or not left_open:
        return plan
    path = identity.choices_path(plan)
    found = read(path) if path.exists() else {}
    values = {field: found.get(field, getattr(plan, field)) for field in left_open}
    return dataclasses.replace(with_machine(plan, **values), unmeasured=not found)
