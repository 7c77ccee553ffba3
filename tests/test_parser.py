"""Every program with flags answers a mistake in one line: what was given, what is allowed, and the nearest of it."""

from __future__ import annotations

import argparse

import pytest

from analysis.__main__ import main as analysis
from freezeout.data.fetch import main as fetch
from freezeout.parser import Parser
from freezeout.predict import main as predict
from freezeout.run.sync import main as sync
from freezeout.run.workspace import main as workspace

MISTAKES = {
    "a flag": (fetch, "cifar10 --npzz", "fetch: --npzz: unknown; did you mean --npz? Available: --root, --npz"),
    "a flag with its value": (workspace, "--entiti=me", "workspace: --entiti: unknown; did you mean --entity? Avail"),
    "a flag cut short": (fetch, "cifar10 --roo x", "fetch: --roo: unknown; did you mean --root? Available: --root"),
    "a flag where there are none": (sync, "--runs x", "sync: --runs: unknown. Available: none"),
    "a word": (fetch, "cifar11", "fetch: cifar11: unknown; did you mean cifar10? Available: cifar10, cifar100"),
    "no word": (fetch, "", "fetch: the following arguments are required: cifar10|cifar100"),
    "a command": (analysis, "verdict", "analysis: verdict: unknown; did you mean verdicts? Available: pareto, table"),
    "no command": (analysis, "", "analysis: the following arguments are required: {pareto,table,"),
    "a command's flag": (analysis, "table --latx", "analysis table: --latx: unknown; did you mean --latex? Available:"),
    "a value": (analysis, "pareto --x savings", "analysis pareto: --x savings: unknown; did you mean saving? Avail"),
    "a share": (
        analysis,
        "report --margin 3",
        "analysis report: --margin: 3: must be per cent of the error, above 0 and below 100, as in 3%",
    ),
    "no value": (analysis, "recommend", "analysis recommend: the following arguments are required: --tolerance"),
}


def refusal(main, words: list[str], capsys) -> str:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    return line


@pytest.mark.parametrize(("main", "words", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_with_the_nearest_of_what_there_is(main, words, said, capsys) -> None:
    assert refusal(main, words.split(), capsys).startswith(said)


def test_so_it_is_where_the_words_are_the_process_own(monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["predict", "--mesure"])
    assert refusal(lambda words: predict(), [], capsys).startswith(
        "predict: --mesure: unknown; did you mean --measure?"
    )
    monkeypatch.setattr("sys.argv", ["predict", "modle=vgg"])
    assert refusal(lambda words: predict(), [], capsys).startswith(
        "predict: modle=vgg: unknown key modle; did you mean"
    )


def test_what_is_hidden_works_and_is_not_offered(capsys) -> None:
    parser = Parser(prog="python -m some.where")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("-r", "--rounds")
    assert parser.parse_args(["--inside", "x", "-r", "2"]).inside == "x"
    assert (
        refusal(parser.parse_args, ["--insid"], capsys)
        == "where: --insid: unknown; did you mean --rounds? Available: --rounds"
    )


def test_the_right_words_are_what_they_are() -> None:
    parser = Parser(prog="p")
    parser.add_argument("name", choices=("a", "b"))
    parser.add_argument("--number", type=int, choices=(1, 2), default=1)
    options = parser.parse_args(["b", "--number=2"])
    assert (options.name, options.number) == ("b", 2)
