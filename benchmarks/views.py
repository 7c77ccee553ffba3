"""python -m benchmarks.views: what a few fixed views of each image save with the frozen prefix remembered, counted.

Predicted from FLOPs for the paper's networks at its epochs, without training or timing: the table and the picture of
docs/views.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from analysis.looks import COLOURS, MARKERS, STYLE
from benchmarks.counted import plan_of, saving, write
from freezeout.run.plan import Plan

NETWORKS = {  # options of conf/model, with their titles
    "densenet_bc_76_12": "DenseNet-BC-76-12",
    "vgg16": "VGG-16",
    "resnet56": "ResNet-56",
    "wrn_40_4": "WRN-40-4",
}
STRATEGIES = {
    "cubic scaled, t_0 0.8": ["strategy.how_scale=cubic", "strategy.scale_lr=true", "t_0=0.8"],
    "linear unscaled, t_0 0.5": ["strategy.how_scale=linear", "strategy.scale_lr=false", "t_0=0.5"],
}
VIEWS = (1, 2, 4, 8, 16, 32)
RECIPE = ["dataset=cifar10", "machine=cpu", "strategy=freezeout", "epochs=100", "batch_size=50"]


def rows(network: str) -> Iterator[dict[str, object]]:
    """What each strategy saves on a network, as fractions of the baseline's FLOPs.

    Args:
        network: An option of conf/model.

    Yields:
        `network`, `strategy`, `views` and the savings `without` a cache, `with_cache`, and `ceiling`: as if nothing
        frozen were ever computed.
    """
    for strategy, words in STRATEGIES.items():
        for views in VIEWS:
            overrides = [f"model={network}", *RECIPE, *words, f"augment.views={views}"]
            plain, remembering = (plan_of([*overrides, f"machine.cache={cache}"]) for cache in ("false", "null"))
            without, with_cache = saving(plain), saving(remembering)
            yield {
                "network": network,
                "strategy": strategy,
                "views": views,
                "without": without,
                "with_cache": with_cache,
                "ceiling": without + frozen_forward(plain),
            }


def frozen_forward(plan: Plan) -> float:
    """The forward passes of stages while they are frozen, as a share of the baseline's FLOPs."""
    assert plan.costs
    whole = sum(c.whole for c in plan.costs)
    steps = plan.schedule.freeze_steps(plan.steps)
    frozen = [0.0 if step is None else 1 - step / plan.steps for step in steps]
    return sum(c.forward * share for c, share in zip(plan.costs, frozen, strict=True)) / whole


def made(table: pd.DataFrame) -> Figure:
    """The figure of a table of `rows`, to be closed by the caller: a panel for each strategy."""
    with plt.rc_context(STYLE):
        strategies = list(table["strategy"].unique())
        figure, grid = plt.subplots(1, len(strategies), figsize=(9, 3.9), layout="constrained", sharey=True)
        for axes, strategy in zip(grid, strategies, strict=True):
            axes.set_title(strategy, loc="left", fontweight="bold")
            for i, (network, title) in enumerate(NETWORKS.items()):
                found = table[(table["strategy"] == strategy) & (table["network"] == network)]
                look = {"color": COLOURS[i]}
                axes.plot(found["views"], 100 * found["with_cache"], marker=MARKERS[i], ms=4, label=title, **look)
                axes.plot(found["views"], 100 * found["ceiling"], ls=":", lw=1, **look)
                axes.plot(found["views"], 100 * found["without"], ls="--", lw=1, **look)
            axes.set_xscale("log", base=2)
            axes.set_xticks(VIEWS, [str(views) for views in VIEWS])
            axes.set(xlabel="views of each image", ylim=(0, None))
        grid[0].set_ylabel("predicted saving, %")
        handles, labels = grid[0].get_legend_handles_labels()
        kinds = {"remembered": "-", "without a cache": "--", "ceiling: every visit a hit": ":"}
        handles += [plt.Line2D([], [], color="#222222", ls=style) for style in kinds.values()]
        figure.legend(handles, [*labels, *kinds], loc="outside lower center", ncols=4, frameon=False)
        figure.suptitle("CIFAR, 100 epochs, batch 50", fontsize="medium")
    return figure


def text(table: pd.DataFrame) -> str:
    """For the terminal and the page: per cent saved without a cache, with some numbers of views, and at best."""
    wide = table.pivot_table(index=["strategy", "network"], columns="views", values="with_cache", sort=False)
    ends = table.groupby(["strategy", "network"], sort=False)[["without", "ceiling"]].first()
    wide = pd.concat([ends["without"], wide[list(reversed(VIEWS))], ends["ceiling"]], axis=1)
    return (100 * wide).round(1).to_string()


def main(arguments: Sequence[str] | None = None) -> int:
    """Count, print, write and draw; 0, or 2 after one line for a wrong request."""
    about = __doc__.split("\n\n")[0].partition(": ")[2]
    return write(
        "views",
        about,
        arguments,
        lambda: pd.DataFrame([row for network in NETWORKS for row in rows(network)]),
        text,
        made,
    )


if __name__ == "__main__":
    sys.exit(main())
