"""Measures which memory format, run-ahead and folding are faster for a network on this device, and keeps them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from freezeout.run import choices, identity
from freezeout.run.plan import Plan, with_machine
from freezeout.run.profiling import WARM_UP, time_prefixes
from freezeout.train.schema import WINDOWS

ROUNDS = 3
STEPS = 20  # timed steps of a candidate at each prefix in each round, at most
BUDGET = 15.0  # approximate limit of all measurements, in seconds
MARGIN = 0.02  # another value must be faster than the default by more than this share, to ignore noise


class Question(NamedTuple):
    """A field of the machine, the values to choose from (the written one first) and the prefixes they are timed at."""

    field: str
    values: Sequence[bool | int]
    prefixes: Sequence[int]


def choose(plan: Plan, say: Callable[[str], None] = print) -> None:
    """Measure the choices for the network of a plan and write them to the file that plans read; needed once.

    Fields are measured one after another, each with the fields before it as chosen. The candidates take turns in short
    rounds; the median of each counts.

    Args:
        plan: The plan of any run of the network, whatever its machine configuration sets these fields to.
        say: Called with one line: what was chosen, by what ratios, and the file.

    Raises:
        ValueError: The choices were measured before, and their file is damaged.
    """
    path = identity.choices_path(plan)
    if path.exists():
        known = ", ".join(f"{field}={_word(value)}" for field, value in choices.read(path).items())
        say(f"choices: {known} (measured before; delete {path} to measure again)")
        return
    if plan.config.machine.compile:
        say("choices: not measured with machine.compile=true, where each candidate would compile for minutes")
        return
    base = with_machine(plan, channels_last=True, fold=True, run_ahead=None)
    asked = questions(base)
    visits = ROUNDS * sum(len(one.values) * len(one.prefixes) for one in asked)
    first = time_prefixes(base, 3, prefixes=(0,)).seconds[0]
    steps = max(3, min(STEPS, round(BUDGET / (first * visits) - WARM_UP)))
    chosen: dict[str, bool | int] = {}
    seconds: dict[str, dict[str, float]] = {}
    for one in asked:
        times = measured(base, one, steps)
        value = chosen[one.field] = fastest(times)
        base = with_machine(base, **{one.field: value})
        seconds[one.field] = {_word(other): times[other] for other in one.values}
    conditions = identity.conditions(plan) | {"machine": identity.machine(base)}
    choices.write(path, chosen, seconds=seconds, conditions=conditions, rounds=ROUNDS, steps=steps)
    words = ", ".join(f"{field}={_word(value)} ({ratios(seconds[field], value)})" for field, value in chosen.items())
    say(f"choices: {words}: {path}; machine=measured trains with them")


def questions(plan: Plan) -> list[Question]:
    """The fields to measure for a network: those that can make a difference.

    A CPU does not use run-ahead. A network that runs as a whole has no prefix.
    """
    found = [Question("channels_last", (True, False), (0,))]
    if plan.counts is not None and plan.stages > 1:
        prefixes = sorted({plan.stages // 2, plan.stages - 1})
        smaller = [size for size in WINDOWS if size < plan.run_ahead]  # larger ones do not fit into memory
        if smaller:
            found.append(Question("run_ahead", (plan.run_ahead, *smaller), prefixes))
        found.append(Question("fold", (True, False), prefixes))
    return found


def measured(base: Plan, question: Question, steps: int) -> dict[bool | int, float]:
    """Seconds of a step under each value of a question: summed over its prefixes, the median of the rounds.

    Args:
        base: The plan; only the field in question varies.
        question: What to measure.
        steps: Timed steps of each prefix in each round.
    """
    plans = {value: with_machine(base, **{question.field: value}) for value in question.values}
    seconds: dict[bool | int, list[float]] = {value: [] for value in plans}
    began = time.perf_counter()
    for number in range(ROUNDS):
        for value in list(plans)[:: 1 if number % 2 else -1]:  # alternate directions: a drift affects all alike
            seconds[value].append(sum(time_prefixes(plans[value], steps, prefixes=question.prefixes).seconds))
        if time.perf_counter() - began > BUDGET:
            break
    if base.device.type == "cuda":
        torch.cuda.empty_cache()  # do not count the candidates' memory for the profile
    return {value: statistics.median(times) for value, times in seconds.items()}


def fastest(seconds: dict[bool | int, float]) -> bool | int:
    """The value with the fewest seconds; the first, the default, unless another is faster by MARGIN."""
    written = next(iter(seconds))
    best = min(seconds, key=lambda value: seconds[value])
    return best if seconds[best] < (1 - MARGIN) * seconds[written] else written


def ratios(seconds: dict[str, float], chosen: bool | int) -> str:
    """`1 1.30, 2 1.12 times as long`: every value that was not chosen, relative to the chosen one."""
    own = seconds[_word(chosen)]
    others = [f"{word} {time / own:.2f}" for word, time in seconds.items() if word != _word(chosen)]
    return f"{', '.join(others)} times as long"


def _word(value: Any) -> str:
    return str(value).lower()
