"""Which coming steps share one run of the frozen prefix."""

from __future__ import annotations

import pytest
from replay import RECIPE

from freezeout.schedule import Schedule
from freezeout.train.run_ahead import size_for, window_of


def windows(epoch: range, size: int, events: list[int], total: int = 200) -> list[range]:
    """All windows of an epoch of a run that freezes one more stage at each of `events`, from its start."""
    freezes = (*(event / total for event in events), 1.0)
    schedule = Schedule(freeze=freezes, anneal=(1.0,) * len(freezes))
    found = []
    step = epoch.start
    while step < epoch.stop:
        following = next((event for event in events if event > step), total)
        window = window_of(step, epoch, size, lambda s: schedule.prefix(s, total), lambda s, f=following: f)
        assert all(
            window_of(s, epoch, size, lambda s: schedule.prefix(s, total), lambda s, f=following: f) == window
            for s in window
        ), "whichever of its steps a run goes on with"
        found.append(window)
        step = window.stop
    return found


def test_windows_start_at_absolute_multiples_and_end_at_freeze_events() -> None:
    assert windows(range(28), 10, [12]) == [range(10), range(10, 12), range(12, 20), range(20, 28)]
    assert windows(range(28, 56), 10, [12, 28, 40]) == [range(28, 30), range(30, 40), range(40, 50), range(50, 56)]
    assert windows(range(3), 1, [1]) == [range(1), range(1, 2), range(2, 3)]


@pytest.mark.parametrize("size", [1, 2, 5, 10])
def test_every_step_is_in_one_window_of_one_prefix(size) -> None:
    schedule = RECIPE.schedule(10)
    events = [s for s in schedule.freeze_steps(200) if s is not None]
    for first in range(0, 200, 28):
        made = windows(range(first, min(first + 28, 200)), size, events)
        assert [s for w in made for s in w] == list(range(first, min(first + 28, 200)))
        assert all(len(w) <= size and len({schedule.prefix(s, 200) for s in w}) == 1 for w in made)


def test_a_window_fits_into_its_share_of_the_memory() -> None:
    assert size_for(50_000_000, 8 * 500_000_000) == 10
    assert size_for(50_000_000, 8 * 499_000_000) == 5
    assert size_for(50_000_000, 1_000_000) == 1
