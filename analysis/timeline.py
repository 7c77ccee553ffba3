"""Draws one run's timeline: seconds per step over t, stacked by part, under the level at which nothing is frozen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from freezeout.naming import configuration, network

from .collect import find_record
from .looks import COLOURS, CURVE_COLOUR, STYLE, write
from .time_breakdown import PARTS, blocks, level, parts_text, per_prefix, saved

# Okabe and Ito's palette: the part that freezing removes (backward) is warm, parts without computation are grey.
SHADES = (COLOURS[4], COLOURS[0], COLOURS[1], COLOURS[2], COLOURS[5], "#bbbbbb", "#000000", COLOURS[3], "#e3e3e3")
LOOK = dict(zip(PARTS, SHADES, strict=True))
APART = 0.035  # least distance in t between two numbers of frozen stages above the figure
ROOM = 1.3  # the axis ends at this multiple of the higher of stack and level; slower blocks are cut


def timeline(run: Path, out: Path) -> str:
    """Write timeline_<run id>.png, .svg and .csv: where the seconds of one run went.

    Args:
        run: The run's folder, or its record.json.
        out: The folder to write into. The CSV has one row per prefix, as `per_prefix` gives it.

    Returns:
        The table of parts and the paths written, as text.

    Raises:
        ValueError: In one line: there is no such run, or it has no training step.
    """
    record = find_record(run)
    table = blocks(record)
    found = per_prefix(table, record["steps"])
    stem = out / f"timeline_{record['run_id']}"
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg", "csv")]
    with plt.rc_context(STYLE):
        write(drawn(record, table, found), found, paths)
    return "\n".join([*title(record, found).splitlines(), parts_text(found), *(f"wrote {path}" for path in paths)])


def drawn(record: dict[str, Any], table: pd.DataFrame, found: pd.DataFrame) -> Any:
    """The figure of a run, not yet written.

    Args:
        record: The run's record.
        table: Its blocks, as `blocks` gives them.
        found: Its prefixes, as `per_prefix` gives them.
    """
    figure, axes = plt.subplots(figsize=(6.6, 4.4), layout="constrained")
    base, highest = level(found), found["seconds"].max()
    scale, unit = (1e3, "Milliseconds") if highest < 1 else (1.0, "Seconds")
    heights = stacked(axes, found, scale)
    middle = (table["step_from"] + table["step_to"]) / 2 / record["steps"]
    dots: dict[str, Any] = {"color": CURVE_COLOUR, "markersize": 2, "markeredgewidth": 0, "alpha": 0.5, "zorder": 3}
    packed = any("median" in block for block in record["prefixes"])
    dot = "all steps of a prefix (packed record)" if packed else "a block of at most 50 steps"
    axes.plot(middle, table["seconds"] / table["steps"] * scale, "o", **dots, label=dot)
    if base is not None and len(found) > 1:
        axes.axhline(
            base * scale, color=CURVE_COLOUR, linestyle="--", linewidth=1, zorder=3, label="nothing frozen (median)"
        )
        top = np.maximum(heights, base * scale)
        words = f"saved: {100 * (saved(found) or 0):.1f} %"
        gap: dict[str, Any] = {"facecolor": "none", "edgecolor": "#b8b8b8", "hatch": "///", "linewidth": 0}
        axes.stairs(top, edges(found), baseline=heights, fill=True, **gap, label=words)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, max(highest, base or 0.0) * scale * ROOM)
    events(axes, found)
    graphs = any(block.get("graph") for block in record["prefixes"])
    split = "\nseconds in CUDA graphs are shared out as outside of them, at the same prefix" if graphs else ""
    axes.set_xlabel(
        f"t, fraction of training\nmeasured on {record['device']['model']}, one run; means at each prefix{split}"
    )
    axes.set_ylabel(f"{unit} per training step")
    axes.set_title(title(record, found), fontsize=10, loc="left")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure


def edges(found: pd.DataFrame) -> np.ndarray:
    """The starts of the prefixes and the end of the last, as fractions of the run."""
    return np.append(found["t_from"].to_numpy(), found["t_to"].iloc[-1])


def stacked(axes: Axes, found: pd.DataFrame, scale: float) -> np.ndarray:
    """Draw the parts stacked; gives the total height at each prefix, in seconds times `scale`."""
    below = np.zeros(len(found))
    for key, words in PARTS.items():
        if found[key].sum() > 0:
            above = below + found[key].to_numpy() * scale
            axes.stairs(above, edges(found), baseline=below, fill=True, color=LOOK[key], linewidth=0, label=words)
            below = above
    return below


def events(axes: Axes, found: pd.DataFrame) -> None:
    """A line at every freeze event, and above the figure the number of stages frozen from there on."""
    ticks, labels, last = [], [], -1.0
    for _, row in found[found["prefix"] > 0].iterrows():
        axes.axvline(row["t_from"], color="white", linewidth=0.6, zorder=2)
        if row["t_from"] - last >= APART:
            last = row["t_from"]
            ticks.append(last)
            labels.append(f"{row['prefix']:.0f}")
    above = axes.secondary_xaxis("top")
    above.set_xticks(ticks, labels)
    above.tick_params(labelsize=7, length=3, pad=1)
    if ticks:
        above.set_xlabel("frozen stages, from each freeze event on", fontsize=8)


def title(record: dict[str, Any], found: pd.DataFrame) -> str:
    """Two lines: network and data; strategy, seed, steps and seconds."""
    config = record["config"]
    name = f"{network(config.get('model'))} on {(record.get('data') or {}).get('name') or config['dataset']['name']}"
    steps, seconds = found["step_to"] - found["step_from"], found["seconds"]
    state = "" if record["status"] == "done" else f", {record['status']}"
    own = configuration({"strategy": config["strategy"]})
    return f"{name}\n{own}, seed {record['seed']}{state}: {steps.sum()} steps in {(steps * seconds).sum():.3g} s"
