"""On a terminal, lines and bars share the screen: no line is written into a bar, no bar into a line."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Iterator

from tqdm import tqdm

from freezeout.cli.terminal import lines_above_bars


class Terminal(io.StringIO):
    """Says that it is a terminal, and keeps what it is sent."""

    def isatty(self) -> bool:
        return True

    @property
    def screen(self) -> list[str]:
        """The lines as they would stand there: carriage returns, new lines and cursor movements carried out."""
        rows, row, column = [""], 0, 0
        for part in re.findall(r"\x1b\[A|.", self.getvalue(), re.DOTALL):
            if part == "\r":
                column = 0
            elif part == "\x1b[A":
                row = max(row - 1, 0)
            elif part == "\n":
                row, column = row + 1, 0
            else:
                rows[row] = rows[row].ljust(column)[:column] + part + rows[row][column + 1 :]
                column += 1
            rows += [""] * (row + 1 - len(rows))
        return [line.rstrip() for line in rows]


@contextlib.contextmanager
def shown() -> Iterator[Terminal]:
    """Both streams on one terminal. No fixture: pytest puts its own streams back between one and the test."""
    terminal = Terminal()
    with contextlib.redirect_stderr(terminal), contextlib.redirect_stdout(terminal):
        yield terminal


def test_what_is_printed_beside_two_bars_stands_above_them_whole() -> None:
    with shown() as terminal, lines_above_bars(), tqdm(total=3, desc="sweep") as outer:
        for number in range(3):
            with tqdm(total=2, desc="epoch", position=1, leave=False) as inner:
                inner.update()
                print("warning:", number, file=sys.stderr)
                inner.refresh()
                print(f"a model's own line {number}")
                print("two\nlines", file=sys.stderr)
                outer.refresh()
            print(f"[{number + 1}/3] done", file=sys.stderr)
            outer.update()
    assert [line for line in terminal.screen if "sweep" not in line and line] == [
        line
        for number in range(3)
        for line in (
            f"warning: {number}",
            f"a model's own line {number}",
            "two",
            "lines",
            f"[{number + 1}/3] done",
        )
    ]
    (bar,) = [line for line in terminal.screen if "sweep" in line]
    assert bar.startswith("sweep: 100%")


def test_a_line_that_is_never_ended_is_written_at_the_end() -> None:
    with shown() as terminal, lines_above_bars():
        print("half", end="")
        assert terminal.getvalue() == ""
    assert terminal.getvalue() == "half"


def test_what_is_no_terminal_is_written_to_as_it_is() -> None:
    log = io.StringIO()
    with contextlib.redirect_stderr(log), lines_above_bars():
        assert sys.stderr is log


def test_the_lines_of_a_sweep_do_not_collide_with_its_bars(freezeout) -> None:
    with shown() as terminal:
        said = freezeout("-m", "strategy=freezeout", "t_0=0.3,0.5", "epochs=1")
    assert said.code == 0, terminal.getvalue()
    screen = terminal.screen
    lines = [line for line in screen if line.startswith("[")]
    assert len(lines) == 2
    for line in lines:
        assert re.fullmatch(r"\[\d/2\] freezeout cubic scaled t_0=0\.\d seed=0: error .* saving predicted", line)
    assert len([line for line in screen if line.startswith("warning: stage 0 trains for")]) == 2
    for line in screen:
        assert not re.search(r"\S.*(epoch \d|sweep: +\d)", line), "a bar begins its line"
        assert not re.search(r"(epoch \d|sweep: +\d).*(warning|note|\[\d/)", line), "nothing follows a bar"
