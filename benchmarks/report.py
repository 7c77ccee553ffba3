"""What the benchmark says: tables for the terminal, results as JSON and CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.arms import NAMES
from benchmarks.bounds import Bound, bounds
from freezeout.records import replacing, write_json_atomic

JSON, CSV = "benchmark.json", "benchmark.csv"


def write(results: dict[str, Any], out: Path) -> None:
    """The results so far, with the bounds on them; a benchmark that is killed leaves its last ones."""
    results["bounds"] = [bound.as_json() for bound in bounds(results)]
    write_json_atomic(out / JSON, results)
    with replacing(out / CSV) as path, path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["network", "quantity", "of", "prefix", "median", "low", "high", "n"])
        writer.writeheader()
        writer.writerows(rows(results))


def rows(results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One line a number: low and high are quartiles, of n rounds."""
    for network, parts in results["networks"].items():
        for prefix, found in parts.get("steps", {}).items():
            for quantity, spreads in (("seconds", found["seconds"]), ("ratio", found["ratios"])):
                for of, spread in spreads.items():
                    yield {"network": network, "quantity": quantity, "of": of, "prefix": prefix, **kept(spread)}
        for prefix, found in parts.get("packed", {}).items():
            yield {"network": network, "quantity": "packed", "of": "share", "prefix": prefix, "median": found["share"]}
            for of, held in found["arms"].items():
                for quantity, value in held.items():
                    if value is not None:
                        yield {"network": network, "quantity": quantity, "of": of, "prefix": prefix, "median": value}
        for strategy, found in parts.get("savings", {"strategies": {}})["strategies"].items():
            for quantity in ("realised", "ideal_rounds", "switches"):
                yield {"network": network, "quantity": quantity, "of": strategy, **kept(found[quantity])}
            for quantity in ("ideal", "ideal_with_input", "profiled"):
                yield {"network": network, "quantity": quantity, "of": strategy, "median": found[quantity]}


def kept(spread: Mapping[str, float]) -> dict[str, float]:
    return {key: spread[key] for key in ("median", "low", "high", "n")}


def steps_text(prefix: int, stages: int, found: Mapping[str, Any]) -> str:
    """`prefix 3 of 10: d/a 0.98 (0.97-1.01) ...`: ratios of step times, quartiles, number of rounds."""
    ratios = "  ".join(
        f"{pair} {s['median']:.3f} ({s['low']:.3f}-{s['high']:.3f})" for pair, s in found["ratios"].items()
    )
    first = found["seconds"]["a"]
    return f"  {prefix:>2} of {stages} frozen, a {1000 * first['median']:.1f} ms, n={first['n']}:  {ratios}"


def packed_text(packed: Mapping[str, Any]) -> str:
    """MB packed for backward at each prefix: the active stages' share and every arm; peaks where there are any."""
    lines = ["  MB packed for backward (peak memory in brackets)"]
    for prefix, found in packed.items():
        cells = [f"share {mega(found['share'])}"]
        for key, held in found["arms"].items():
            peak = "" if held["peak"] is None else f" [{mega(held['peak'])}]"
            cells.append(f"{key} {mega(held['packed'])}{peak}")
        lines.append(f"  {prefix:>2} frozen:  " + "  ".join(cells))
    return "\n".join(lines)


def mega(count: int | None) -> str:
    return "-" if count is None else f"{count / 1e6:.2f}"


def savings_text(savings: Mapping[str, Any]) -> str:
    """One line a strategy; savings in per cent of the baseline's training seconds."""
    long = ", extrapolated to 100 epochs" if savings["extrapolated"] else ""
    lines = [f"  whole runs of {savings['steps']} steps{long}, {NAMES[savings['path']]}: savings in % (quartiles)"]
    for name, found in savings["strategies"].items():
        s = found["realised"]
        realised = f"{100 * s['median']:.1f} ({100 * s['low']:.1f}-{100 * s['high']:.1f}, n={s['n']})"
        lines.append(
            f"  {name:<20} realised {realised}, ideal {100 * found['ideal']:.1f} "
            f"({100 * found['ideal_with_input']:.1f} with the first active stage's input gradient), "
            f"profiled {100 * found['profiled']:.1f}; switches {100 * found['switches']['median']:.2f} % of the seconds"
        )
    return "\n".join(lines)


def bounds_text(found: Iterable[Bound]) -> str:
    found = list(found)
    missed = sum(not bound.ok for bound in found)
    return "\n".join(["", "bounds", *map(str, found), f"{len(found)} bounds, {missed} missed"])
