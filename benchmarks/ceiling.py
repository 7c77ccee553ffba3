"""python -m benchmarks.ceiling: the most that freezing could save in each of 128 networks, counted.

Predicted from FLOPs as `predict` does, without training, timing or weights (networks are built on torch's meta device):
the table and the picture of docs/ceiling.md.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch.overrides import TorchFunctionMode

from analysis.looks import COLOURS, STYLE
from benchmarks.counted import plan_of, saving, write
from freezeout.savings.cost import step_cost

PAPER = ("densenet_bc_76_12", "vgg16", "resnet56", "wrn_40_4")  # options of conf/model, on CIFAR-100
# Of each family of timm a small variant.
TIMM = (
    *("efficientnet_b0", "efficientnet_es", "tf_efficientnetv2_b0", "mixnet_s", "mnasnet_small", "fbnetc_100"),
    *("mobilenetv2_035", "mobilenetv3_small_050", "mobilenetv4_conv_small_035", "lcnet_035", "tinynet_e"),
    *("ghostnet_050", "rexnet_100", "regnetx_002", "regnety_002", "regnetz_005", "densenet121", "hrnet_w18_small"),
    *("resnet10t", "resnet18", "resnetv2_18", "seresnet18", "skresnet18", "res2net50_26w_4s", "resnest14d"),
    *("repvgg_a0", "dla46_c", "convnext_atto", "convnextv2_atto", "edgenext_xx_small", "poolformer_s12"),
    *("vit_tiny_patch16_224", "deit_tiny_patch16_224", "cait_xxs24_224", "pit_ti_224", "xcit_nano_12_p16_224"),
    *("swin_tiny_patch4_window7_224", "swinv2_cr_tiny_224", "levit_128s", "levit_conv_128s", "mobilevit_xxs"),
    *("efficientvit_b0", "mixer_s32_224", "resmlp_12_224"),
)
STRATEGIES = {
    "cubic_0.8": ["strategy.how_scale=cubic", "strategy.scale_lr=true", "t_0=0.8"],
    "linear_0.8": ["strategy.how_scale=linear", "strategy.scale_lr=false", "t_0=0.8"],
    "cubic_0.5": ["strategy.how_scale=cubic", "strategy.scale_lr=true", "t_0=0.5"],
    "linear_0.5": ["strategy.how_scale=linear", "strategy.scale_lr=false", "t_0=0.5"],
}
# Composer's own schedule, by its defaults.
COMPOSER = ["strategy=layer_freezing", "strategy.freeze_start=0.5", "strategy.freeze_level=1.0"]
TITLES = {
    "cubic_0.8": "cubic scaled, t_0 0.8",
    "linear_0.8": "linear unscaled, t_0 0.8",
    "cubic_0.5": "cubic scaled, t_0 0.5",
    "linear_0.5": "linear unscaled, t_0 0.5",
    "composer": "Composer's defaults",
}
# Freeze times lie between steps: with 100 epochs of 10 steps they are at most 0.001 of the run away.
IMAGES, BATCH, EPOCHS = 40, 4, 100
SIDE = {"inception_v3": 299}  # the rest are for 224


class OnlyWeights(TorchFunctionMode):
    """Puts only parameters and images on "meta".

    torchvision's RegNets compute their widths from torch.arange, which must have values.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in (torch.empty, torch.zeros, torch.ones) and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def networks() -> Iterator[tuple[str, str, list[str]]]:
    """Where a network is from, its name, and the words of its configuration: the paper's, torchvision's, timm's."""
    for name in PAPER:
        yield "paper", name, [f"model={name}", *data(32, 100)]
    from torchvision import models

    for package, names in (("torchvision", models.list_models(module=models)), ("timm", TIMM)):
        for name in names:
            yield package, name, [f"model={package}", f"model.network={name}", *data(SIDE.get(name, 224), 1000)]


def data(side: int, classes: int) -> list[str]:
    fields = {"size": side, "classes": classes, "train": IMAGES, "test": 1}
    return ["dataset=synthetic", *(f"dataset.{key}={value}" for key, value in fields.items())]


