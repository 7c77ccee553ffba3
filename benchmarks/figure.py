"""The figure: a row a network; step times against the prefix, packed bytes, realised against ideal savings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from analysis.plots import COLOURS, MARKERS, NO_DATE, STYLE
from benchmarks.arms import NAMES
from freezeout.records import replacing

LOOK = {key: (COLOURS[i], MARKERS[i]) for i, key in enumerate(NAMES)}
PNG = "benchmark.png"


def draw(results: Mapping[str, Any], out: Path) -> Path | None:
    """What has been measured so far as a PNG; None while there is nothing. Bars are quartiles of the rounds."""
    measured = {name: parts for name, parts in results["networks"].items() if parts.get("steps")}
    if not measured:
        return None
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(
            len(measured), 3, figsize=(11, 2.6 * len(measured) + 0.6), layout="constrained", squeeze=False
        )
        for axes, (name, parts) in zip(grid, measured.items(), strict=True):
            _steps(axes[0], parts)
            _packed(axes[1], parts)
            _savings(axes[2], parts)
            axes[0].set_title(name, loc="left", fontweight="bold")
        handles: dict[str, Any] = {}
        for axes in grid.flat:
            handles |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5, frameon=False)
        device = results["device"]["model"]
        figure.suptitle(f"{device}, {results['precision']}, batch {results['batch']}", fontsize="medium")
        out.mkdir(parents=True, exist_ok=True)
        with replacing(out / PNG) as path:
            figure.savefig(path, format="png", dpi=150, metadata=NO_DATE["png"])
        plt.close(figure)
    return out / PNG


def _steps(axes: Axes, parts: Mapping[str, Any]) -> None:
    prefixes = [int(prefix) for prefix in parts["steps"]]
    for key in NAMES:
        spreads = [found["ratios"].get(f"{key}/a") for found in parts["steps"].values()]
        seen = [(p, s) for p, s in zip(prefixes, spreads, strict=True) if s]
        if seen:
            middle = [s["median"] for _, s in seen]
            bars = [[s["median"] - s["low"] for _, s in seen], [s["high"] - s["median"] for _, s in seen]]
            colour, marker = LOOK[key]
            axes.errorbar([p for p, _ in seen], middle, bars, color=colour, marker=marker, ms=4, label=NAMES[key])
    axes.axhline(1.0, color=LOOK["a"][0], lw=1, label=f"{NAMES['a']} (1)")
    axes.set(xlabel="frozen stages", ylabel="step time / plain loop's")


def _packed(axes: Axes, parts: Mapping[str, Any]) -> None:
    packed = parts.get("packed", {})
    prefixes = [int(prefix) for prefix in packed]
    for key in NAMES:
        seen = [
            (p, found["arms"][key]["packed"] / 1e6)
            for p, found in zip(prefixes, packed.values(), strict=True)
            if found["arms"].get(key, {}).get("packed") is not None
        ]
        if seen:
            colour, marker = LOOK[key]
            axes.plot(*zip(*seen, strict=True), color=colour, marker=marker, ms=4, label=NAMES[key])
    shares = [found["share"] / 1e6 for found in packed.values()]
    axes.plot(prefixes, shares, color="#222222", ls=":", label="active stages' share")
    axes.set(xlabel="frozen stages", ylabel="MB packed for backward", ylim=(0, None))


def _savings(axes: Axes, parts: Mapping[str, Any]) -> None:
    strategies = parts.get("savings", {}).get("strategies", {})
    for i, found in enumerate(strategies.values()):
        s = {key: 100 * found["realised"][key] for key in ("median", "low", "high")}
        bars = [[s["median"] - s["low"]], [s["high"] - s["median"]]]
        first = i == 0
        axes.bar(i - 0.27, 100 * found["ideal"], 0.25, color="#bbbbbb", label="ideal" if first else None)
        axes.bar(i, s["median"], 0.25, yerr=bars, color=LOOK["d"][0], label="realised" if first else None)
        axes.bar(i + 0.27, 100 * found["profiled"], 0.25, color="#f2dc6b", label="profiled" if first else None)
    axes.set_xticks(range(len(strategies)), list(strategies))
    axes.set(ylabel="saving, %")
