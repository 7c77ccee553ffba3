"""Seconds of a training step of every arm, in rounds: each round visits every arm for a few steps."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from benchmarks.arms import OURS, PLAIN, Arm, Plain, go_on, synchronise
from freezeout.run.plan import Plan


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, quartiles, extremes and number of `values`."""
    low, _, high = statistics.quantiles(values, method="inclusive") if len(values) > 1 else [values[0]] * 3
    middle = statistics.median(values)
    return {"median": middle, "low": low, "high": high, "min": min(values), "max": max(values), "n": len(values)}


def shuffled(keys: Iterable[str], turn: int) -> list[str]:
    """The order of round `turn`: always the same for the same round."""
    order = list(keys)
    random.Random(turn).shuffle(order)
    return order


def interleaved(
    visits: Mapping[str, Callable[[], float]], *, rounds: int, least: int, deadline: float
) -> dict[str, list[float]]:
    """What each visit returned in each round. Rounds end at `deadline` (of perf_counter), but `least` are made.

    Each round has an order of its own: what an arm finds in caches and memory depends on the arm before it.
    """
    found: dict[str, list[float]] = {key: [] for key in visits}
    for turn in range(rounds):
        for key in shuffled(visits, turn):
            found[key].append(visits[key]())
        if turn + 1 >= least and time.perf_counter() >= deadline:
            break
    return found


def seconds_of(arm: Arm, steps: int, device: torch.device) -> float:
    """Seconds of a step: the mean over one epoch of `steps` steps, from a synchronised device, by the wall clock."""
    synchronise(device)
    start = time.perf_counter()
    arm.epoch(go_on)
    synchronise(device)
    return (time.perf_counter() - start) / steps


def timed(arms: Mapping[str, Arm], plan: Plan, *, rounds: int, least: int, deadline: float) -> dict[str, list[float]]:
    """Seconds of a step of each arm in each round, after one epoch each that is not counted (it compiles, captures)."""
    steps = plan.source.sizes["train"] // plan.config.batch_size
    for arm in arms.values():
        seconds_of(arm, steps, plan.device)

    def visit(arm: Arm) -> Callable[[], float]:
        return lambda: seconds_of(arm, steps, plan.device)

    visits = {key: visit(arm) for key, arm in arms.items()}
    return interleaved(visits, rounds=rounds, least=least, deadline=deadline)


def ratios(times: Mapping[str, Sequence[float]], over: Iterable[str] = PLAIN) -> dict[str, dict[str, float]]:
    """ "d/a" and so on: each of ours over each of the plain loops, and these over (a), round by round."""
    pairs = [(x, y) for y in over for x in times if (x in OURS or y == "a") and x != y and y in times]
    return {f"{x}/{y}": spread([p / q for p, q in zip(times[x], times[y], strict=True)]) for x, y in pairs}


def fastest_format(plan: Plan, rounds: int = 3) -> dict[str, Any]:
    """The memory format in which the plain loop is faster on this network; the plain loops then all have it."""
    arms = {
        name: Plain("a", plan, 0, channels_last=name == "channels_last") for name in ("channels_last", "contiguous")
    }
    times = timed(arms, plan, rounds=rounds, least=rounds, deadline=0.0)
    seconds = {name: statistics.median(values) for name, values in times.items()}
    return {"chosen": min(seconds, key=lambda name: seconds[name]), "seconds": seconds}
