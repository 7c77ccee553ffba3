"""Seconds of a training step of every arm, in rounds: each round visits every arm for a burst of steps."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from benchmarks.arms import ENGINES, LOOPS, Arm, Loop, never_stop
from freezeout.run.plan import Plan
from freezeout.train.clock import synchronise


def spread(values: Sequence[float]) -> dict[str, float]:
    """Summarise `values`: "median", the quartiles "low" and "high", "min", "max" and their number "n"."""
    low, _, high = statistics.quantiles(values, method="inclusive") if len(values) > 1 else [values[0]] * 3
    middle = statistics.median(values)
    return {"median": middle, "low": low, "high": high, "min": min(values), "max": max(values), "n": len(values)}


def shuffled(names: Iterable[str], number: int) -> list[str]:
    """The order in which round `number` visits `names`: random, but fixed for each round."""
    order = list(names)
    random.Random(number).shuffle(order)
    return order


def interleaved(
    visits: Mapping[str, Callable[[], float]], *, rounds: int, min_rounds: int, deadline: float
) -> dict[str, list[float]]:
    """Call every one of `visits` once a round, in an order drawn anew for each round.

    The order changes because what an arm finds in caches and memory depends on the arm before it.

    Args:
        visits: By name, what to call.
        rounds: Rounds at most.
        min_rounds: Rounds at least, even after the deadline.
        deadline: No round begins after it, in seconds of `time.perf_counter`.

    Returns:
        By name, what the calls returned, one value per round.
    """
    found: dict[str, list[float]] = {name: [] for name in visits}
    for number in range(rounds):
        for name in shuffled(visits, number):
            found[name].append(visits[name]())
        if number + 1 >= min_rounds and time.perf_counter() >= deadline:
            break
    return found


def seconds_per_step(arm: Arm, steps: int, device: torch.device) -> float:
    """Train one epoch of `steps` steps; its mean seconds per step by the wall clock, from an idle device to an idle
    device."""
    synchronise(device)
    start = time.perf_counter()
    arm.epoch(never_stop)
    synchronise(device)
    return (time.perf_counter() - start) / steps


def timed(
    arms: Mapping[str, Arm], plan: Plan, *, rounds: int, min_rounds: int, deadline: float
) -> dict[str, list[float]]:
    """Time the steps of several arms.

    Each arm trains one epoch first that is not counted, in which it may compile or capture.

    Args:
        arms: By name; each trains one epoch of `plan` at every visit.
        plan: The run that the arms were made for.
        rounds: See `interleaved`, like `min_rounds` and `deadline`.

    Returns:
        By name, seconds per step, one value per round.
    """
    steps = plan.source.sizes["train"] // plan.config.batch_size
    for arm in arms.values():
        seconds_per_step(arm, steps, plan.device)

    def visit(arm: Arm) -> Callable[[], float]:
        return lambda: seconds_per_step(arm, steps, plan.device)

    visits = {name: visit(arm) for name, arm in arms.items()}
    return interleaved(visits, rounds=rounds, min_rounds=min_rounds, deadline=deadline)


def ratios(times: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """Compare arms round by round: each of the engine's over each loop, and the other loops over the plain one.

    Args:
        times: By name of an arm, seconds per step, one value per round.

    Returns:
        By pair, as in "eager/plain", the spread of the ratio over the rounds.
    """
    pairs = [(x, y) for y in LOOPS for x in times if (x in ENGINES or y == "plain") and x != y and y in times]
    return {f"{x}/{y}": spread([p / q for p, q in zip(times[x], times[y], strict=True)]) for x, y in pairs}


def fastest_format(plan: Plan, rounds: int = 3) -> dict[str, Any]:
    """Find the memory format in which the plain loop is faster on this network; all loops are then given it.

    Returns:
        "chosen", "channels_last" or "contiguous"; and "seconds" per step of both.
    """
    loops = {
        name: Loop("plain", plan, 0, channels_last=name == "channels_last") for name in ("channels_last", "contiguous")
    }
    times = timed(loops, plan, rounds=rounds, min_rounds=rounds, deadline=0.0)
    seconds = {name: statistics.median(values) for name, values in times.items()}
    return {"chosen": min(seconds, key=lambda name: seconds[name]), "seconds": seconds}
