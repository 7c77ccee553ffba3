"""No peeking: while runs of a sweep's list are still to do, no command gives an arm its word."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_figures import make_figure
from made_records import BASELINE, make_run, write_manifest
from made_verdicts import BETTER, DATA, ON_CURVE, WORSE, made_panel

from analysis.__main__ import main
from analysis.judging import judged_panels
from analysis.load import load
from analysis.panel_verdicts import document
from analysis.report.answers import answer
from analysis.report.page import headline
from analysis.whole import still_to_do
from freezeout.records import sweep_path

TOLD = ["better", "worse", "as good"]
CHARTS = all(map(importlib.util.find_spec, ("altair", "vl_convert", "jinja2")))
TWIN = {**BETTER, "name": "freeze_only"}
LABEL = {"strategy": BETTER, "epochs": 20}


def entry(run_id: str, **keys: Any) -> dict[str, Any]:
    """A run in a sweep's list."""
    return {"run_id": run_id, "seed": int(run_id.rpartition("-")[2]), "label": LABEL, **keys}


def unfinished(root: Path, arms: Any = ((BETTER, -0.06), (WORSE, 0.06), (ON_CURVE, 0.0)), **options: Any) -> Path:
    """A sweep of known verdicts of whose list one run has not been started."""
    entries = made_panel(root, arms, **options)
    write_manifest(root, [*entries, entry("aaaaaaaaaaaa-5")], "made")
    return root


def words(root: Path, **options: Any) -> list[str]:
    (one,) = judged_panels(root, **{"margin": 0.03, **options})
    return [arm["verdict"] for arm in document(one)["arms"]]


def printed(capsys, *given: Any) -> str:
    assert main([str(word) for word in given]) == 0
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("status", "is_to_do"), [("interrupted", True), ("done", False), ("failed", False), ("unreadable", False)]
)
def test_a_run_that_failed_has_ended_and_one_that_was_cut_short_has_not(status, is_to_do):
    assert bool(still_to_do([entry("a-0")], {"a-0": status})) == is_to_do
    assert still_to_do([entry("a-0"), entry("b-0")], {"a-0": status}) >= {"b-0"}


def test_what_another_machine_was_to_train_is_not_to_do_once_it_is_done():
    """The list of a sweep that went on elsewhere keeps the names that its runs had here."""
    here, there, other = entry("here-0", anywhere="x"), entry("there-0", anywhere="x"), entry("here-1", anywhere="x")
    assert still_to_do([here, there], {"there-0": "done"}) == set()
    assert len(still_to_do([here, there], {})) == 1, "one run under two names is one"
    assert still_to_do([here, there, other], {"there-0": "done"}) == {"here-1"}, "another seed is another run"


def test_the_table_marks_them_and_only_where_a_sweep_lists_them(tmp_path):
    loose = make_run(tmp_path, BASELINE, 2, status="interrupted", error=None)
    entries = [make_run(tmp_path, BASELINE), make_run(tmp_path, BASELINE, 1, status="interrupted", error=None)]
    write_manifest(tmp_path, [*entries, entry("aaaaaaaaaaaa-9")])
    table = load(tmp_path).set_index("run_id")["to_do"]
    assert table.to_dict() == {
        entries[0]["run_id"]: False,
        entries[1]["run_id"]: True,
        "aaaaaaaaaaaa-9": True,
        loose["run_id"]: False,
    }


def test_no_arm_has_its_word_while_a_run_is_to_do_and_every_number_stays(tmp_path):
    made_panel(tmp_path / "whole")
    unfinished(tmp_path / "part")
    (whole,), (part,) = ([document(one) for one in judged_panels(tmp_path / name)] for name in ("whole", "part"))
    assert (whole["to_do"], part["to_do"]) == (0, 1)
    for own, other in zip(part["arms"], whole["arms"], strict=True):
        assert own == other | {"verdict": "not whole"}
    assert words(tmp_path / "part") == ["not whole"] * 3
    assert words(tmp_path / "part", unfinished=True) == words(tmp_path / "whole") == TOLD


def test_runs_of_no_list_are_judged_as_they_are(tmp_path):
    made_panel(tmp_path)
    make_run(tmp_path, BETTER, 7, status="interrupted", error=None, data=DATA)
    sweep_path(tmp_path, "made").unlink()
    assert sorted(words(tmp_path)) == sorted(TOLD)
    assert not load(tmp_path)["to_do"].any()


def test_an_arm_without_an_estimate_keeps_its_reason(tmp_path):
    assert words(unfinished(tmp_path / "far", saving=0.55)) == ["outside the curve"] * 3
    assert words(unfinished(tmp_path / "few", seeds=2)) == ["not whole"] * 3
    assert words(unfinished(tmp_path / "few"), unfinished=True, sweeps=["made"])[0] != "not whole"


def test_of_two_sweeps_that_are_compared_both_must_be_whole(tmp_path):
    made_panel(tmp_path)
    other = json.loads(sweep_path(tmp_path, "made").read_text())
    other["runs"].append(entry("aaaaaaaaaaaa-5"))
    sweep_path(tmp_path, "other").write_text(json.dumps(other | {"sweep": "other"}))
    assert words(tmp_path, sweeps=["made"]) == TOLD
    assert {*words(tmp_path, sweeps=["other"])} == {*words(tmp_path, sweeps=["made", "other"])} == {"not whole"}


