r"""LaTeX: text with its special characters escaped, and a panel as a table of the package booktabs.

A document needs `\usepackage{booktabs}` and nothing else.
"""

from __future__ import annotations

import math
import re

from .panel_verdicts import PanelVerdicts, document
from .savings import CURVE
from .text import number

SPECIAL = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
}


def escaped(text: str) -> str:
    """The text with all special characters escaped for LaTeX."""
    return "".join(SPECIAL.get(character, character) for character in text)


def latex_table(one: PanelVerdicts) -> str:
    """A panel as a floating table: the full baseline, shortened runs, then the arms with their verdicts."""
    panel, said = one.panel, document(one)
    verdicts = {arm["label"]: arm for arm in said["arms"]}
    points = panel.points.assign(is_arm=~panel.points["strategy"].isin(CURVE)).sort_values("is_arm", kind="stable")
    rows, before = [], False
    for series, own in points.groupby("series", sort=False):
        is_arm = bool(own["is_arm"].iloc[0])
        if is_arm and not before:
            rows.append(r"\midrule")
        before, name = is_arm, escaped(str(series))
        if own["swept"].any():  # the name on a line of its own: beside every value it would make the table too wide
            rows.append(rf"\multicolumn{{6}}{{l}}{{{name}}} \\")
        for point in own.to_dict("records"):
            words = rf"\quad {escaped(point['swept'])}" if point["swept"] else name
            rows.append(_row(words, point, verdicts.get(point["label"], {}), panel.saving))
    kind = f"profiled on {panel.profiled_on}" if panel.profiled_on else f"measured on {panel.devices}"
    critical = said["family"]["critical"]
    over = f", simultaneous over {said['family']['arms']} arms" if critical else ""
    margin = f" Margin: {100 * one.margin:g} % of the error." if one.margin is not None else ""
    images = f"{panel.first('evaluation_images'):.0f} {panel.first('evaluation_split')} images"
    caption = (
        f"{panel.what}, {panel.size}. Error: per cent of {images}, mean and 95 % "
        f"t interval. Saved: training time, {kind}. Difference: error above (+) or below (-) that of the baseline "
        f"shortened to the same time, per cent of it [95 % interval{over}].{margin}"
    )
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering\footnotesize",
            rf"\caption{{{escaped(caption)}}}",
            rf"\label{{tab:{re.sub(r'[^A-Za-z0-9-]+', '-', panel.name)}}}",
            r"\smallskip",
            r"\begin{tabular}{lrrrrl}",
            r"\toprule",
            r"Configuration & $n$ & Error (\%) & Saved (\%) & Difference (\%) & Verdict \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _row(name: str, point: dict, arm: dict, saving: str) -> str:
    lost, half = point["diverged_seeds"], point["error_high"] - point["error"]
    cells = [
        name,
        f"{point['n']} ({lost} diverged)" if lost else str(point["n"]),
        _number(point["error"], 2) + ("" if math.isnan(half) else rf" $\pm$ {half:.2f}"),
        _number(100 * point[saving], 1),
        _difference(arm.get("difference"), arm.get("low"), arm.get("high")),
        escaped("" if point["strategy"] in CURVE else str(arm.get("verdict", point["verdict"]))),
    ]
    return " & ".join(cells) + r" \\"


def _difference(middle: float | None, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return _number(middle, 1, "+")
    return f"{_number(middle, 1, '+')} [{_number(low, 1, '+')}, {_number(high, 1, '+')}]"


def _number(value: float | None, digits: int, sign: str = "") -> str:
    """A number in math mode, for a proper minus sign; a dash if it is not known."""
    text = number(math.nan if value is None else value, digits, sign)
    return "--" if text == "-" else f"${text}$" if text[0] in "+-" else text