def row(source: str, network: str, words: Sequence[str]) -> dict[str, object]:
    """What each strategy saves in a network, as fractions of the baseline's FLOPs.

    Returns:
        `source`, `network`, `stages`; the saving with each of STRATEGIES and with `composer`; and `frozen`: with all
        but the head frozen from the first step, which no schedule exceeds. No savings where the stages cannot be run
        one by one.
    """
    recipe = ["machine=cpu", "machine.cache=false", f"epochs={EPOCHS}", f"batch_size={BATCH}"]
    arms = {key: ["strategy=freezeout", *chosen] for key, chosen in STRATEGIES.items()} | {"composer": COMPOSER}
    found: dict[str, object] = {"source": source, "network": network}
    weightless = OnlyWeights() if network.startswith("regnet_") else torch.device("meta")
    with warnings.catch_warnings(), weightless:
        warnings.simplefilter("ignore")  # what is drawn on "meta" is drawn into nothing, which initialisers mention
        for key, chosen in arms.items():
            plan = plan_of([*words, *recipe, *chosen])
            found["stages"] = plan.stages
            found[key] = saving(plan) if plan.costs else None
        found["frozen"] = 1 - step_cost(plan.costs, plan.stages - 1) / step_cost(plan.costs, 0) if plan.costs else None
    return found


def made(table: pd.DataFrame) -> Figure:
    """The figure of a table of `row`s, to be closed by the caller: all networks, ordered by what they may save."""
    with plt.rc_context(STYLE):
        counted = table.dropna(subset=["cubic_0.8"]).sort_values("cubic_0.8")
        figure, axes = plt.subplots(figsize=(9, 0.145 * len(counted) + 1.2), layout="constrained")
        y = range(len(counted))
        colours = dict(zip(("torchvision", "timm", "paper"), COLOURS, strict=False))
        for source, colour in colours.items():
            at = [i for i, found in zip(y, counted["source"], strict=True) if found == source]
            part = counted[counted["source"] == source]
            axes.hlines(at, 100 * part["linear_0.8"], 100 * part["cubic_0.5"], color=colour, lw=1, alpha=0.4)
            axes.plot(100 * part["cubic_0.8"], at, "o", ms=4, color=colour, label=f"{source}: cubic scaled, t_0 0.8")
            axes.plot(100 * part["linear_0.5"], at, "|", ms=5, color=colour)
            axes.plot(100 * part["cubic_0.5"], at, ">", ms=3, color=colour)
            axes.plot(100 * part["linear_0.8"], at, "<", ms=3, color=colour)
        axes.set_yticks(y, list(counted["network"]), fontsize=5.5)
        axes.set(xlabel="predicted saving, % of the baseline's FLOPs", xlim=(0, None), ylim=(-1, len(counted)))
        axes.axvline(5, color="#222222", lw=0.8, ls=":", label="Composer reports 5 % (ResNet-50)")
        marks = {"<": "linear unscaled, t_0 0.8", "|": "linear unscaled, t_0 0.5", ">": "cubic scaled, t_0 0.5"}
        handles, _ = axes.get_legend_handles_labels()
        handles += [plt.Line2D([], [], color="#222222", ls="", marker=m, ms=4, label=t) for m, t in marks.items()]
        axes.legend(handles=handles, loc="lower right", frameon=True)
    return figure


def text(table: pd.DataFrame) -> str:
    """For the terminal and the page: per cent saved, the most first."""
    columns = [*TITLES, "frozen"]
    shown = table.sort_values("cubic_0.8", ascending=False)
    return shown.assign(**{c: (100 * shown[c]).round(1) for c in columns}).to_string(index=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Count, print, write and draw; 0, or 2 after one line for a wrong request."""
    about = __doc__.split("\n\n")[0].partition(": ")[2]
    return write(
        "ceiling", about, arguments, lambda: pd.DataFrame([row(*network) for network in networks()]), text, made
    )


if __name__ == "__main__":
    sys.exit(main())
