"""A methods paragraph for a paper: how the runs of a panel were trained and judged, from their records."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from freezeout.naming import counted

from .curve import LACK_OF_FIT
from .panel_verdicts import PanelVerdicts
from .savings import CURVE
from .whole import still


def paragraph(one: PanelVerdicts, records: Mapping[str, dict[str, Any]]) -> str:
    """The paragraph of a panel; facts that its records lack are omitted.

    Args:
        one: The panel with its verdicts.
        records: As `collect` gives them, by run id.
    """
    own = [records[run_id] for run_id in one.panel.runs["run_id"]]
    parts = [_training(one, own), _recipe(own), _machine(one, own), _time(one), _curve(one), _intervals(one)]
    return " ".join(filter(None, parts))


def _training(one: PanelVerdicts, own: list[dict[str, Any]]) -> str:
    panel, first = one.panel, own[0]
    data, stages = first.get("data") or {}, first.get("stages") or []
    parameters = sum(stage.get("parameters") or 0 for stage in stages)
    network = str(panel.first("model"))
    if parameters:
        network += f" ({parameters:,} parameters, {counted(len(stages), 'stage')})"
    dataset = str(panel.first("dataset"))
    if data.get("train"):
        dataset += f": {data['train']:,} training images"
        dataset += f" of {' x '.join(map(str, data['image']))} pixels" if data.get("image") else ""
        dataset += f" in {data['classes']} classes" if data.get("classes") else ""
    seeds = sorted({int(seed) for seed in panel.runs["seed"]})
    few, many = int(panel.drawn["n"].min()), int(panel.drawn["n"].max())
    each = counted(many, "seed") if few == many else f"{few} to {many} seeds"
    lost = int(panel.points["diverged_seeds"].sum())
    gone = f"; {counted(lost, 'run')} diverged" if lost else ""
    absent = f"; {counted(panel.absent, 'run')} of the sweep missing" if panel.absent else ""
    absent += f"; {counted(panel.unfit, 'run')} left out" if panel.unfit else ""
    evaluated = f"{panel.first('evaluation_images'):,.0f} {panel.first('evaluation_split')} images"
    return (
        f"We trained {network} on {dataset}. {_trained(one)} with {each} ({_listed(seeds)}), "
        f"{counted(len(own), 'run')} in all{gone}{absent}. Errors are the percentage of {evaluated} misclassified "
        "after the last step."
    )


def _trained(one: PanelVerdicts) -> str:
    """`3 configurations that freeze or control for freezing and the baseline were each trained`."""
    drawn = one.panel.drawn
    arms = drawn.loc[~drawn["strategy"].isin(CURVE), "label"].nunique()
    freeze = "freezes or controls" if arms == 1 else "freeze or control"
    kinds = {
        f"{counted(arms, 'configuration')} that {freeze} for freezing": arms > 0,
        "the baseline": drawn["strategy"].eq("baseline").any(),
        "shortened baselines": drawn["strategy"].eq("shortened").any(),
    }
    words = _listed(kind for kind, is_there in kinds.items() if is_there)
    return f"{words[0].upper()}{words[1:]} {'was' if len(drawn) == 1 else 'were each'} trained"


def _recipe(own: list[dict[str, Any]]) -> str:
    config = own[0].get("config") or {}
    optimizer = config.get("optimizer") or {}
    epochs = sorted({(r["steps"] or 0) / r["steps_per_epoch"] for r in own if r.get("steps_per_epoch")})
    words = []
    if epochs:
        few, many = (f"{n:g}" for n in (epochs[0], epochs[-1]))
        longest = f"{few} to {many} epochs" if few != many else f"{many} epoch{'' if many == '1' else 's'}"
        batch = f" with {config['batch_size']} images per step" if config.get("batch_size") else ""
        words.append(f"{longest}{batch}")
    if optimizer.get("name"):
        settings = [
            f"{key.replace('_', ' ')} {_value(value)}" for key, value in optimizer.items() if key != "name" and value
        ]
        words.append(f"{optimizer['name'].upper()} ({', '.join(settings)})" if settings else optimizer["name"].upper())
    augment = (config.get("augment") or {}).get("kind")
    if augment:
        words.append(f"augmentation {augment}")
    if config.get("label_smoothing"):
        words.append(f"label smoothing {config['label_smoothing']:g}")
    return f"Recipe: {'; '.join(words)}." if words else ""


def _machine(one: PanelVerdicts, own: list[dict[str, Any]]) -> str:
    devices = _listed(dict.fromkeys(one.panel.runs["device"].dropna()))
    threads = {int(n) for n in one.panel.runs["threads"].dropna()}
    precision = {((r.get("effective") or {}).get("machine") or {}).get("precision") for r in own} - {None}
    words = devices + (f" ({counted(max(threads), 'thread')})" if len(threads) == 1 else "")
    words += f" in {_listed(sorted(precision))}" if precision else ""
    versions: dict[str, list[str]] = {}
    for record in own:
        for name, version in (record.get("versions") or {}).items():
            if version not in versions.setdefault(name, []):
                versions[name].append(str(version))
    software = ", ".join(
        f"{name} {' and '.join(versions[name])}" for name in ("freezeout", "torch", "python") if name in versions
    )
    commits = sorted({str(record["commit"])[:12] for record in own if record.get("commit")})
    at = f" at commit {_listed(commits)}" if commits else ""
    dirty = sum(record.get("dirty") is True for record in own)
    unclean = f" ({counted(dirty, 'run')} with uncommitted changes)" if dirty else ""
    return f"Runs were made on {words} with {software}{at}{unclean}."


def _time(one: PanelVerdicts) -> str:
    panel, bound = one.panel, 100 * one.judgement.time_bound
    kind = "measured by the clocks of the runs, each against the baseline of its seed"
    if panel.profiled_on:
        kind = "computed from the number of steps at each number of frozen stages and the duration of such a step, "
        kind += f"timed alone on {panel.profiled_on}"
    text = (
        f"The training time that a run saves is {kind}; it is assumed to be accurate to {bound:.1f} percentage points"
    )
    if own := one.wider_bounds:
        text += (
            f" (for {counted(len(own), 'arm')} only to {100 * max(own):.1f}, by step times from the runs themselves)"
        )
    return f"{text}."


def _curve(one: PanelVerdicts) -> str:
    curve = one.judgement.curve
    if curve is None:
        return ""
    budgets = ", ".join(f"{b:g}" for b in one.cells.budgets)
    if curve.is_quadratic:
        how = "modelled as a quadratic function of the log budget, fitted by least squares"
        how += f" (lack of fit: p = {curve.lack_of_fit:.2g})" if not math.isnan(curve.lack_of_fit) else ""
    else:
        why = (
            f"the quadratic's lack of fit has p < {LACK_OF_FIT:g}"
            if len(curve.budgets) > 2
            else "there are fewer than 3 budgets"
        )
        how = f"interpolated linearly in the log budget between neighbours, because {why}"
    return (
        f"The reference curve is the same recipe, its whole learning-rate schedule included, in a fraction of the "
        f"steps (budgets {budgets}); its log error is {how}, and is never extrapolated."
    )


def _intervals(one: PanelVerdicts) -> str:
    pooled, judgement = one.judgement.pooled, one.judgement
    if judgement.curve is None or pooled is None or math.isnan(pooled.nu):
        return "There are too few runs for intervals." if judgement.curve is not None else ""
    if len(judgement.family) == 1:
        how = f"This contrast has a 95 % interval from the t distribution with {pooled.nu:.1f} degrees of freedom "
        how += f"({pooled.critical:.2f} standard errors)"
    else:
        how = (
            f"The {len(judgement.family)} contrasts share a variance pooled over arms ({pooled.nu:.1f} degrees of "
            "freedom); a contrast with a larger variance of its own uses a weighted mean of both. They have "
            "simultaneous 95 % intervals from the multivariate t distribution with the design's correlations "
            f"({pooled.critical:.2f} standard errors)"
        )
    text = (
        "Within each seed, the log error of every arm is compared with this curve at the arm's training time. "
        f"{how}, widened to allow for the error in the time saved. Better and worse mean that the interval excludes 0; "
        "with fewer than 3 seeds no verdict is given."
    )
    if one.panel.waits:
        text += f" No verdict is given yet: {still(one.panel.to_do)}."
    elif one.panel.to_do:
        text += f" Verdicts are given although {still(one.panel.to_do)}."
    if one.margin is not None:
        by = "before the first run" if one.margin_of == "the sweep" else "by the analyst"
        text += f" The equivalence margin is {100 * one.margin:g} % of the error, fixed {by}: as good means that the"
        text += " interval lies within it."
    if one.cells.pairs:
        text += " Each control is compared with the arm of the same schedule by a separate paired t interval."
    return text


def _listed(words: Iterable[Any]) -> str:
    """`a, b and c`; consecutive whole numbers as `0 to 9`."""
    found = [*words]
    if len(found) > 2 and all(isinstance(word, int) for word in found) and found == [*range(found[0], found[-1] + 1)]:
        return f"{found[0]} to {found[-1]}"
    texts = [str(word) for word in found]
    return " and ".join(filter(None, [", ".join(texts[:-1]), *texts[-1:]]))


def _value(value: Any) -> str:
    return "on" if value is True else f"{value:g}" if isinstance(value, float) else str(value)
