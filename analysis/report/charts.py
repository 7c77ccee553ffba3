"""The page's charts as Vega-Lite specifications without data: the page gives each the rows of a panel.

Colours of marks are in the rows or those of `analysis.looks`; everything else takes the page's colours from its CSS.
"""

from __future__ import annotations

from typing import Any

import altair as alt

from ..looks import COLOURS, CURVE_COLOUR

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif'  # as in page.css
SMALL = 11  # px, the type of axes
NO_SCALE: Any = None  # the field is the value itself
LEGEND: Any = None
BY_COLOUR: dict[str, Any] = {"color": alt.Color("colour:N", scale=NO_SCALE, legend=LEGEND)}
BY_SYMBOL: dict[str, Any] = {"shape": alt.Shape("symbol:N", scale=NO_SCALE, legend=LEGEND)}
STAGE = alt.Color("stage:Q", scale=alt.Scale(range=["#3b528b", "#21918c", "#5ec962"]), legend=LEGEND)


def charts() -> dict[str, dict[str, Any]]:
    """The specifications by the name of their chart."""
    made: dict[str, alt.Chart | alt.LayerChart] = {
        "pareto": pareto(),
        "forest": forest(),
        "steps": steps(),
        "rates": rates(),
        "timeline": timeline(),
        "savings": savings(),
    }
    return {name: _whole(chart, name) for name, chart in made.items()}


def pareto() -> alt.LayerChart:
    """Error over saved time: the fitted curve with its band, means with their intervals, single runs faint behind."""
    x = alt.X("x:Q", title="training time saved, %", scale=_between("x"))
    y, low = (alt.Y(f"{field}:Q", title="error, %", scale=_between("y")) for field in ("y", "low"))
    curve, points = _on("curve").encode(x=x), _on("points").encode(x=x)
    one = _tips(
        configuration="configuration", seed="seed", error="error", seconds="training", run="run", wandb="W&B run"
    )
    several = _tips(
        configuration="configuration",
        seeds="seeds",
        error="error [95 %]",
        saved="time saved",
        seconds="training",
        against="against the curve",
        front="on the front",
        wandb="W&B runs",
    )
    outline = alt.Stroke("colour:N", scale=NO_SCALE)
    hollow = alt.condition("datum.one_seed", alt.value("transparent"), alt.Fill("colour:N", scale=NO_SCALE))
    return _layers(
        360,
        band=curve.mark_area(clip=True, opacity=0.12, color=CURVE_COLOUR).encode(y=low, y2="high:Q"),
        curve=curve.mark_line(clip=True, strokeWidth=2, strokeDash=[5, 4], color=CURVE_COLOUR).encode(y=y),
        intervals=points.mark_rule(clip=True, opacity=0.4, strokeWidth=1.5).encode(y=low, y2="high:Q", **BY_COLOUR),
        runs=_on("runs")
        .mark_point(filled=True, opacity=0.3, size=28, strokeWidth=0)
        .encode(x=x, y=y, tooltip=one, **BY_COLOUR, **BY_SYMBOL),
        means=points.mark_point(size=95, strokeWidth=1.6, opacity=1).encode(
            y=y, fill=hollow, stroke=outline, tooltip=several, **BY_SYMBOL
        ),
        words=points.mark_text(dx=8, dy=-8, align="left", fontSize=10).encode(y=y, text="word:N"),
    )


def forest() -> alt.LayerChart:
    """Differences from the curve: simultaneous intervals, without the bound on time thick, over the margin."""
    title = "error against the curve, % of it (less is better)"
    middle, low, inner, at = (
        alt.X(f"{field}:Q", title=title, scale=_between("x")) for field in ("difference", "low", "inner_low", "at")
    )
    tips = _tips(words="verdict", arm="arm", seeds="seeds", saving_words="time saved", tells="seeds needed to tell")
    arms = _on("arms").encode(y=alt.Y("arm:N", sort=None, axis=None))
    bars = arms.encode(tooltip=tips, **BY_COLOUR)
    return _layers(
        alt.Step(42),
        margin=_on("margin").mark_rect(opacity=0.14, color=COLOURS[2], clip=True).encode(x=low, x2="high:Q"),
        zero=_on("zero").mark_rule(strokeWidth=1.5, color=CURVE_COLOUR).encode(x=at),
        whole=bars.mark_rule(clip=True, strokeWidth=1.5).encode(x=low, x2="high:Q"),
        inner=bars.mark_rule(clip=True, strokeWidth=5, opacity=0.6).encode(x=inner, x2="inner_high:Q"),
        differences=bars.mark_point(filled=True, size=95, opacity=1).encode(x=middle, **BY_SYMBOL),
        names=arms.mark_text(align="left", dy=-15, fontSize=SMALL).encode(x=alt.value(0), text="name:N"),
        verdicts=arms.mark_text(align="right", dy=-15, fontSize=SMALL, fontWeight="bold").encode(
            x=alt.value(alt.expr("width")), text="verdict:N", tooltip=tips
        ),
    )


