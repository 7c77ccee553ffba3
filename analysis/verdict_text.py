"""The text of a panel that `python -m analysis verdicts` prints."""

from __future__ import annotations

import math

from freezeout.naming import counted

from .panel_verdicts import PanelVerdicts, document
from .summary import few_images, to_do_text
from .text import number, text_table, wrapped
from .verdicts import CANNOT_TELL

HEADER = ("arm", "n", "saved %", "error %", "difference %", "points", "verdict", "n to tell", "free")
KINDS = {
    "quadratic": "log error quadratic in log budget",
    "straight lines": "log error linear in log budget between neighbours",
}


def verdict_text(one: PanelVerdicts) -> str:
    """One panel: its curve, one row per arm, its controls, and the basis of the verdicts."""
    said, panel = document(one), one.panel
    heading = f"{said['sweep']}: {panel.what}, {panel.size}, {said['device']}"
    lines = [*wrapped(heading), *to_do_text(panel), *few_images(panel)]
    for text in (curve_words(said), placebo_words(said), time_words(one)):
        lines += wrapped(text)
    rows = [row(arm, said["margin"] is not None) for arm in said["arms"]]
    if rows:
        lines.append(text_table(HEADER, rows, optional=("points", "error %", "free")))
    lines += wrapped(interval_words(said))
    lines += [line for arm in said["arms"] for line in _over_images(arm)]
    for pair in said["controls"]:
        interval = _interval(pair, 2)
        lines += wrapped(
            f"control ({pair['what_differs']}): {pair['control']} against {pair['twin']}: {pair['verdict']}, "
            f"{interval} % of the error, paired t interval, n = {pair['n']}",
            indent="  ",
        )
    return "\n".join(lines)


def curve_words(said: dict) -> str:
    """The runs behind a document's curve, and how well it fits."""
    curve = said["curve"]
    if curve["kind"] is None:
        return "No shortened baseline has an error: there is no curve to beat."
    budgets = ", ".join(f"{b:g}" for b in curve["budgets"])
    text = f"curve: n = {curve['seeds']}, budgets {budgets}; {KINDS[curve['kind']]}"
    if curve["lack_of_fit"] is not None:
        fits = "fits" if curve["kind"] == "quadratic" else "the quadratic does not fit"
        text += f" ({fits}: lack of fit p = {curve['lack_of_fit']:.2g})"
    elif len(curve["budgets"]) < 3:
        text += " (fewer than 3 budgets: no quadratic)"
    if curve["dropped_budgets"]:
        dropped = ", ".join(f"{b:g}" for b in curve["dropped_budgets"])
        text += f"; left out for too few seeds: budgets {dropped}"
    lost = [f"{counted(n, 'seed')} of budget {b}" for b, n in curve["diverged_budgets"].items()]
    return f"{text}; diverged: {', '.join(lost)}" if lost else text


def placebo_words(said: dict) -> str:
    """The placebos of a document; "" if it has none."""
    found = said["curve"]["placebos"]
    if not found:
        return ""
    ends = [number(end([one["difference"] for one in found]), 1, "+") for end in (min, max)]
    told = sum(one["is_told"] for one in found)
    return (
        f"placebos, shortened runs against the curve of the other budgets: {' to '.join(ends)} % of the error; "
        f"{told} of {len(found)} significant (1 in 20 expected by chance)"
    )


def time_words(one: PanelVerdicts) -> str:
    """The source of a panel's savings, and their accuracy."""
    kind = f"profiled on {one.panel.profiled_on}" if one.panel.profiled_on else "measured by the runs' clocks"
    text = f"time saved: {kind}, assumed accurate to {100 * one.judgement.time_bound:.1f} points"
    if own := one.wider_bounds:
        text += f" ({counted(len(own), 'arm')} only to {100 * max(own):.1f}, by step times from the runs themselves)"
    if math.isnan(one.clocks):
        return f"{text}; no shortened run has a saving measured by its clock"
    return f"{text}; measured by the clocks, shortened runs miss their budgets by up to {100 * one.clocks:.1f} points"


def row(arm: dict, has_margin: bool) -> tuple[str, ...]:
    """The cells of an arm of a document, under HEADER."""
    n, lost = arm["n"], arm["diverged_seeds"]
    return (
        arm["arm"],
        f"{n}, {lost} diverged" if lost else str(n),
        _number(arm["saving"], 1, 100),
        _number(arm["error"], 2),
        _interval(arm, 2),
        _number(arm["difference_points"], 2, sign="+"),
        arm["verdict"],
        seeds_needed(arm, has_margin),
        _number(arm["free_fraction"], 2),
    )


def seeds_needed(arm: dict, has_margin: bool) -> str:
    """The seeds that would tell, of an arm that cannot be told and needs more than it has; `never` if none suffice."""
    tells = arm["seeds_that_tell"]
    if not has_margin or arm["verdict"] != CANNOT_TELL:
        return "-"
    return "never" if tells is None else str(tells) if tells > arm["n"] else "-"


def interval_words(said: dict) -> str:
    """An explanation of a document's differences and intervals."""
    family, margin = said["family"], said["margin"]
    text = (
        "difference: the arm's error minus the shortened baseline's at the same training time, per cent of the latter"
    )
    if family["critical"] is not None:
        text += (
            f" [95 % interval, simultaneous over {family['arms']}: {family['critical']:.2f} standard errors plus the "
            "allowance for the bound on time], over the n seeds that have the arm and a run of the curve"
        )
    if margin is None:
        text += "; no margin was fixed, so no arm can be as good and n to tell is undefined"
    else:
        text += (
            f"; margin: {100 * margin:g} % of the error, fixed by {said['margin_of']}; n to tell, where one cannot "
            "tell: seeds needed to detect a difference as large as the margin with 80 % power (-: n would already; "
            "never: the time saved is not known accurately enough)"
        )
    return f"{text}; free: 0 if freezing is only as good as shortening, 1 if the saving costs nothing."


def _over_images(arm: dict) -> list[str]:
    """The second interval, if the images that each run got wrong are known."""
    if arm["low_images"] is None:
        return []
    low, high = number(arm["low_images"], 2, "+"), number(arm["high_images"], 2, "+")
    return wrapped(f"  interval over seeds and images: {arm['arm']} [{low}, {high}] %", indent="  ")


def _interval(ends: dict, digits: int) -> str:
    middle = _number(ends["difference"], digits, sign="+")
    if ends["low"] is None:
        return middle
    return f"{middle} [{number(ends['low'], digits, '+')}, {number(ends['high'], digits, '+')}]"


def _number(value: float | None, digits: int, factor: float = 1.0, sign: str = "") -> str:
    return number(math.nan if value is None else factor * value, digits, sign)
