"""The benchmark's output: text for the terminal, results as JSON and CSV."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.arms import LABELS
from benchmarks.bounds import Bound, bounds
from freezeout.records import replacing, write_json_atomic

JSON, CSV = "benchmark.json", "benchmark.csv"
COLUMNS = ("network", "quantity", "of", "prefix", "median", "low", "high", "n", "device", "precision", "batch")


def write(results: dict[str, Any], out: Path) -> None:
    """Write the results so far and the bounds on them into the folder `out`."""
    results["bounds"] = [bound.as_json() for bound in bounds(results)]
    write_json_atomic(out / JSON, results)
    with replacing(out / CSV) as path, path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows(results))


def rows(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The results as a table, one row per number: all that the figure shows.

    Returns:
        Rows under COLUMNS. `quantity` says what `median` is, and `of` for which arm, pair of arms or strategy:

        - "seconds" of a training step and "ratio" of two arms' (as in "eager/plain") at a `prefix`;
        - "packed" bytes of a step and "peak" bytes held at a `prefix` (of "share": what the active stages pack);
        - of a strategy, "ideal", "ideal_with_input", "realised" and "profiled" savings and the share of "switches",
          fractions of training seconds; "ideal_rounds" is the ideal of each round by itself;
        - of runs in fixed views, without a cache and with one, "realised" and "profiled" savings too; of the latter
          "run_ratio" (its seconds over those without), "cache_share" of its seconds that reading and writing took,
          "hit_rate" of the visits of images to frozen stages, and "cache_bytes" in each kind of memory, all at most.

        `low` and `high` are quartiles over `n` rounds; where there are none it is a single number.
    """
    conditions = {"device": results["device"]["model"], "precision": results["precision"], "batch": results["batch"]}
    found: list[dict[str, Any]] = []
    for network, parts in results["networks"].items():
        entries = [*_step_rows(parts), *_packed_rows(parts), *_savings_rows(parts), *_cache_rows(parts)]
        found += [{"network": network, **entry, **conditions} for entry in entries]
    return found


