"""python -m benchmarks: time training with frozen stages, FreezeOut's engine beside plain loops and others' ways."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from benchmarks.settings import PARTS, SETTINGS, Settings
from freezeout.checks import nearest
from freezeout.parser import Parser
from freezeout.run.config import ConfigError
from freezeout.run.messages import one_line

FOLDERS = {"cpu": Path("figures/benchmark"), "cuda": Path("figures/benchmark-gpu")}
NUMBERS = {  # flags that are whole numbers: the least that is allowed, and what they say in --help
    "threads": (1, "CPU threads"),
    "rounds": (1, "rounds at most, at each prefix"),
    "burst": (1, "training steps of each arm in a round"),
    "run-steps": (10, "training steps of a whole run of a strategy"),
    "run-rounds": (0, "rounds of whole runs at most; 0: none"),
    "cache-epoch": (1, "training steps in an epoch of the runs with and without a cache"),
    "batch": (1, "images in a batch"),
    "image": (1, "height and width of an image, in pixels"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark as a command.

    Returns:
        The exit code: 0, also when bounds are missed; 1 then under --strict; 2 after one line for a wrong request;
        130 when interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _options(words)
    out = options.out or FOLDERS[options.device]
    try:
        settings = settings_of(options)
        from benchmarks.suite import run  # torch is imported from here on

        results = run(settings, out, ["python", "-m", "benchmarks", *words])
    except (ConfigError, HydraException, OmegaConfBaseException, ValueError, OSError) as error:
        print(f"benchmarks: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"benchmarks: interrupted; what was measured is in {out}", file=sys.stderr)
        return 130
    return int(options.strict and any(not bound["ok"] for bound in results["bounds"]))


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = Parser("benchmarks", __doc__.split(": ", 1)[1])
    add = parser.add_argument
    add("--device", choices=list(SETTINGS), default="cpu", help="default: cpu")
    add("--out", type=Path, metavar="FOLDER", help=f"default: {' or '.join(map(str, FOLDERS.values()))}")
    add("--networks", nargs="+", metavar="NAME", help="options of conf/model")
    add("--compiled", nargs="*", metavar="NAME", help="those on which the compiled arm runs too")
    add("--cached", nargs="*", metavar="NAME", help="those on which whole runs with a cache are timed")
    add("--parts", nargs="+", choices=PARTS, help="default: all; steps also counts packed bytes")
    add("--frozen", nargs="+", type=float, metavar="SHARE", help="of the stages: one for each prefix")
    add("--precision", choices=("fp32", "tf32", "bf16"), help="default: fp32; tf32 on cuda")
    add("--budget", type=float, metavar="MINUTES", help="about how long it may take in all")
    add("--strict", action="store_true", help="exit with 1 when a bound is missed")
    for name, (_, text) in NUMBERS.items():
        add(f"--{name}", type=int, metavar="N", help=text)
    return parser.parse(words)


def settings_of(options: argparse.Namespace) -> Settings:
    """The device's settings with what was given on the command line in their place.

    Raises:
        ValueError: A number is out of range, or --compiled or --cached names a network that is not measured.
    """
    settings = SETTINGS[options.device]
    names = [f.name for f in dataclasses.fields(Settings)]
    asked = {name: getattr(options, name, None) for name in names}
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in asked.items() if v is not None}
    least = {name.replace("-", "_"): at_least for name, (at_least, _) in NUMBERS.items()} | {"budget": 0}
    for name in least.keys() & given.keys():
        if not given[name] >= least[name]:
            raise ValueError(f"--{name.replace('_', '-')} {given[name]}: must be at least {least[name]}")
    for share in given.get("frozen", ()):
        if not 0 <= share < 1:
            raise ValueError(f"--frozen {share:g}: must be at least 0 and less than 1")
    settings = dataclasses.replace(settings, **given)
    for flag in ("compiled", "cached"):
        for name in given.get(flag, ()):
            if name not in settings.networks:
                raise ValueError(f"--{flag} {name}: not among the networks{nearest(name, list(settings.networks))}")
    if settings.parts == ("cache",) and not set(settings.cached) & set(settings.networks):
        raise ValueError(f"--parts cache: none of the networks is --cached ({', '.join(settings.cached) or 'none'})")
    if "steps" not in settings.parts and not settings.run_rounds:
        raise ValueError("--run-rounds 0: --parts steps must be measured then")
    return dataclasses.replace(settings, min_rounds=min(settings.min_rounds, settings.rounds))


if __name__ == "__main__":
    sys.exit(main())
