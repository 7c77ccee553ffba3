"""A wrong flag of a command that Hydra does not read is one line, with the nearest that --help shows."""

from __future__ import annotations

import pytest

from benchmarks import tracker
from freezeout.run import sync, workspace


@pytest.mark.parametrize(
    ("main", "words", "said"),
    [
        (sync.main, ["--root", "runs"], "sync: --root: unknown. There are: none"),
        (
            workspace.main,
            ["--entty", "me"],
            "workspace: --entty: unknown; did you mean --entity? There are: --",
        ),
        (workspace.main, ["--entity"], "workspace: argument --entity: expected one argument"),
        (tracker.main, ["--insid", "x"], "tracker: --insid: unknown; did you mean --rounds? There are: --rounds"),
    ],
)
def test_a_wrong_flag_is_one_line_and_hidden_ones_are_not_offered(capsys, main, words, said):
    with pytest.raises(SystemExit) as stop:
        main(words)
    out, err = capsys.readouterr()
    assert (stop.value.code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(said)
    assert "--inside" not in err
