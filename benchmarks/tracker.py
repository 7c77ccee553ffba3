"""What W&B's tracker costs a sweep: python -m benchmarks.tracker --rounds 3 sweeps=digits.

The same sweep is trained with `tracker=none` and with `tracker=wandb` (offline), each in a process and a folder of its
own, in turn; every other round begins with the other one. Reported of each round: the seconds inside the calls of the
tracker, the start of W&B's service included, as a share of the seconds of training, by the clock and in seconds of the
processor (which a busy machine does not stretch); and the seconds of training with the tracker over those without,
which tells what W&B's service takes from the processor beside a run.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import SUPPRESS
from collections.abc import Callable
from pathlib import Path
from typing import Any

from freezeout.parser import Parser

TRACKERS = ("none", "wandb")
CLOCKS: dict[str, Callable[[], float]] = {"clock": time.perf_counter, "processor": time.process_time}


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 0, or 2 after one line for a wrong request."""
    parser = Parser("benchmarks.tracker", __doc__.partition(": ")[0])
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="trainings with and without it")
    parser.add_argument("--inside", type=Path, help=SUPPRESS)
    parser.add_argument("words", nargs="*", default=["sweeps=digits"], help="what to train (sweeps=digits)")
    chosen = parser.parse(sys.argv[1:] if arguments is None else arguments)
    if chosen.inside:
        inside(chosen.inside, chosen.words)
        return 0
    if chosen.rounds < 1:
        parser.error(f"--rounds {chosen.rounds}: must be at least 1")
    found: dict[str, list[float]] = {"by the clock": [], "of the processor": [], "training, with over without": []}
    for number in range(chosen.rounds):
        order = TRACKERS if number % 2 == 0 else TRACKERS[::-1]
        try:
            taken = {tracker: one(tracker, chosen.words) for tracker in order}
        except subprocess.CalledProcessError as error:
            parser.error(str(error.stderr.splitlines()[-1]))
        off, on = (taken[tracker] for tracker in TRACKERS)
        print(json.dumps({"none": off, "wandb": on}), flush=True)
        for name, clock in zip(found, CLOCKS, strict=False):
            found[name].append(on["tracker"][clock] / on["train"][clock])
        found["training, with over without"].append(on["train"]["processor"] / off["train"]["processor"])
    for name, shares in found.items():
        print(f"{name}: {statistics.median(shares):.4f} [{min(shares):.4f}, {max(shares):.4f}], n = {len(shares)}")
    return 0


def one(tracker: str, words: list[str]) -> dict[str, dict[str, float]]:
    """Train the sweep once, in a process of its own. Gives the seconds of the tracker and of training by each clock."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "taken.json"
        command = [sys.executable, "-m", "benchmarks.tracker", "--inside", str(path), *words, f"tracker={tracker}"]
        subprocess.run([*command, f"out={folder}/runs"], check=True, capture_output=True, text=True)
        taken: dict[str, dict[str, float]] = json.loads(path.read_text())
        return taken


def inside(path: Path, words: list[str]) -> None:
    """Train a sweep in this process, and write down how long tracker and training took."""
    from freezeout.__main__ import main as command
    from freezeout.run import tracking
    from freezeout.train.loop import Training

    taken = {part: dict.fromkeys(CLOCKS, 0.0) for part in ("tracker", "train")}

    def timed(part: str, owner: Any, name: str) -> None:
        function = getattr(owner, name)

        def call(*given: Any, **named: Any) -> Any:
            began = {clock: now() for clock, now in CLOCKS.items()}
            try:
                return function(*given, **named)
            finally:
                for clock, now in CLOCKS.items():
                    taken[part][clock] += now() - began[clock]

        setattr(owner, name, call)

    timed("tracker", tracking, "open_tracker")
    timed("tracker", tracking.Tracker, "log")
    timed("tracker", tracking.Tracker, "finish")
    timed("train", Training, "train_epoch")
    sys.argv = ["freezeout", "-m", *words]
    try:
        command()
    finally:
        path.write_text(json.dumps(taken))


if __name__ == "__main__":
    sys.exit(main())
