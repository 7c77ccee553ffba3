"""Assembles the page: text and tables as HTML, the rows of the charts, and the code that draws them, in one file."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from freezeout.naming import counted
from freezeout.records import replacing
from freezeout.strategies import STRATEGIES

from ..collect import collect
from ..judging import judged_table
from ..looks import COLOURS, MARKERS
from ..methods import paragraph
from ..panel_verdicts import PanelVerdicts, document
from ..recommend import advice, command
from ..savings import CURVE
from ..summary import few_images, to_do_text
from ..text import number
from ..verdict_text import HEADER, curve_words, interval_words, placebo_words, row, time_words
from ..whole import NOT_WHOLE
from .answers import EVEN, MARKS, NO, OPEN, SCREEN, YES, answer, uncounted
from .provenance import left_out, provenance
from .rows import SYMBOLS, forest, looks, pareto
from .steps import step_times
from .traces import traces

HERE = Path(__file__).parent
EXACT = ("forest",)  # has the numbers of the verdicts as they are
# Packages that draw the page (module: package), an extra that only this command needs. Altair's Vega takes 0.9 MB of
# the file (Plotly: 4.7), needs no `eval`, so the page can forbid every request, and its SVG follows the page's CSS.
NEEDED = {"altair": "altair", "vl_convert": "vl-convert-python", "jinja2": "jinja2"}
Records = Mapping[str, dict[str, Any]]  # by run id


def write_report(root: Path, out: Path, **options: Any) -> Path:
    """Write report.html into `out`; gives its path. The same records give the same bytes.

    Args:
        root: The folder of records.
        out: A folder.
        **options: As `html` takes them.

    Raises:
        NothingToDrawError: There are no records, or no run may enter a verdict.
        ValueError: In one line: a package that draws the page is missing, or an option is invalid.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f"report: {' and '.join(missing)} not installed; pip install {' '.join(NEEDED.values())}")
    text = html(root, **options)
    path = out / "report.html"
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def html(
    root: Path,
    *,
    profile: Sequence[Path] = (),
    sweeps: Sequence[str] = (),
    margin: float | None = None,
    tolerance: float,
    unfinished: bool = False,
) -> str:
    """The page.

    Args:
        root: The folder of records.
        profile, sweeps, margin, unfinished: As `judging.judged_panels` takes them.
        tolerance: The tolerated relative increase of the error, for which the page says how much time can be saved.
    """
    import jinja2

    records = collect(root)
    table, verdicts = judged_table(root, profile, sweeps, margin, records, unfinished=unfinished)
    pool: dict[str, int] = {}
    rows = [_rows(one, records, pool) for one in verdicts]
    panels = [_words(one, records, drawn, tolerance) for one, drawn in zip(verdicts, rows, strict=True)]
    page = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,  # names come from records, and may hold anything
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("template.html")
    return page.render(
        headline=headline([panel["answer"].word for panel in panels], [uncounted(one.panel) for one in verdicts]),
        panels=panels,
        models=sorted({panel["model"] for panel in panels}),
        datasets=sorted({panel["dataset"] for panel in panels}),
        strategies=sorted({look["strategy"] for panel in rows for look in panel["looks"]} - {*CURVE}),
        left_out=left_out(table),
        header=HEADER,
        css=(HERE / "page.css").read_text(encoding="utf-8"),
        script=(HERE / "page.js").read_text(encoding="utf-8"),
        library=library(),
        charts=specifications(),
        records=as_script(
            {
                "panels": [{part: own if part in EXACT else rounded(own) for part, own in one.items()} for one in rows],
                "rates": [json.loads(text) for text in pool],
            }
        ),
    )


@cache
def library() -> str:
    """Vega and its dependencies as one script."""
    import vl_convert

    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")


@cache
def specifications() -> str:
    """The charts, without data."""
    from .charts import charts

    return as_script(charts())


def rounded(rows: Any) -> Any:
    """The same with numbers of six digits, which no screen can tell from more; they take less room."""
    if isinstance(rows, dict):
        return {key: rounded(value) for key, value in rows.items()}
    if isinstance(rows, list):
        return [rounded(value) for value in rows]
    return float(f"{rows:.6g}") if isinstance(rows, float) else rows


