"""The paper's figures of results: what each shows, and the runs and points that our version draws."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from .estimates import points

READ_OFF = Path(__file__).parent / "paper_figures.csv"  # read off by eye, with the error of that; Figures 3 and 4 only


@dataclass(frozen=True)
class Axis:
    """A horizontal axis: a column of the points, times `factor` to convert it to the unit of the axis."""

    column: str
    label: str
    factor: float = 100.0


MEASURED = Axis("measured_saving", "Training time saved, measured (%)")
PREDICTED = Axis("predicted_saving", "Training time saved, predicted from FLOPs (%)")
ESTIMATED = Axis("papers_estimate", "Training time saved, the paper's estimate (%)")
SECONDS = Axis("seconds_train", "Training time, measured", 1.0)
EPOCHS = Axis("predicted_epochs", "Training time, predicted from FLOPs (baseline epochs)", 1.0)


@dataclass(frozen=True)
class Figure:
    """One figure of the paper.

    Attributes:
        number: Its number in the paper.
        family: Family of its network, the `model_name` of the table of runs.
        model: Its network, by its name in commands.
        dataset: Its data set, by its name in commands.
        title: Both, as the paper writes them.
        axes: The horizontal axes: the paper's, then one that the paper lacks.
        in_quick: Whether the sweep quick trains a small network of this family on data of its own.
        tolerance: Half-width of the band around the baseline's error, in per cent of it; None for no band.
    """

    number: int
    family: str
    model: str
    dataset: str
    title: str
    axes: tuple[Axis, Axis]
    in_quick: bool
    tolerance: float | None = None

    @property
    def sweep(self) -> str:
        return f"figure{self.number}"

    def at_papers_size(self, runs: pd.DataFrame) -> bool:
        """Whether all runs are of the paper's network and data set."""
        return bool((runs["model"] == self.model).all() and (runs["dataset"] == self.dataset).all())


DENSENET = ("densenet_bc", "densenet_bc_76_12")
FIGURES = (
    Figure(2, *DENSENET, "cifar100", "DenseNet-BC 76/12, CIFAR-100", (ESTIMATED, MEASURED), True, 3.0),
    Figure(3, *DENSENET, "cifar10", "DenseNet-BC 76/12, CIFAR-10", (ESTIMATED, MEASURED), False, 3.0),
    Figure(
        4,
        "wide_resnet",
        "wrn_40_4",
        "cifar100",
        "WRN-40-4, CIFAR-100",
        (SECONDS, EPOCHS),
        True,
    ),
    Figure(
        5,
        "vgg",
        "vgg16",
        "cifar100",
        "VGG-16, CIFAR-100",
        (PREDICTED, MEASURED),
        True,
    ),
)


def runs_of(figure: Figure, table: pd.DataFrame, sweep: str) -> pd.DataFrame:
    """The runs that may enter the figure: those of the setting with the most runs (the first if they tie)."""
    if "left_out" not in table:
        return pd.DataFrame()
    found = table[(table["sweep"] == sweep) & (table["model_name"] == figure.family) & table["left_out"].isna()]
    if sweep == "quick" and not figure.in_quick:
        return found.iloc[:0]
    return found[found["setting_id"] == found["setting_id"].value_counts().index[0]] if len(found) else found


def points_of(runs: pd.DataFrame, *, waits: bool = False) -> pd.DataFrame:
    """One row per configuration: means, 95 % intervals and standard deviations over seeds, and the figure's axes.

    On the axis of the paper's estimates the full baseline is at 0 and shortened runs are omitted: the formula does not
    cover them, and the share of the steps that they leave out is a different scale. waits: as `points` takes it.
    """
    made = points(runs, waits=waits)
    made["error_sd"] = made["label"].map(runs.groupby("label")["error"].std(ddof=1))
    made["t_0"] = made["label"].map(runs.groupby("label")["t_0"].first()) if "t_0" in runs else np.nan
    is_full = (made["strategy"] == "baseline") & (made["predicted_saving"].abs() < 1e-9)
    made["papers_estimate"] = made["estimated_saving"].mask(is_full, 0.0).mask(made["strategy"] == "shortened")
    made["predicted_epochs"] = runs["reference_epochs"].iloc[0] * (1 - made["predicted_saving"])
    return made


def read_off(figure: Figure) -> pd.DataFrame:
    """The paper's own points: series, x in the units of its first axis, error; empty if none were read off."""
    table = pd.read_csv(READ_OFF)
    table = table[table["figure"] == figure.number]
    scaled = table["scale_lr"].map({True: "scaled", False: "unscaled", "True": "scaled", "False": "unscaled"})
    names = "FreezeOut " + table["how_scale"].fillna("") + " " + scaled.fillna("")
    return pd.DataFrame(
        {
            "series": names.where(table["strategy"] == "freezeout", "baseline"),
            "x": table["x"],
            "error": table["error_percent"],
        }
    )
