"""`python -m analysis report`: what the page says is what the records and the verdicts say."""

from __future__ import annotations

import html as markup
import importlib.util
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from made_records import BASELINE, freezeout, make_run, make_sweep, shortened, write_manifest
from made_traces import traced
from made_verdicts import BETTER, DATA, ON_CURVE, WORSE, curve, made_panel

from analysis.__main__ import main
from analysis.collect import collect
from analysis.judging import judged_panels
from analysis.load import load
from analysis.methods import paragraph
from analysis.panel_verdicts import document
from analysis.report.answers import FEW, SCREEN, answer, uncounted
from analysis.report.page import headline, html, rounded
from analysis.report.provenance import left_out, provenance
from analysis.report.rows import pareto
from analysis.verdict_text import row

HOUSE = Path(__file__).parents[1]
LAYERS = {"name": "layer_freezing", "epochs": 20, "freeze_start": 0.5, "freeze_level": 1.0, "bn": "train"}
HOSTILE = "</script><script>alert('\"&\u2028')</script>"
charted = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("altair", "vl_convert", "jinja2"))), reason="the extra `report` is missing"
)
pytestmark = charted


def page(root: Path, **options: Any) -> str:
    return html(root, **{"tolerance": 0.03, **options})


def rows(text: str) -> dict[str, Any]:
    (found,) = re.findall(r'<script type="application/json" id="records">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


def visible(text: str) -> str:
    """What of the page is neither script nor style, without its tags."""
    bare = re.sub(r"<(script|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", markup.unescape(re.sub(r"<[^>]+>", " ", bare)))


def panel(root: Path, **options: Any) -> dict[str, Any]:
    (found,) = rows(page(root, **options))["panels"]
    return found


def test_every_number_of_the_verdicts_is_in_the_page(tmp_path):
    made_panel(tmp_path)
    (said,) = [document(one) for one in judged_panels(tmp_path, margin=0.03)]
    text = page(tmp_path, margin=0.03)
    arms = rows(text)["panels"][0]["forest"]["arms"]
    assert [{key: arm[key] for key in said["arms"][0]} for arm in arms] == said["arms"]
    assert [arm["verdict"] for arm in arms] == ["better", "worse", "as good"]
    cells = [
        re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", line) for line in re.findall(r"<tr>(.*?)</tr>", text, re.DOTALL)
    ]
    for arm in said["arms"]:
        assert [*row(arm, True)] in cells


def test_the_thick_part_of_an_interval_is_without_the_bound_on_time(tmp_path):
    made_panel(tmp_path)
    for arm in panel(tmp_path)["forest"]["arms"]:
        time = math.log1p(arm["time_part"] / 100)
        assert math.log1p(arm["inner_low"] / 100) == pytest.approx(math.log1p(arm["low"] / 100) + time)
        assert math.log1p(arm["inner_high"] / 100) == pytest.approx(math.log1p(arm["high"] / 100) - time)


def test_points_are_the_panels_means_and_the_curve_is_the_true_one(tmp_path):
    made_panel(tmp_path, noise=0.0)
    (one,) = judged_panels(tmp_path)
    drawn = pareto(one, collect(tmp_path))
    assert panel(tmp_path)["pareto"] == rounded(drawn)
    means = one.panel.points
    assert [point["y"] for point in drawn["points"]] == pytest.approx([*means["error"]])
    assert [point["low"] for point in drawn["points"]] == pytest.approx([*means["error_low"]])
    assert [point["x"] for point in drawn["points"]] == pytest.approx([*100 * means["profiled_saving"]])
    assert len(drawn["runs"]) == len(one.panel.runs)
    at = [curve(1 - mark["x"] / 100) for mark in drawn["curve"]]
    shift = [math.log(mark["y"]) - z for mark, z in zip(drawn["curve"], at, strict=True)]
    assert max(shift) - min(shift) < 1e-9  # the luck of the seeds moves the curve, and does not bend it
    assert max(mark["x"] for mark in drawn["curve"]) == pytest.approx(50)


def test_a_point_tells_seeds_seconds_error_and_logs(tmp_path):
    made_panel(tmp_path, seeds=3, wandb={"id": "log-1", "dir": "d"})
    (point, *_) = [p for p in panel(tmp_path)["pareto"]["points"] if p["strategy"] == "freezeout"]
    assert point["seeds"] == "3 (0, 1, 2)"
    assert point["seconds"] == "75.0 s by the runs' clocks"
    assert re.fullmatch(r"\d+\.\d\d \[\d+\.\d\d, \d+\.\d\d\] %", point["error"])
    assert point["wandb"] == "log-1, log-1, log-1"
    assert point["against"].startswith("better -")
    assert point["front"] == "with probability 100 %"


def test_runs_without_a_log_are_counted_in_the_tooltip(tmp_path):
    made_panel(tmp_path, seeds=2)
    assert panel(tmp_path)["pareto"]["points"][0]["wandb"] == "2 not logged"


@pytest.mark.parametrize(
    ("arms", "options", "word"),
    [
        ([(BETTER, -0.06), (ON_CURVE, 0.0)], {}, "yes"),
        ([(WORSE, 0.06), (BETTER, 0.05)], {}, "no"),
        ([(ON_CURVE, 0.0)], {"margin": 0.03}, "no difference"),
        ([(ON_CURVE, 0.0)], {}, "cannot tell"),
        ([(ON_CURVE, 0.0), (WORSE, 0.06)], {}, "cannot tell"),
    ],
)
def test_the_answer_to_whether_it_pays(tmp_path, arms, options, word):
    made_panel(tmp_path, arms)
    (one,) = judged_panels(tmp_path, **options)
    said = answer(one)
    assert said.word == word
    assert f">{word}</p>" in page(tmp_path, **options)
    assert markup.escape(said.sentence, quote=False).split("'")[0] in page(tmp_path, **options).replace("&#39;", "'")


def test_the_answer_names_the_best_way_and_counts_the_others(tmp_path):
    made_panel(tmp_path)
    said = answer(*judged_panels(tmp_path)).sentence
    assert "1 of 3 ways of freezing has a lower error" in said
    assert re.search(r"cubic scaled t_0=0.5 by 5\.\d % \[\d\.\d, \d\.\d\] of its error, at 25 % less time", said)
    assert "Of the others, 1 is worse, 1 is undecided with n = 5 seeds." in said


@pytest.mark.parametrize(("tolerance", "commands"), [(0.2, 1), (0.001, 0)])
def test_the_command_that_saves_the_time_stands_below_the_advice(tmp_path, tolerance, commands):
    made_panel(tmp_path)
    text = page(tmp_path, tolerance=tolerance)
    assert text.count("<pre>python -m freezeout model=wrn_10_1 ") == commands


@pytest.mark.parametrize(
    ("arms", "first"),
    [
        ([(LAYERS, -0.1)], "layer_freezing freeze_start=0.5 saves 25 % "),
        ([(BETTER, -0.1)], "FreezeOut cubic scaled t_0=0.5 saves 25 % "),
        ([], "Cannot tell how much time can be saved "),
    ],
)
def test_a_sentence_begins_with_a_capital_unless_its_first_word_is_a_name(tmp_path, arms, first):
    made_panel(tmp_path, arms, seeds=5 if arms else 2)
    (said,) = re.findall(r'<p class="advice">(.*?)</p>', page(tmp_path, tolerance=0.02))
    assert said.startswith(first)


def test_the_style_leaves_the_letters_of_a_sentence_that_may_begin_with_a_name():
    css = (HOUSE / "analysis" / "report" / "page.css").read_text()
    assert re.findall(r"[^{}\n]*::first-letter", css) == [".answer .word::first-letter"]  # yes, no, ...: English


def test_the_paragraph_on_methods_stands_with_the_provenance(tmp_path):
    made_panel(tmp_path)
    (one,) = judged_panels(tmp_path)
    assert paragraph(one, collect(tmp_path)) in visible(page(tmp_path))


def test_the_first_sentence_counts_the_panels():
    assert headline(["no"]) == "Freezing does not pay here."
    assert headline(["cannot tell"] * 2) == "The runs cannot tell whether freezing pays in any of 2 panels."
    assert headline(["no", "yes", "no"]) == "Of 3 panels, freezing pays in 1, does not in 2."


def test_panels_that_report_nothing_are_counted_apart():
    said = headline(["yes", "yes", "cannot tell", "no", "yes"], ["", SCREEN, "", FEW, SCREEN])
    assert said == (
        "Of 2 panels, freezing pays in 1, is undecided in 1. Not counted: 2 panels with errors of the validation "
        "split (chosen on, not reported on), 1 panel with fewer than 2,000 images."
    )
    alone = headline(["yes", "no"], ["", FEW])
    assert alone == "Freezing pays in the panel that counts. Not counted: 1 panel with fewer than 2,000 images."
    assert headline(["no", "no"], [FEW, FEW]) == (
        "Freezing does not pay in any of 2 panels. This is provisional: 2 panels with fewer than 2,000 images."
    )


def test_a_screen_is_marked_by_the_split_that_it_is_evaluated_on(tmp_path):
    made_panel(tmp_path, seeds=3, sweep="pick", split="validation", data={**DATA, "validation": 5000}, setting_id="p")
    made_panel(tmp_path, seeds=3, sweep="report")
    assert [uncounted(one.panel) for one in judged_panels(tmp_path)] == [SCREEN, ""]
    text = visible(page(tmp_path))
    assert "Freezing pays in the panel that counts. Not counted: 1 panel with errors of the validation split" in text
    assert "sweep pick, a screen yes" in text
    assert text.count("Errors of the validation split: chosen on, not reported on.") == 1
    make_sweep(tmp_path / "digits")
    (smoke,) = judged_panels(tmp_path / "digits")
    assert uncounted(smoke.panel) == FEW
    assert "This is provisional: 1 panel with fewer than 2,000 images." in visible(page(tmp_path / "digits"))


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_seeds_have_a_page_and_no_verdict(tmp_path, seeds):
    made_panel(tmp_path, seeds=seeds)
    said = answer(*judged_panels(tmp_path))
    assert (said.word, "A verdict needs 3 seeds." in said.sentence) == ("cannot tell", True)
    drawn = panel(tmp_path)
    assert all(point["one_seed"] == (seeds == 1) for point in drawn["pareto"]["points"])
    assert all((arm["low"] is None) == (seeds == 1) for arm in drawn["forest"]["arms"])


def test_without_a_baseline_or_a_profile_nothing_has_a_saving_and_it_is_said(tmp_path):
    made_panel(tmp_path, budgets=(0.9, 0.7, 0.5), profiled=False)
    text = page(tmp_path)
    drawn = rows(text)["panels"][0]
    assert drawn["pareto"]["points"] == drawn["pareto"]["runs"] == []
    assert "Not in the plot of errors: shortened baseline budget=0.9 (no saving known)" in visible(text)
    assert "no finished baseline of its seed" in visible(text)


def test_without_any_rival_there_is_no_curve_and_it_is_said(tmp_path):
    made_panel(tmp_path, budgets=())
    text = page(tmp_path)
    assert rows(text)["panels"][0]["pareto"]["curve"] == []
    assert "nothing to compare freezing with" in visible(text)
    assert "Not in the plot of distances: FreezeOut cubic scaled t_0=0.5 (no curve)" in visible(text)


def test_savings_by_clocks_are_the_axis_where_there_is_no_profile(tmp_path):
    made_panel(tmp_path, profiled=False)
    text = page(tmp_path)
    assert {round(p["x"]) for p in rows(text)["panels"][0]["pareto"]["points"]} >= {0, 25, 50}
    assert "Saving measured by the runs' clocks" in visible(text)


def test_diverged_seeds_are_in_the_page_and_their_runs_can_be_chosen(tmp_path):
    entries = made_panel(tmp_path, without=[(BETTER, 4)])
    lost = make_run(tmp_path, BETTER, 4, status="failed", reason="loss is NaN", diverged=True, error=None, data=DATA)
    write_manifest(tmp_path, [*entries, lost], "made")
    text = page(tmp_path)
    drawn = rows(text)["panels"][0]
    (point,) = [p for p in drawn["pareto"]["points"] if p["swept"] == "0.5" and p["strategy"] == "freezeout"]
    assert point["seeds"] == "4 of 5, 1 diverged (0, 1, 2, 3)"
    (trace,) = [t for t in drawn["traces"] if t["run"] == lost["run_id"]]
    assert trace["words"].startswith("diverged")
    assert "diverged (loss is NaN)" in visible(text)


def test_one_run_is_enough_for_a_page(tmp_path):
    make_run(tmp_path, BASELINE, **traced(BASELINE))
    text = page(tmp_path)
    assert "No way of freezing has been tried here." in visible(text)
    assert len(rows(text)["panels"][0]["traces"]) == 1


def test_records_that_tell_nothing_of_their_steps_leave_those_charts_empty(tmp_path):
    made_panel(tmp_path)
    drawn = panel(tmp_path)
    assert drawn["steps"] == []
    assert {(trace["rates"], len(trace["events"])) for trace in drawn["traces"]} == {(None, 0)}


def test_hostile_names_end_no_script_and_make_no_tag(tmp_path):
    data = {**DATA, "name": HOSTILE}
    made_panel(
        tmp_path, seeds=3, data=data, host=HOSTILE, wandb={"id": HOSTILE}, device={"type": "cpu", "model": HOSTILE}
    )
    text = page(tmp_path)
    assert not re.findall(r"<script[^>]*>\s*alert", text)
    assert rows(text)["panels"][0]["dataset"] == HOSTILE
    assert HOSTILE not in text
    assert f"wrn_10_1 on {HOSTILE.replace(chr(0x2028), ' ')}" in visible(text)


@pytest.mark.slow
def test_the_same_records_give_the_same_bytes_in_another_process(tmp_path):
    made_panel(tmp_path / "runs", seeds=3)
    texts = []
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "analysis", "report", "--runs", tmp_path / "runs", "--out", tmp_path / seed]
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(HOUSE)}
        subprocess.run(list(map(str, command)), check=True, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
        texts.append((tmp_path / seed / "report.html").read_bytes())
    assert texts[0] == texts[1]


def test_every_left_out_run_is_named_with_its_reason(tmp_path):
    entries = made_panel(tmp_path, seeds=3)
    missing = {"run_id": "gone-7", "seed": 7, "label": {"strategy": freezeout(0.3), "epochs": 20}}
    failed = make_run(tmp_path, freezeout(0.4), 1, status="failed", reason="disk full", error=None, data=DATA)
    write_manifest(tmp_path, [*entries, missing, failed], "made")
    table = load(tmp_path)
    found = left_out(table)
    assert sum(one["runs"] for one in found if one["what"] == "every plot") == table["left_out"].notna().sum() == 2
    text = visible(page(tmp_path))
    assert "missing: not started, or still running" in text
    assert "FreezeOut cubic scaled t_0=0.3: seed 7" in text
    assert "failed (disk full)" in text
    assert "FreezeOut cubic scaled t_0=0.4: seed 1" in text


def test_nothing_left_out_is_said_too(tmp_path):
    made_panel(tmp_path, seeds=3)
    assert "Nothing: every run is in every plot." in visible(page(tmp_path))


def test_the_seeds_of_a_configuration_share_their_curves_in_the_file(tmp_path):
    for seed in range(3):
        changes = traced(BETTER)
        make_run(tmp_path, BETTER, seed, data=DATA, **changes)
    found = rows(page(tmp_path))
    assert len(found["rates"]) == 1
    assert [trace["rates"] for trace in found["panels"][0]["traces"]] == [0, 0, 0]


def test_provenance_tells_each_value_with_its_runs():
    strategy = freezeout(0.5)
    one = {
        "config": {},
        "data": {"name": "digits", "fingerprint": "f", "train": 9},
        "split": "test",
        **traced(strategy),
    }
    other = {**one, "dirty": True, "started": "2026-02-03T00:00:00+00:00", "wandb": None}
    found = dict(provenance([one, one, other]))
    assert found["commit"] == "0123456789ab, clean (2 runs); 0123456789ab, with uncommitted changes (1 run)"
    assert found["dates"] == "2026-01-01 to 2026-02-03"
    assert (found["data fingerprint"], found["W&B"], found["images"]) == ("f", "2 of 3 runs logged", "9 train")
    assert found["device"] == "not recorded"


@pytest.mark.slow
def test_without_runs_it_takes_the_kept_records(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["report"]) == 0
    assert "sweep cpu_screen" in visible((tmp_path / "figures/report.html").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_page_of_the_kept_records_is_small_enough_to_send(tmp_path):
    root = HOUSE / "analysis/records"
    text = page(root)
    table = load(root)
    drawn = sum(len(one["traces"]) for one in rows(text)["panels"])
    assert len(text.encode()) < 1.2e6 + 1.7e3 * drawn, "the libraries, and two kilobytes a run"
    assert drawn + int((table["left_out"].notna() & (table["left_out"] != "diverged")).sum()) == len(table)


def test_a_sweep_of_smoke_data_warns(tmp_path):
    make_sweep(tmp_path)
    assert "360 test images are too few" in visible(page(tmp_path))


def test_unequal_budgets_of_the_curve_are_named(tmp_path):
    made_panel(tmp_path, without=[(shortened(0.5), seed) for seed in range(3)])
    assert "left out for too few seeds: budgets 0.5" in visible(page(tmp_path))
