"""No word before a sweep's list is whole: looked at while it grows, words are false more often than they say.

A sweep's arms, seeds and margin are fixed before its first run. If there is no effect, who looks at 3, at 5 and at 10
seeds finds a difference in one of the looks in 10 of 100 cases, not in 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .archive import anywhere

PENDING = ("missing", "interrupted")  # states of runs that are still to do; failed and diverged ones have ended


def still_to_do(listed: Sequence[Mapping[str, Any]], states: Mapping[str, str]) -> set[str]:
    """The run ids of a sweep's list that are still to do: not started, running or interrupted.

    A list that went on with another machine has some runs under several names: such a run is to do, once, if it has
    ended under none of them.

    Args:
        listed: The entries of the list.
        states: The status of every run that has a record, by run id.
    """
    pending = {run["run_id"]: anywhere(run) for run in listed if states.get(run["run_id"], "missing") in PENDING}
    ended = {anywhere(run) for run in listed if run["run_id"] not in pending}
    return {run_id for name, run_id in {name: run_id for run_id, name in pending.items()}.items() if name not in ended}
