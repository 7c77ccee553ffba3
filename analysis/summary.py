"""The text that commands print about a table of runs, fitted to the terminal."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from freezeout.naming import counted

from . import PROGRAM
from .comparisons import Panel
from .estimates import binomial_error
from .text import number, text_table, width, wrapped
from .whole import sentence

FEW_IMAGES = 2000  # with fewer, the evaluation set is too small to distinguish close configurations


def panel_text(panel: Panel) -> str:
    """A panel as text: what it is, a warning about small data, and one row per configuration."""
    rows, profiled = [], panel.profiled_on is not None
    for _, point in panel.points.iterrows():
        rows.append(
            (
                point["series"],
                point["swept"] or "-",
                seeds(point),
                with_interval(point, "error"),
                number(point["seconds_train"], 1),
                number(100 * point["measured_saving"], 1),
                *([number(100 * point["profiled_saving"], 1)] if profiled else []),
                number(100 * point["predicted_saving"], 1),
                verdict(point),
            )
        )
    known = ("saved %", "prof. %", "pred. %") if profiled else ("saved %", "pred. %")
    header = ("strategy", "swept", "n", "error %", "seconds", *known, "against the curve")
    devices = panel.devices
    heading = f"{panel.sweep}: {panel.what}, {panel.size}, {devices}"
    length = f" of {panel.first('reference_epochs'):g} epochs" if panel.runs["epochs"].nunique() > 1 else ""
    note = (
        f"[95 % interval over n seeds]; seconds, saved: measured, against the baseline of the same seed{length}; "
        + (f"prof.: from step times on {panel.profiled_on}, timed alone; " if profiled else "")
        + f"pred.: from FLOPs, against the same baseline; against the curve: error minus that of the shortened "
        f"baseline at the same {'profiled ' if profiled else ''}saving, in points, paired by seed; better or worse if "
        f"the 95 % interval of the difference, simultaneous over all arms, excludes 0; {_as_good(panel)}outside if the "
        f"curve does not reach this saving. `{PROGRAM} verdicts` prints the intervals."
    )
    if (panel.points["n"] == 1).any():
        note += " A configuration with one seed has no interval."
    if panel.points["diverged_seeds"].any():
        note += " Means are over the seeds that did not diverge; a configuration with a diverged seed is never better."
    table = text_table(header, rows, optional=("seconds", "pred. %", *(["prof. %"] if profiled else [])))
    return "\n".join([*wrapped(heading), *to_do_text(panel), *few_images(panel), table, *wrapped(note)])


def _as_good(panel: Panel) -> str:
    if panel.margin is None:
        return ""
    return f"as good if it lies within the sweep's margin of {100 * panel.margin:g} % of the error; "


def seeds(point: pd.Series) -> str:
    """The number of seeds behind a point: `3`, or `2 of 3, 1 diverged`."""
    n, diverged = point["n"], point["diverged_seeds"]
    return f"{n} of {n + diverged}, {diverged} diverged" if diverged else str(n)


def to_do_text(panel: Panel) -> list[str]:
    """A note if runs of the panel's sweep are still to do."""
    return wrapped(sentence(panel.to_do, panel.anyway))


def few_images(panel: Panel) -> list[str]:
    """A warning if the evaluation set is small: the standard error of one run's error from the finite images."""
    images, error = panel.first("evaluation_images"), panel.points["error"].mean()
    if not images < FEW_IMAGES:
        return []
    kind = "Smoke data" if panel.first("dataset") == "digits" else "Few images"
    if 0 < error < 100:
        why = f"standard error of one run at {error:.1f} %: {binomial_error(error, images):.1f} points"
    else:  # where the binomial says 0
        why = f"one image is {100 / images:.1f} points"
    return wrapped(f"{kind}: {images:.0f} {panel.first('evaluation_split')} images are too few ({why}).")


def with_interval(point: pd.Series, measure: str) -> str:
    """`3.43 [2.63, 4.22]`; only the mean if there is no interval."""
    mean, low, high = (number(point[f"{measure}{end}"], 2) for end in ("", "_low", "_high"))
    return mean if low == "-" else f"{mean} [{low}, {high}]"


def verdict(point: pd.Series) -> str:
    """`worse +0.30`, with the number of seeds if it is not n; or `outside the curve`."""
    n = point.get("against_curve_n", 0)
    if not n > 0:
        return point["verdict"]
    return f"{point['verdict']} {number(point['against_curve'], 2, '+')}" + ("" if n == point["n"] else f" (n={n:.0f})")


def left_out_text(table: pd.DataFrame) -> str:
    """The lists of runs that cannot be read, and the numbers of runs left out of figures or of savings only, by reason.

    "" if nothing is left out.
    """
    lists = table["run_id"].isna()
    lines, table = list(table.loc[lists, "reason"]), table[~lists]
    for what, reasons in (
        ("left out", table["left_out"]),
        ("left out of savings only", table.loc[table["left_out"].isna(), "left_out_of_savings"]),
    ):
        for reason, count in reasons.value_counts().sort_index().items():
            lines.append(f"{what}: {counted(count, 'run')}, {reason}")
    return "\n".join(lines)


# Sweeps that need no files from the user, and what each is for.
OFFERED = {
    "digits": "FreezeOut against shortened training on handwritten digits",
    "does_it_pay": "does it pay? Add your model= and dataset=",
}


def next_text(runs: Path, drawn: set[str]) -> str:
    """Commands to try next, without sweeps already drawn, plain or with overrides (`digits-1f2e3d`)."""
    known = {name.partition("-")[0] for name in drawn}
    commands = [(f"python -m freezeout -m sweeps={name}", why) for name, why in OFFERED.items() if name not in known]
    commands += [
        (f"{PROGRAM} figures", "the paper's figures and claims"),
        ("python -m freezeout.predict strategy=freezeout t_0=0.5", "what freezing would save, without training"),
        (f"{PROGRAM} status --runs {runs}", "which runs are done, failed or missing"),
        (f"{PROGRAM} runs --runs {runs} --where t_0=0.8", "the folders of runs, and the commands that repeat them"),
    ]
    if (runs / "wandb").is_dir():
        commands.append((f"wandb leet {runs}/wandb", "the curves of every run"))
    columns = max(len(command) for command, _ in commands)
    lines = [f"  {command:{columns}}  {why}" for command, why in commands]
    if max(map(len, lines)) > width():
        lines = [line for command, why in commands for line in (f"  {command}", f"      {why}")]
    return "\n".join(["next:", *lines])
