"""python -m benchmarks.gpu: the first half hour on a GPU, in parts; the same command resumes it."""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.gpu import archive, page, state
from benchmarks.gpu.parts import GPU, OF_IMAGES, REHEARSAL, parts
from benchmarks.gpu.results import last_line
from benchmarks.gpu.session import ROOT, Session
from freezeout.checks import nearest
from freezeout.naming import options as options_of
from freezeout.parser import Parser

INTERRUPTED = 130
CIFAR = ("cifar-100-python", "cifar-100-python.tar.gz")  # unpacked, and as it is fetched


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the half hour as a command.

    Returns:
        The exit code: 0, also where something was missed or is owed, which the page says; 2 after one line for a wrong
        request or a machine that lacks something; 130 when interrupted.
    """
    began = time.monotonic()
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options = _options(words)
        with tempfile.TemporaryDirectory(prefix="wheels-") as packages:
            return _call(options, words, began, unpacked(options.wheels, Path(packages)))
    except (ValueError, OSError) as error:
        print(f"gpu: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("gpu: interrupted; the same command resumes there", file=sys.stderr)
        return INTERRUPTED


def _options(words: Sequence[str]) -> argparse.Namespace:
    """The command line, checked.

    Raises:
        ValueError: In one line, for what is not allowed.
    """
    parser = Parser(prog="python -m benchmarks.gpu", description=__doc__.split(": ", 1)[1])
    add = parser.add_argument
    add("--minutes", type=float, default=25.0, help="that the call may take in all; default: 25")
    add("--rehearse", action="store_true", help="on a CPU, with tiny networks and few steps")
    default = f"{', then '.join(OF_IMAGES)}, if there are images; else {GPU.sweep}"
    add("--sweep", metavar="NAME", help=f"a file of sweeps/ for the minutes that are left; default: {default}")
    add("--data", nargs="+", type=Path, default=[], metavar="FILE", help="npz files that the sweeps train on")
    add("--wheels", type=Path, metavar="FOLDER", help="wheels of packages that are not installed")
    add("--out", type=Path, default=Path("figures/gpu"), metavar="FOLDER", help="default: figures/gpu")
    add("--archive", type=Path, default=Path("gpu.tar.gz"), metavar="FILE", help="default: gpu.tar.gz")
    options = parser.parse_args(words)
    if not 0 < options.minutes < math.inf:
        raise ValueError(f"--minutes {options.minutes:g}: must be above 0")
    if options.sweep is not None and options.sweep not in (known := options_of("sweeps")):
        raise ValueError(f"--sweep {options.sweep}: unknown{nearest(options.sweep, known)}")
    for path in options.data:
        if not path.is_file():
            raise ValueError(f"--data {path}: not found from {Path.cwd()}")
    return options


def sweeps_of(options: argparse.Namespace) -> tuple[str, ...]:
    """The sweeps for the minutes that are left: the one that was named, else by the images that there are."""
    if options.sweep:
        return (options.sweep,)
    folder = ROOT / Path(os.environ.get("FREEZEOUT_DATA", "data")).expanduser()
    if options.data or (not options.rehearse and any((folder / name).exists() for name in CIFAR)):
        return OF_IMAGES
    own = REHEARSAL.sweep if options.rehearse else GPU.sweep
    print(f"no real images: the sweep is {own}; DATA=train.npz (--data) trains {', then '.join(OF_IMAGES)} on them")
    return (own,)


def unpacked(wheels: Path | None, folder: Path) -> Path | None:
    """The wheels as a folder of packages; None without wheels.

    Raises:
        ValueError: In one line: there is none in the folder, or one is damaged.
    """
    if wheels is None:
        return None
    found = sorted(wheels.glob("*.whl"))
    if not found:
        raise ValueError(f"--wheels {wheels}: no *.whl there; docs/gpu.md says how to make them")
    for wheel in found:
        try:
            with zipfile.ZipFile(wheel) as file:
                file.extractall(folder)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{wheel}: not a complete wheel ({error})") from error
    return folder


def _call(options: argparse.Namespace, words: Sequence[str], began: float, packages: Path | None) -> int:
    out, scale = options.out.resolve(), REHEARSAL if options.rehearse else GPU
    if not (out / state.FILE).exists() and options.archive.exists():
        archive.unpack(options.archive, out)
        print(f"went on with {options.archive}")
    half_hour = state.read(out, rehearsal=options.rehearse)
    environment = environment_with(packages)
    machine = machine_of(scale.device, environment)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    command = shlex.join(["python", "-m", "benchmarks.gpu", *words])
    half_hour.calls.append({"started": started, "minutes": options.minutes, "command": command, "machine": machine})
    todo = parts(scale, out, sweeps=sweeps_of(options), data=options.data)
    deadline = began + 60 * options.minutes
    session = Session(todo, half_hour, out, options.archive, environment=environment, deadline=deadline)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the part is ended and everything written
    try:
        session.run()
    finally:
        print(f"\n{(out / page.FILE).read_text(encoding='utf-8')}\nwrote {out / page.FILE} and {options.archive}")
    return 0


def environment_with(packages: Path | None) -> dict[str, str]:
    """The environment of the parts: this checkout, and the packages that came as wheels, before what is installed."""
    paths = [*([str(packages)] if packages else []), str(ROOT), os.environ.get("PYTHONPATH", "")]
    # CI: pytest then says why a test failed in a whole line, however narrow the terminal that there is not.
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONUNBUFFERED": "1", "CI": "true"}


def machine_of(device: str, environment: dict[str, str]) -> dict[str, Any]:
    """What this machine is.

    Raises:
        ValueError: In one line: it lacks the device or a package.
    """
    command = [sys.executable, "-m", "benchmarks.gpu.machine", device]
    asked = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    if asked.returncode:
        raise ValueError(last_line(asked.stdout + asked.stderr))
    return json.loads(asked.stdout.splitlines()[-1])


if __name__ == "__main__":
    sys.exit(main())
