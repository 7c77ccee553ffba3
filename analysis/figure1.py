"""Figure 1 of the paper: the learning rates of five layers, t_0 = 0.5, exactly as `freezeout.schedule` gives them."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from freezeout.strategies import FreezeOut

from .paper_layout import SMALL, Sheet
from .rates import curves

STAGES, T_0, BASE_RATE = 5, 0.5, 0.1  # the base rate of all the paper's networks
POINTS = 201  # of each curve
PANELS = (("linear", False), ("linear", True), ("cubic", False), ("cubic", True))


def rates() -> pd.DataFrame:
    """The rate of each stage at each t in [0, 1], for each of the four panels."""
    panels = []
    for how_scale, scale_lr in PANELS:
        schedule = FreezeOut(t_0=T_0, how_scale=how_scale, scale_lr=scale_lr).schedule(STAGES)
        panel = curves(schedule, BASE_RATE, POINTS)
        panel.insert(0, "how_scale", how_scale)
        panel.insert(1, "scale_lr", scale_lr)
        panels.append(panel)
    return pd.concat(panels, ignore_index=True)


def draw_schedules(out: Path) -> list[Path]:
    """Write figure1 into `out`; needs no records."""
    table = rates()
    note = (
        f"Exact, from the schedule that trains: half a cosine from the base rate {BASE_RATE} (scaled: divided by "
        "$t_i$, so that every layer travels the same distance) to 0 at $t_i$, where the layer freezes. $t_i$ grows on "
        "a straight line from $t_0$ to 1 at the last layer; cubic: its third power. Each panel has its own scale."
    )
    sheet = Sheet(f"Figure 1: learning rates of five layers, $t_0={T_0}$", note, 2, 2, height=1.35, legend=1)
    colours = plt.get_cmap("viridis")
    with plt.rc_context(SMALL):
        for i, (axes, (how_scale, scale_lr)) in enumerate(zip(sheet.panels, PANELS, strict=True)):
            own = table[(table["how_scale"] == how_scale) & (table["scale_lr"] == scale_lr)]
            for stage in range(STAGES):
                label = f"layer {stage + 1}" if i == 0 else None
                colour = colours(0.9 * stage / (STAGES - 1))
                axes.plot(own["t"], own[f"stage_{stage}"], color=colour, linewidth=1.1, label=label)
            axes.set_title(f"({'abcd'[i]}) {how_scale}, {'scaled' if scale_lr else 'unscaled'}", loc="left")
            # Scaled cubic rates start eight times as high as unscaled ones; a shared scale would flatten the latter.
            axes.set(xlim=(0, 1), ylim=(0, 1.05 * own.filter(like="stage_").to_numpy().max()))
            axes.set_xticks([0, 0.5, 1])
        for axes in sheet.panels[2:]:
            axes.set_xlabel("t, fraction of training")
        for axes in sheet.panels[::2]:
            axes.set_ylabel("learning rate")
        sheet.figure.legend(loc="lower center", bbox_to_anchor=sheet.legend_at, ncols=5, frameon=False, handlelength=1)
    return sheet.finish(table, out / "figure1")
