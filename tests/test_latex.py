"""Tables for a paper: one per panel, with every special character escaped."""

from __future__ import annotations

import re

import pytest
from made_records import make_run, write_manifest
from made_verdicts import BETTER, DATA, made_panel

from analysis.__main__ import main
from analysis.latex import escaped


def printed(root, capsys, *more: str) -> str:
    assert main(["table", "--latex", "--runs", str(root), *more]) == 0
    return capsys.readouterr().out


def rows(text: str) -> list[list[str]]:
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)&", line[:-3])]
        for line in body.splitlines()
        if line.endswith(r"\\")
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a_b & 5 % of #1", r"a\_b \& 5 \% of \#1"),
        ("{x}^2 ~ $3", r"\{x\}\textasciicircum{}2 \textasciitilde{} \$3"),
        ("C:\\data", r"C:\textbackslash{}data"),
        ("a<b>c|d", r"a\textless{}b\textgreater{}c\textbar{}d"),
    ],
)
def test_special_characters_are_escaped(text, found):
    assert escaped(text) == found


def test_a_panel_is_a_booktabs_table_with_a_row_for_each_configuration(tmp_path, capsys):
    made_panel(tmp_path)
    text = printed(tmp_path, capsys)
    header, *found = rows(text)
    assert header[0] == "Configuration"
    assert {len(row) for row in (header, *found)} == {6, 1}, "a series has a line of its own"
    assert found[0][0] == "baseline"
    assert found[1] == [r"\multicolumn{6}{l}{shortened baseline}"]
    assert found[2][0] == r"\quad budget=0.9"
    words = {row[0]: row[-1] for row in found}
    assert words[r"\quad t\_0=0.5"] == "better"
    assert words["baseline"] == ""
    (better,) = [row for row in found if row[-1] == "better"]
    assert re.fullmatch(r"\d+\.\d\d \$\\pm\$ \d+\.\d\d", better[2])
    assert re.fullmatch(r"\$-\d\.\d\$ \[\$-\d\.\d\$, \$-\d\.\d\$\]", better[4])
    assert text.count(r"\midrule") == 2
    assert text.count("{") == text.count("}")
    assert r"95 \% t interval" in text
    assert re.search(r"(?<!\\)[%#]", text) is None


def test_each_panel_has_a_table_and_a_label_of_its_own(tmp_path, capsys):
    made_panel(tmp_path, sweep="one")
    made_panel(tmp_path, sweep="two_of_it")
    text = printed(tmp_path, capsys)
    assert re.findall(r"\\label\{(.*)\}", text) == ["tab:one", "tab:two-of-it"]
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
    assert r"\label{tab:one}" not in printed(tmp_path, capsys, "--sweep", "two_of_it")


def test_what_is_not_known_is_a_dash_and_what_diverged_is_counted(tmp_path, capsys):
    entries = made_panel(tmp_path, seeds=1)
    lost = make_run(tmp_path, BETTER, 1, status="failed", diverged=True, error=None, data=DATA)
    write_manifest(tmp_path, [*entries, lost], "made")
    (row,) = [row for row in rows(printed(tmp_path, capsys)) if row[0].endswith(r"t\_0=0.5")]
    assert row[1] == "1 (1 diverged)"
    assert "pm" not in row[2]
    assert "[" not in row[4]