def _step_rows(parts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for prefix, found in parts.get("steps", {}).items():
        for quantity, spreads in (("seconds", found["seconds"]), ("ratio", found["ratios"])):
            for of, spread in spreads.items():
                yield {"quantity": quantity, "of": of, "prefix": prefix, **_kept(spread)}


def _packed_rows(parts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for prefix, found in parts.get("packed", {}).items():
        yield {"quantity": "packed", "of": "share", "prefix": prefix, "median": found["share"]}
        for of, held in found["arms"].items():
            for quantity, value in held.items():
                if value is not None:
                    yield {"quantity": quantity, "of": of, "prefix": prefix, "median": value}


def _savings_rows(parts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for strategy, found in parts.get("savings", {"strategies": {}})["strategies"].items():
        for quantity in ("realised", "ideal_rounds", "switches"):
            yield {"quantity": quantity, "of": strategy, **_kept(found[quantity])}
        for quantity in ("ideal", "ideal_with_input", "profiled"):
            yield {"quantity": quantity, "of": strategy, "median": found[quantity]}


def _cache_rows(parts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if (cache := parts.get("cache")) is None:
        return
    for of, found in cache["runs"].items():
        yield {"quantity": "realised", "of": of, **_kept(found["realised"])}
        yield {"quantity": "profiled", "of": of, "median": found["profiled"]}
    for quantity in ("run_ratio", "cache_share"):
        yield {"quantity": quantity, "of": of, **_kept(cache[quantity])}
    yield {"quantity": "hit_rate", "of": of, "median": cache["hit_rate"]}
    for kind, size in cache["bytes"].items():
        yield {"quantity": "cache_bytes", "of": kind, "median": size}


def _kept(spread: Mapping[str, float]) -> dict[str, float]:
    return {key: spread[key] for key in ("median", "low", "high", "n")}


def steps_text(prefix: int, stages: int, found: Mapping[str, Any]) -> str:
    """For the terminal: ratios of step times at `prefix`, as medians with their quartiles in brackets."""
    plain = found["seconds"]["plain"]
    cells = [f"{pair} {s['median']:.3f} ({s['low']:.3f}-{s['high']:.3f})" for pair, s in found["ratios"].items()]
    head = f"  {prefix} of {stages} frozen: plain loop {1000 * plain['median']:.1f} ms a step, n = {plain['n']}"
    return "\n".join([head, *_in_columns(cells)])


def packed_text(packed: Mapping[str, Any]) -> str:
    """For the terminal: MB packed at each prefix by the active stages and by every arm; the peaks too on a GPU."""
    names = list(next(iter(packed.values()))["arms"])
    lines = [
        "  MB packed for the backward pass (active share: of the stages that are not frozen)",
        _table_row("frozen", "active share", *names),
    ]
    for prefix, found in packed.items():
        held = [found["arms"][name] for name in names]
        lines.append(_table_row(prefix, *map(_megabytes, (found["share"], *(arm["packed"] for arm in held)))))
    if any(arm["peak"] is not None for arm in held):
        lines += ["  MB held at most", _table_row("frozen", "", *names)]
        for prefix, found in packed.items():
            lines.append(_table_row(prefix, "", *(_megabytes(found["arms"][name]["peak"]) for name in names)))
    return "\n".join(lines)


def _table_row(prefix: str, share: str, *cells: str) -> str:
    return f"    {prefix:>6}  {share:>12}" + "".join(f"{cell:>10}" for cell in cells)


def _megabytes(count: int | None) -> str:
    return "-" if count is None else f"{count / 1e6:.2f}"


def _in_columns(cells: Sequence[str]) -> list[str]:
    """`cells` side by side in equal columns, as many as fit the terminal."""
    width = max(map(len, cells)) + 2
    per_line = max(1, (shutil.get_terminal_size(fallback=(110, 24)).columns - 4) // width)
    lines = [cells[i : i + per_line] for i in range(0, len(cells), per_line)]
    return ["    " + "".join(cell.ljust(width) for cell in line).rstrip() for line in lines]


def savings_text(savings: Mapping[str, Any]) -> str:
    """For the terminal: the savings of each strategy, in per cent of the baseline's training seconds."""
    long = ", extrapolated to 100 epochs" if savings["extrapolated"] else ""
    lines = [f"  saved in whole runs of {savings['steps']} steps{long}, {LABELS[savings['arm']]} (quartiles)"]
    for name, found in savings["strategies"].items():
        per_cent = {key: 100 * found["realised"][key] for key in ("median", "low", "high")}
        lines += [
            f"    {name}: realised {per_cent['median']:.1f} % ({per_cent['low']:.1f}-{per_cent['high']:.1f}), "
            f"n = {found['realised']['n']}",
            f"      ideal {100 * found['ideal']:.1f} %, and {100 * found['ideal_with_input']:.1f} % with the input "
            "gradient of the first active stage",
            f"      profiled {100 * found['profiled']:.1f} %; "
            f"freeze switches took {100 * found['switches']['median']:.2f} % of the seconds",
        ]
    return "\n".join(lines)


def cache_text(cache: Mapping[str, Any]) -> str:
    """For the terminal: what runs with a cache saved and what those without, in per cent of the baseline's seconds."""
    lines = [
        f"  saved in whole runs of {cache['epochs']} epochs of {cache['epoch']} steps, {cache['strategy']}, "
        f"{LABELS[cache['arm']]} (quartiles)"
    ]
    for name, found in cache["runs"].items():
        low, middle, high = (100 * found["realised"][key] for key in ("low", "median", "high"))
        lines.append(
            f"    {name}: realised {middle:.1f} % ({low:.1f}-{high:.1f}), n = {found['realised']['n']}; "
            f"profiled {100 * found['profiled']:.1f} %"
        )
    ratio, kept = cache["run_ratio"], [f"{size / 1e6:.1f} MB of {kind} memory" for kind, size in cache["bytes"].items()]
    lines += [
        f"      {ratio['median']:.3f} ({ratio['low']:.3f}-{ratio['high']:.3f}) of the seconds without; "
        f"reading and writing took {100 * cache['cache_share']['median']:.2f} %",
        f"      kept: {' and '.join(kept) or 'nothing'}, at most; {100 * cache['hit_rate']:.0f} % of the visits to "
        "frozen stages were hits",
    ]
    return "\n".join(lines)


def bounds_text(found: Iterable[Bound]) -> str:
    """For the terminal: every bound with its verdict, and how many were missed."""
    found = list(found)
    missed = sum(not bound.ok for bound in found)
    return "\n".join(["", "bounds", *map(str, found), f"{len(found)} bounds, {missed} missed"])
