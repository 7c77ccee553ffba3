"""What a configuration is called in a table, a legend and beside a point; one place for all three."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from freezeout.strategies import STRATEGIES

# The field that is swept along a curve and written beside its points; the other fields name the curve.
KNOBS = {
    "freezeout": "t_0",
    "lr_only": "t_0",
    "freeze_only": "t_0",
    "shortened": "budget",
    "layer_freezing": "freeze_start",
    "geometric": "start",
}
TITLES = {"freezeout": "FreezeOut", "shortened": "shortened baseline"}


def knob(strategy: dict[str, Any]) -> str | None:
    """`t_0=0.5`, `budget=0.4`; None for a strategy that has nothing to sweep."""
    name = KNOBS.get(strategy.get("name", ""))
    return f"{name}={_number(strategy[name])}" if name in strategy else None


def series(label: dict[str, Any]) -> str:
    """The curve that a configuration lies on: its strategy and every field but the knob that is not at its default.

    The scale and the scaling of rates are always named: they are the paper's variants.
    """
    strategy = label["strategy"]
    name = str(strategy.get("name"))
    plain = _defaults(name)
    words = [TITLES.get(name, name)]
    for key, value in strategy.items():
        if key == "how_scale":
            words.append(str(value))
        elif key == "scale_lr":
            words.append("scaled" if value else "unscaled")
        elif key not in ("name", KNOBS.get(name), "epochs") and plain.get(key, MISSING) != value:
            words.append(f"{key}={_number(value)}")
    rest = {key: value for key, value in label.items() if key not in ("strategy", "epochs", "seed")}
    return " ".join([*words, *(f"{key}={_number(value)}" for key, value in rest.items())])


def configuration(label: dict[str, Any]) -> str:
    """The whole name of a configuration but its epochs, which a table shows apart."""
    return " ".join(filter(None, [series(label), knob(label["strategy"])]))


def describe(section: dict[str, Any] | None) -> str | None:
    """A model for a title: `wide_resnet (depth 10, widen 1)`; zeros, nulls and empty fields say nothing."""
    if not section:
        return None
    words = ", ".join(f"{key} {_number(value)}" for key, value in section.items() if key != "name" and value)
    return f"{section.get('name')} ({words})" if words else str(section.get("name"))


def _defaults(name: str) -> dict[str, Any]:
    return {f.name: f.default for f in fields(STRATEGIES[name])} if name in STRATEGIES else {}


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
