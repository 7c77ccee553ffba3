"""Bounds on the results, and whether they hold; uses the results only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.arms import LOOPS
from benchmarks.savings import JUDGED

STEP = {"cpu": 1.02, "cuda": 1.00}  # step time of the judged arm over that of each loop, at most: a CPU is noisier
STEP_AT_0 = 1.02  # and over the plain loop with nothing frozen
PACKED = 1.02  # bytes packed over the active stages' share, at most
OF_IDEAL = 0.95  # realised over ideal saving, at least
IDEAL_NETWORKS = ("densenet", "wrn")  # name prefixes of the networks to which OF_IDEAL applies
SWITCHES = {"cpu": 0.03, "cuda": 0.01}  # share of the training seconds: of a test run; of a run of 100 epochs
PROFILED = 0.03  # distance of the profiled saving from the measured one, at most
OF_PROFILED = 0.90  # realised over profiled saving of a run with a cache, at least
CACHED = 1.00  # its seconds over those without, at most
CACHE_SHARE = 0.03  # of its seconds, for reading and writing on a CPU, at most
TIMES_FASTER = {"densenet_bc_76_12": 4.0, "wrn_40_4": 2.0}  # captured than the original's way, in tf32 at batch 50


@dataclass(frozen=True)
class Bound:
    """One claim about one number.

    Attributes:
        network: Where it was measured.
        what: What the number is.
        value: The number.
        sense: "<=" if it must be at most `limit`, ">=" if at least.
        limit: The bound.
    """

    network: str
    what: str
    value: float
    sense: str
    limit: float

    @property
    def ok(self) -> bool:
        return self.value <= self.limit if self.sense == "<=" else self.value >= self.limit

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"ok": self.ok}

    def __str__(self) -> str:
        verdict = "ok    " if self.ok else "MISSED"
        return f"{verdict} {self.network:<18} {self.what:<52} {self.value:>8.3f} {self.sense} {self.limit:g}"


def bounds(results: Mapping[str, Any]) -> list[Bound]:
    """Every bound on results measured so far.

    Args:
        results: The document that `benchmarks.suite.run` writes.
    """
    device = results["device"]["type"]
    found: list[Bound] = []
    for network, parts in results["networks"].items():
        found += _steps(network, parts.get("steps", {}), device)
        if (results["precision"], results["batch"]) == ("tf32", 50):
            found += _times_faster(network, parts.get("steps", {}))
        found += _packed(network, parts.get("packed", {}))
        found += _savings(network, parts.get("savings"), device)
        if "cache" in parts:
            found += _cache(network, parts["cache"], device)
    return found


def _steps(network: str, steps: Mapping[str, Any], device: str) -> Iterator[Bound]:
    judged = JUDGED[device]
    for prefix, found in steps.items():
        ratios = {pair: spread["median"] for pair, spread in found["ratios"].items()}
        for loop in LOOPS:
            if (pair := f"{judged}/{loop}") in ratios:
                yield Bound(network, f"step time {pair}, prefix {prefix}", ratios[pair], "<=", STEP[device])
        if prefix == "0" and (pair := f"{judged}/plain") in ratios:
            yield Bound(network, f"step time {pair}, nothing frozen", ratios[pair], "<=", STEP_AT_0)


def _times_faster(network: str, steps: Mapping[str, Any]) -> Iterator[Bound]:
    for prefix, found in steps.items():
        spread = found["ratios"].get("captured/original")
        if network in TIMES_FASTER and spread:
            what = f"times faster, captured than original, prefix {prefix}"
            yield Bound(network, what, 1 / spread["median"], ">=", TIMES_FASTER[network])


def _packed(network: str, packed: Mapping[str, Any]) -> Iterator[Bound]:
    for prefix, found in packed.items():
        value = found["arms"]["eager"]["packed"] / found["share"]
        yield Bound(network, f"packed bytes eager/active share, prefix {prefix}", value, "<=", PACKED)


def _savings(network: str, savings: Mapping[str, Any] | None, device: str) -> Iterator[Bound]:
    for name, found in (savings or {"strategies": {}})["strategies"].items():
        if network.startswith(IDEAL_NETWORKS) and found["of_ideal"] is not None:
            yield Bound(network, f"realised/ideal saving, {name}", found["of_ideal"], ">=", OF_IDEAL)
        yield Bound(network, f"switches' share, {name}", found["switches"]["median"], "<=", SWITCHES[device])
        distance = abs(found["profiled"] - found["realised"]["median"])
        yield Bound(network, f"profiled - realised saving, {name}", distance, "<=", PROFILED)


def _cache(network: str, cache: Mapping[str, Any], device: str) -> Iterator[Bound]:
    yield Bound(network, "realised/profiled saving, with a cache", cache["of_profiled"], ">=", OF_PROFILED)
    yield Bound(network, "seconds with/without a cache", cache["run_ratio"]["median"], "<=", CACHED)
    if device == "cpu":
        yield Bound(network, "cache's share", cache["cache_share"]["median"], "<=", CACHE_SHARE)
