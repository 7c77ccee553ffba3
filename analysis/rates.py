"""Draws the learning rate of every stage over training for a strategy; needs no records and no network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd

from freezeout.checks import lookup, nearest
from freezeout.naming import configuration
from freezeout.schedule import Schedule, lr_factor
from freezeout.strategies import STRATEGIES, Strategy

from .looks import STYLE, write

POINTS = 401  # of each curve
NAMED = 8  # up to this many stages all are in the legend, else only the first and the last


def curves(schedule: Schedule, base: float, points: int = POINTS) -> pd.DataFrame:
    """The rate of each stage at evenly spaced times: columns t (in [0, 1]) and stage_0, stage_1, ..."""
    rows = []
    for point in range(points):
        t = point / (points - 1)
        rates = [base * lr_factor(t, t_i, scaled=schedule.scaled) for t_i in schedule.anneal]
        rows.append({"t": t} | {f"stage_{i}": rate for i, rate in enumerate(rates)})
    return pd.DataFrame(rows)


def strategy_of(words: Sequence[str]) -> tuple[Strategy, dict[str, Any]]:
    """The strategy that `strategy=freezeout t_0=0.5 how_scale=cubic` describes, and its name and fields.

    Raises:
        ValueError: In one line, for an unknown strategy or field, or a value that it cannot have.
    """
    given = dict(word.partition("=")[::2] for word in words)
    name = given.pop("strategy", "freezeout")
    schema = lookup("strategy", STRATEGIES, name)
    kinds = {field.name: str(field.type) for field in fields(schema)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, text in given.items():
        field = key.removeprefix("strategy.")
        if field not in kinds:
            raise ValueError(f"{key}={text}: {name} has no such field{nearest(field, kinds)}")
        values[field] = _typed(key, text, kinds[field])
    try:
        strategy = schema(**values)
    except TypeError as error:
        required = [f.name for f in fields(schema) if f.name not in values and f.default is f.default_factory]  # type: ignore[arg-type]
        raise ValueError(f"strategy={name}: must be given {', '.join(required)}, as in {required[0]}=...") from error
    return strategy, {"name": name, **{key: getattr(strategy, key) for key in kinds}}


def _typed(key: str, text: str, kind: str) -> Any:
    if kind == "bool":
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{key}={text}: must be true or false")
        return text.lower() == "true"
    is_list = kind == "Any" and text.startswith("[")
    try:
        return json.loads(text) if is_list else {"int": int, "float": float}.get(kind, str)(text)
    except ValueError as error:
        raise ValueError(f"{key}={text}: must be {'a list of numbers' if is_list else 'a number'}") from error


def draw_rates(words: Sequence[str], stages: int, base: float, out: Path) -> list[Path]:
    """Write rates_<configuration>.png, .svg and .csv into `out`; gives their paths.

    Args:
        words: See `strategy_of`.
        stages: How many stages the network has.
        base: The base learning rate.
        out: A folder.
    """
    strategy, section = strategy_of(words)
    table = curves(strategy.schedule(stages), base)
    title = configuration({"strategy": section})
    stem = out / f"rates_{title.replace(' ', '_').replace('=', '_')}"
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg", "csv")]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
        colours = plt.get_cmap("viridis")
        for i in range(stages):
            last = i == stages - 1
            named = stages <= NAMED or i == 0 or last
            label = f"stage {i}{' (head)' if last else ''}" if named else None
            axes.plot(table["t"], table[f"stage_{i}"], color=colours(0.9 * i / max(stages - 1, 1)), label=label)
        axes.set(xlabel="t, fraction of training", ylabel="learning rate", xlim=(0, 1), ylim=(0, None))
        axes.set_title(f"{title}, {stages} stages", fontsize=10, loc="left")
        axes.legend(frameon=False, fontsize=8)
        write(figure, table, paths)
    return paths
