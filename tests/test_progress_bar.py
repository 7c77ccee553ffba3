"""How far a run is: a bar on a terminal, a line an epoch in a log file."""

from __future__ import annotations

import io
import re

from freezeout.run import progress_bar


def test_the_bar_says_first_what_changes(freezeout, monkeypatch) -> None:
    shown = []
    real = progress_bar.tqdm

    def bar(**options):
        made = real(**{**options, "disable": False, "file": io.StringIO(), "ncols": 80, "dynamic_ncols": False})
        close = made.close

        def closing():
            shown.append(str(made))
            close()

        made.close = closing
        return made

    monkeypatch.setattr(progress_bar, "tqdm", bar)
    freezeout("t_0=0.5", "epochs=3", "strategy.scale_lr=false")
    (line,) = set(shown)
    assert re.match(r"epoch 3/3, error \d+\.\d %, 4 of 5 frozen \|.{12}\| 00:00 left, freez", line), line
    assert len(line) <= 80


def test_a_log_file_gets_a_line_an_epoch_with_the_time_left(freezeout) -> None:
    said = freezeout("strategy=baseline", "epochs=3")
    lines = [line for line in said.err.splitlines() if line.startswith("epoch")]
    assert len(lines) == 2, "the end is the last line of the run itself"
    for n, line in enumerate(lines, 1):
        assert re.fullmatch(rf"epoch {n}/3, error \d+\.\d %, 0 of 5 frozen; less than a minute left", line), line
