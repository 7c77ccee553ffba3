"""Every panel's arms in one forest: does freezing pay, network by network?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from freezeout.naming import counted

from .forest import ROW, Block, draw_forest
from .looks import STYLE, styles, write
from .panel_verdicts import PanelVerdicts
from .verdict_rows import arm_rows, not_drawn

WIDTH = 8.0  # inches
COLUMNS = ("name", "saving", "n", "difference", "difference_low", "difference_high", "margin", "verdict")


def draw_overview(found: Sequence[PanelVerdicts], out: Path) -> list[Path]:
    """Write overview.png, .svg and .csv into `out` and give their paths; [] where no panel has an arm to judge.

    A row per arm of each panel, in the order of the panels. Intervals are simultaneous within a panel, not over all.
    The same panels give the same bytes.
    """
    rows = {i: rows for i, one in enumerate(found) if not (rows := arm_rows(one)).empty}
    if not rows:
        return []
    paths = [out / f"overview.{kind}" for kind in ("png", "svg", "csv")]
    blocks = [Block(own, _names(own), found[i].margin, _title(found[i])) for i, own in rows.items()]
    looks = styles(pd.concat([found[i].panel.points for i in rows]))
    with plt.rc_context(STYLE):
        lines = sum(block.lines for block in blocks)
        figure, axes = plt.subplots(figsize=(WIDTH, ROW * lines + 1.0), layout="constrained")
        words = draw_forest(axes, blocks, looks, "a panel's arms")
        # Title and label end where the axes end: long names to the left of the axes leave them room.
        axes.set_title(
            "Error above (right) or below (left) that of training for the same time", fontsize=10, loc="right"
        )
        margin = "; green: the margin" if any(block.margin is not None for block in blocks) else ""
        axes.set_xlabel(f"Per cent of the curve's error{words}{margin}{not_drawn(*found)}", loc="right")
        write(figure, pd.concat([_table(found[i], own) for i, own in rows.items()]), paths)
    return paths


def _names(rows: pd.DataFrame) -> list[str]:
    return [f"{arm['name']}, {100 * arm['saving']:.0f} % saved" for _, arm in rows.iterrows()]


def _title(one: PanelVerdicts) -> str:
    panel = one.panel
    seeds = counted(panel.runs["seed"].nunique(), "seed")
    return f"{panel.sweep}: {panel.what}, {seeds}, {panel.first('evaluation_split')}"


def _table(one: PanelVerdicts, rows: pd.DataFrame) -> pd.DataFrame:
    panel = one.panel
    whose = {"sweep": panel.sweep, **{key: panel.first(key) for key in ("model", "dataset", "setting")}}
    return rows[[*COLUMNS]].assign(**whose)[[*whose, *COLUMNS]]