def as_script(rows: Any) -> str:
    """JSON that cannot end the script element that contains it."""
    return json.dumps(rows, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def capitalised(sentence: str) -> str:
    """The sentence with a capital letter, unless it begins with a strategy's name, which is shown as users type it."""
    return sentence if sentence.split(" ", 1)[0] in STRATEGIES else sentence[:1].upper() + sentence[1:]


def headline(words: Sequence[str], reasons: Sequence[str] = ()) -> str:
    """The page's first sentence: the answers of all panels, counted.

    Args:
        words: The answer of each panel.
        reasons: Why each does not count, as `uncounted` gives it; () if all count.
    """
    found = [word for word, why in zip(words, reasons, strict=True) if not why] if any(reasons) else [*words]
    left = ", ".join(f"{counted(n, 'panel')} with {why}" for why, n in Counter(filter(None, reasons)).items())
    if not found:
        return f"{_counted(words)} This is provisional: {left}."
    if not left:
        return _counted(found)
    return f"{_counted(found, 'in the panel that counts')} Not counted: {left}."


def _counted(words: Sequence[str], one: str = "here") -> str:
    """The answers in a sentence; one: what a single panel is called."""
    found, n = Counter(words), len(words)
    here, anywhere = (one, one) if n == 1 else (f"in all {n} panels", f"in any of {n} panels")
    alike = {
        YES: f"Freezing pays {here}.",
        NO: f"Freezing does not pay {anywhere}.",
        EVEN: f"Freezing is as good as training for less time {here}.",
        OPEN: f"The runs cannot tell whether freezing pays {anywhere}.",
        NOT_WHOLE: f"Freezing is not judged yet {here}: runs are still to do.",
    }
    if len(found) == 1:
        return alike[words[0]]
    said = {
        YES: "freezing pays in",
        NO: "does not in",
        EVEN: "is as good as less training in",
        OPEN: "is undecided in",
        NOT_WHOLE: "is not judged yet in",
    }
    return f"Of {n} panels, {', '.join(f'{said[word]} {found[word]}' for word in said if found[word])}."


def _words(one: PanelVerdicts, records: Records, drawn: dict[str, Any], tolerance: float) -> dict[str, Any]:
    """The text of a panel outside its charts; drawn: its rows."""
    said, panel, why = document(one), one.panel, uncounted(one.panel)
    screen = ["Errors of the validation split: chosen on, not reported on."] if why == SCREEN else []
    epochs = sorted(panel.runs["epochs"].dropna().unique())
    ids = [*panel.with_diverged["run_id"]]
    absent = [
        f"Not in the plot of {of}: {'; '.join(drawn[chart]['without'])}."
        for chart, of in (("pareto", "errors"), ("forest", "distances"))
        if drawn[chart]["without"]
    ]
    return {
        "model": str(said["model"]),
        "dataset": str(said["dataset"]),
        "what": panel.what,
        "about": [
            ", ".join(filter(None, [f"sweep {panel.sweep}", MARKS.get(why, "")])),
            f"{' and '.join(f'{e:g}' for e in epochs)} epochs" if epochs else "",
            panel.size,
            f"{said['evaluation_split']} error",
            panel.devices,
        ],
        "answer": answer(one),
        "advice": capitalised(advice(one, tolerance)),
        "command": command(one, tolerance),
        "counts": not why,
        "warning": " ".join([*to_do_text(panel), *few_images(panel), *screen]),
        "absent": absent,
        "notes": [*filter(None, [curve_words(said), placebo_words(said)]), time_words(one), interval_words(said)],
        "rows": [row(arm, said["margin"] is not None) for arm in said["arms"]],
        "images": [arm for arm in said["arms"] if arm["low_images"] is not None],
        "controls": said["controls"],
        "methods": paragraph(one, {**records}),
        "provenance": provenance([records[run] for run in ids]),
        "profiled": panel.profiled_on,
    }


def _rows(one: PanelVerdicts, records: Records, pool: dict[str, int]) -> dict[str, Any]:
    """The data of a panel's charts."""
    times = step_times([records[run] for run in one.panel.with_diverged["run_id"]])
    kinds = {kind: i for i, kind in enumerate(dict.fromkeys(time["kind"] for time in times))}
    marks = [SYMBOLS[marker] for marker in MARKERS]
    for time in times:
        i = kinds[time["kind"]]
        words = f"{number(time['ms'], 3)} ms [{number(time['low'], 3)}, {number(time['high'], 3)}]"
        time |= {"colour": COLOURS[i % len(COLOURS)], "symbol": marks[i % len(marks)], "words": words}
    return {
        "model": str(one.panel.first("model")),
        "dataset": str(one.panel.first("dataset")),
        "looks": looks(one),
        "pareto": pareto(one, records),
        "forest": forest(one),
        "steps": times,
        "traces": traces(one, records, pool),
    }
