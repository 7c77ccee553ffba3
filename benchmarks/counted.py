"""Savings that are counted, not timed: of a configuration, and as a table and a picture that a page shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from analysis.looks import NO_DATE
from freezeout.parser import Parser
from freezeout.records import replacing
from freezeout.run import expected
from freezeout.run.overrides import compose_all
from freezeout.run.plan import Plan
from freezeout.run.resolve import make_plan


def plan_of(overrides: Sequence[str]) -> Plan:
    """The plan that the words of a configuration describe."""
    (config,) = compose_all(list(overrides))
    return make_plan(config)


def saving(plan: Plan) -> float:
    """The predicted saving of a run: what `python -m freezeout.predict` prints."""
    found = expected.saving(plan, plan.full_steps)["predicted"]
    assert found is not None
    return found


def write(
    name: str,
    about: str,
    arguments: Sequence[str] | None,
    count: Callable[[], pd.DataFrame],
    text: Callable[[pd.DataFrame], str],
    made: Callable[[pd.DataFrame], Figure],
) -> int:
    """Count, print, and write <name>.csv and <name>.png.

    Args:
        name: Of the program below `benchmarks`.
        about: For --help.
        arguments: The words after the program's name; None takes those of the command line.
        count: Makes the table.
        text: The table for the terminal.
        made: Its figure.

    Returns:
        The exit code, 0.

    Raises:
        SystemExit: 2, after one line for a wrong request.
    """
    parser = Parser(prog=f"python -m benchmarks.{name}", description=about)
    parser.add_argument("--out", type=Path, default=Path("docs"), help=f"folder of {name}.csv and {name}.png (docs)")
    options = parser.parse_args(arguments)
    table = count()
    print(text(table))
    try:
        with replacing(options.out / f"{name}.csv") as path:
            table.to_csv(path, index=False, float_format="%.9f", lineterminator="\n")
        figure = made(table)
        with replacing(options.out / f"{name}.png") as path:
            figure.savefig(path, format="png", dpi=150, metadata=NO_DATE["png"])
        plt.close(figure)
    except OSError as error:
        parser.error(f"--out {options.out}: cannot write there ({error.strerror})")
    return 0
