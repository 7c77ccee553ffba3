"""Many processes take one folder at once, again and again: python tests/lease_race.py FOLDER ROUNDS PROCESSES.

Before each round the last holder has died without a word. Prints for each round the generations that were taken.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import time
from pathlib import Path

from freezeout.run import lease
from freezeout.run.config import InUseError

real_link = os.link


def late_link(source: Path, target: Path) -> None:
    """Between seeing that the holder is dead and linking passes some time, so that all see it."""
    time.sleep(random.random() * 2e-3)
    real_link(source, target)


def take(folder: Path, go: int, said: int, end: int) -> None:
    os.read(go, 1)  # until the other end is closed
    taken = None
    with contextlib.suppress(InUseError):
        taken = lease.take(folder)
    os.write(said, f"{lease.path_of(folder, taken._generation).name if taken else '-'}\n".encode())
    os.read(end, 1)  # all have tried
    if taken is not None:
        taken.check()
    os._exit(0)


def race(folder: Path, processes: int) -> list[str]:
    pipes = {name: os.pipe() for name in ("go", "said", "end")}
    children = []
    for _ in range(processes):
        if (pid := os.fork()) == 0:
            os.close(pipes["go"][1]), os.close(pipes["end"][1])
            take(folder, pipes["go"][0], pipes["said"][1], pipes["end"][0])
        children.append(pid)
    os.close(pipes["said"][1])
    os.close(pipes["go"][1])
    with os.fdopen(pipes["said"][0]) as said:
        words = [said.readline().strip() for _ in children]
        os.close(pipes["end"][1])
        for pid in children:
            assert os.waitpid(pid, 0)[1] == 0, "the holder was one no more"
    os.close(pipes["go"][0]), os.close(pipes["end"][0])
    return [word for word in words if word != "-"]


if __name__ == "__main__":
    os.link = late_link
    for _ in range(int(sys.argv[2])):
        print(*race(Path(sys.argv[1]), int(sys.argv[3])), flush=True)
