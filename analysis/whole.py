"""No verdict before a sweep's list is whole: with looks while it grows, false verdicts are more frequent than 5 %.

A sweep's arms, seeds and margin are fixed before its first run. If there is no effect, who looks at 3, at 5 and at 10
seeds finds a difference in one of the looks in 10 of 100 cases, not in 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from freezeout.naming import counted

from .archive import anywhere
from .cells import Cells
from .twins import Pair
from .verdicts import Judgement, Verdict

NOT_WHOLE = "not whole"
PENDING = ("missing", "interrupted")  # states of runs that are still to do; failed and diverged ones have ended
Said = TypeVar("Said", Verdict, Pair)


def still_to_do(listed: Sequence[Mapping[str, Any]], states: Mapping[str, str]) -> set[str]:
    """The run ids of a sweep's list that are still to do: not started, running or interrupted.

    A list that went on with another machine has some runs under several names: such a run is to do, once, if it has
    ended under none of them.

    Args:
        listed: The entries of the list.
        states: The status of every run that has a record, by run id.
    """
    pending, ended = {}, set()
    for run in listed:
        if states.get(run["run_id"], "missing") in PENDING:
            pending[anywhere(run)] = run["run_id"]
        else:
            ended.add(anywhere(run))
    return {run_id for name, run_id in pending.items() if name not in ended}


def judged(found: Cells, margin: float | None, waits: bool) -> Judgement:
    """The verdicts of some cells; waits: whether runs are still to do, so that no arm has its word."""
    judgement = found.judged(margin)
    return replace(judgement, verdicts=[shown(one, waits) for one in judgement.verdicts])


def shown(said: Said, waits: bool) -> Said:
    """A verdict as it may be shown: without its word if it waits. What has no estimate keeps the reason."""
    return replace(said, word=NOT_WHOLE) if waits and said.n else said


def still(to_do: int) -> str:
    """`40 listed runs are still to do`."""
    return f"{counted(to_do, 'listed run')} {'is' if to_do == 1 else 'are'} still to do"


def sentence(to_do: int, anyway: bool) -> str:
    """What is said of a panel of whose sweep so many runs are to do; anyway: whether it is judged all the same."""
    if not to_do:
        return ""
    if anyway:
        return f"Judged although {still(to_do)}: valid if the sweep stops for another reason than its errors."
    return (
        f"Not whole: {still(to_do)}. Verdicts are given at the end: with looks on the way, false ones are more "
        "frequent than 5 %. --unfinished judges a sweep that will not be finished."
    )
