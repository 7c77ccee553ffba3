"""The Pareto front as an object, separate from its drawing: the configurations that no other one dominates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """A configuration: x is a saving or seconds, error is in per cent. Either may be NaN."""

    name: str
    x: float
    error: float


@dataclass(frozen=True)
class Front:
    """A set of points, divided by the front.

    Attributes:
        members: Points that no other one dominates, in order of x.
        dominated: Points that a member dominates.
        undefined: Points with a NaN: they neither dominate nor are dominated.
    """

    members: tuple[Point, ...]
    dominated: tuple[Point, ...]
    undefined: tuple[Point, ...]


def dominates(a: Point, b: Point, *, more_is_better: bool = True) -> bool:
    """Whether `a` is no worse than `b` in x and error and better in one; equal points do not dominate each other.

    Args:
        a: A point; False if it has a NaN.
        b: Another.
        more_is_better: A large x is good, as with savings; with seconds a small one is.
    """
    cheaper = a.x - b.x if more_is_better else b.x - a.x
    return cheaper >= 0 and a.error <= b.error and (cheaper > 0 or a.error < b.error)


def front(points: Sequence[Point], *, more_is_better: bool = True) -> Front:
    """The Pareto front of some points: least error against the largest or the smallest x.

    Args:
        points: Any number; those with a NaN are set aside.
        more_is_better: A large x is good, as with savings; with seconds a small one is.
    """
    known = [p for p in points if not (math.isnan(p.x) or math.isnan(p.error))]
    beaten = [any(dominates(q, p, more_is_better=more_is_better) for q in known) for p in known]
    members = [p for p, is_beaten in zip(known, beaten, strict=True) if not is_beaten]
    return Front(
        members=tuple(sorted(members, key=lambda p: (p.x, p.error))),
        dominated=tuple(p for p, is_beaten in zip(known, beaten, strict=True) if is_beaten),
        undefined=tuple(p for p in points if math.isnan(p.x) or math.isnan(p.error)),
    )