def steps() -> alt.LayerChart:
    """Milliseconds of a training step at each prefix: medians over runs, from the fastest run to the slowest."""
    x = alt.X("prefix:Q", title="frozen stages", axis=alt.Axis(tickMinStep=1, format="d"))
    y, low = (alt.Y(f"{field}:Q", title="ms a training step", scale=alt.Scale(zero=True)) for field in ("ms", "low"))
    tips = _tips(kind="kind", prefix="frozen stages", words="a step", runs="runs")
    base = _on("steps").encode(x=x, **BY_COLOUR)
    return _layers(
        260,
        medians=base.mark_line(strokeWidth=2).encode(y=y, detail="kind:N"),
        spread=base.mark_rule(strokeWidth=1.5, opacity=0.6).encode(y=low, y2="high:Q"),
        times=base.mark_point(filled=True, size=70, opacity=1).encode(y=y, tooltip=tips, **BY_SYMBOL),
    )


def rates() -> alt.LayerChart:
    """Learning rates of a run's stages over training."""
    base = _on("rates").encode(x=_t("t"), y=alt.Y("rate:Q", title="learning rate"), color=STAGE)
    tips = _tips(name="stage", t="t", rate="learning rate")
    return _layers(
        220,
        lines=base.mark_line(strokeWidth=2).encode(detail="stage:Q"),
        targets=base.mark_point(filled=True, size=120, opacity=0).encode(tooltip=tips),  # a line has only one tooltip
    )


def timeline() -> alt.LayerChart:
    """When each stage of a run trains, and when it is frozen."""
    y = alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=90))
    look: dict[str, Any] = {"height": alt.RelativeBandSize(0.7)}
    place: dict[str, Any] = {"x": _t("from"), "x2": "to:Q", "y": y, "tooltip": _tips(name="stage", words="when")}
    return _layers(
        alt.Step(16),
        active=_on("active").mark_bar(**look).encode(color=STAGE, **place),
        frozen=_on("frozen").mark_bar(color="#999999", opacity=0.25, **look).encode(**place),
    )


def savings() -> alt.Chart:
    """What each freeze event of a run saved, per cent of its steps with nothing frozen."""
    chart = _on("events").mark_bar(height=alt.RelativeBandSize(0.7), color=COLOURS[2])
    return chart.encode(
        x=alt.X("saved:Q", title="saved, % of the time with nothing frozen"),
        y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=90)),
        tooltip=_tips(name="stages", words="saved", at="frozen from", change="a step"),
    ).properties(height=alt.Step(24), name="savings")


def _on(name: str) -> alt.Chart:
    return alt.Chart(alt.NamedData(name))


def _layers(height: Any, **layers: alt.Chart) -> alt.LayerChart:
    """Superimposed layers; a mark's class in the page is the layer's name plus `_marks`."""
    return alt.LayerChart(layer=[chart.properties(name=name) for name, chart in layers.items()], height=height)


def _between(axis: str) -> alt.Scale:
    """The scale whose ends the page sets."""
    return alt.Scale(domain=[alt.expr(f"{axis}_low"), alt.expr(f"{axis}_high")], zero=False, nice=False)


def _t(field: str) -> alt.X:
    return alt.X(f"{field}:Q", title="t, fraction of training", scale=alt.Scale(domain=[0, 1], nice=False))


def _tips(**titles: str) -> list[alt.Tooltip]:
    return [alt.Tooltip(f"{field}:N", title=title) for field, title in titles.items()]


def _whole(chart: alt.Chart | alt.LayerChart, name: str) -> dict[str, Any]:
    ends = [alt.param(name=f"{axis}_{end}", value=i) for axis in "xy" for i, end in enumerate(("low", "high"))]
    uses = [param for param in ends if name == "pareto" or (name == "forest" and param.name.startswith("x"))]
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    chart = chart.properties(width="container", background="transparent", autosize=fit).add_params(*uses)
    look: dict[str, Any] = {"labelFontSize": SMALL, "titleFontSize": 12, "titleFontWeight": "normal"}
    look |= {"domain": False, "ticks": False}
    chart = chart.configure(font=FONT)  # that of the page, by which Vega measures how much room a label needs
    return chart.configure_view(stroke="transparent").configure_axis(**look).to_dict()