def test_a_controls_word_waits_too(tmp_path, capsys):
    unfinished(tmp_path, [(BETTER, -0.06), (TWIN, 0.06)])
    (pair,) = document(judged_panels(tmp_path)[0])["controls"]
    assert pair["verdict"] == "not whole"
    assert pair["low"] > 0
    (pair,) = document(judged_panels(tmp_path, unfinished=True)[0])["controls"]
    assert pair["verdict"] == "worse"


@pytest.mark.parametrize("command", ["verdicts", "table", "table --latex", "verdicts --json"])
def test_every_command_that_prints_words_waits_for_them(tmp_path, capsys, command):
    unfinished(tmp_path)
    given = [*command.split(), "--runs", tmp_path]
    out = printed(capsys, *given)
    assert "not whole" in out
    assert not [word for word in (" better ", " worse ", "& better", '"better"') if word in out.partition("[95 %")[0]]
    told = printed(capsys, *given, "--unfinished")
    assert "better" in told
    assert not [word for word in (" not whole ", "& not whole", '"not whole"') if word in told]


def test_the_text_says_what_is_to_do_and_how_to_judge_anyway(tmp_path, capsys):
    unfinished(tmp_path)
    for command in ("verdicts", "table"):
        out = printed(capsys, command, "--runs", tmp_path)
        assert "Not whole: 1 listed run is still to do." in out
        assert "--unfinished" in out
        told = printed(capsys, command, "--runs", tmp_path, "--unfinished")
        assert "Judged although 1 listed run is still to do" in told


def test_figures_show_none_either(tmp_path, capsys):
    unfinished(tmp_path / "runs")
    folder = ["--runs", tmp_path / "runs", "--out", tmp_path]
    printed(capsys, "overview", *folder)
    printed(capsys, "verdicts", *folder)
    printed(capsys, "pareto", *folder, "--x", "saving")
    files = ("overview", "verdicts_made", "pareto_made_saving")
    found = [{*pd.read_csv(tmp_path / f"{name}.csv")["verdict"].dropna()} - {"the curve"} for name in files]
    assert found == [{"not whole"}] * 3
    for name in files:
        assert "not whole" in (tmp_path / f"{name}.svg").read_text() or name.startswith("pareto")
    printed(capsys, "overview", *folder, "--unfinished")
    assert "better" in {*pd.read_csv(tmp_path / "overview.csv")["verdict"]}


def test_the_paragraph_on_methods_says_whether_it_was_judged_early(tmp_path, capsys):
    unfinished(tmp_path)
    assert "No verdict is given yet: 1 listed run is still to do." in printed(capsys, "methods", "--runs", tmp_path)
    told = printed(capsys, "methods", "--runs", tmp_path, "--unfinished")
    assert "Verdicts are given although 1 listed run is still to do." in told


def test_nothing_is_recommended_before_the_end(tmp_path, capsys):
    unfinished(tmp_path)
    given = ["recommend", "--runs", tmp_path, "--tolerance", "20%"]
    out = printed(capsys, *given)
    assert out.endswith(
        ": not whole: 1 listed run is still to do, so nothing is recommended yet (--unfinished recommends anyway)."
    )
    assert " saves " in printed(capsys, *given, "--unfinished")


def test_the_reports_answer_waits(tmp_path):
    unfinished(tmp_path)
    said = answer(*judged_panels(tmp_path))
    assert said.word == "not whole"
    assert said.sentence == "1 listed run is still to do; verdicts are given at the end."
    assert answer(*judged_panels(tmp_path, unfinished=True)).word == "yes"
    assert headline(["not whole"]) == "Freezing is not judged yet here: runs are still to do."
    assert headline(["yes", "not whole"]) == "Of 2 panels, freezing pays in 1, is not judged yet in 1."


@pytest.mark.skipif(not CHARTS, reason="the extra `report` is missing")
def test_the_report_shows_none(tmp_path, capsys):
    unfinished(tmp_path / "runs")
    folder = ["--runs", tmp_path / "runs", "--out", tmp_path]
    printed(capsys, "report", *folder)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert '"verdict":"not whole"' in text
    assert '"verdict":"better"' not in text
    assert '"against":"better' not in text
    printed(capsys, "report", *folder, "--unfinished")
    assert '"verdict":"better"' in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_papers_claims_wait(tmp_path, capsys):
    make_figure(tmp_path, "figure2")
    path = sweep_path(tmp_path, "figure2")
    path.write_text(
        json.dumps({"sweep": "figure2", "runs": [*json.loads(path.read_text())["runs"], entry("aaaaaaaaaaaa-9")]})
    )
    given = ["figures", "--preset", "paper", "--runs", tmp_path, "--out", tmp_path / "out"]
    assert "cannot tell (not whole)" in printed(capsys, *given)
    assert "not whole" in {*pd.read_csv(tmp_path / "out/figure2.csv")["verdict"]}
    assert "not whole" not in printed(capsys, *given, "--unfinished")
    assert "not whole" not in {*pd.read_csv(tmp_path / "out/figure2.csv")["verdict"]}
