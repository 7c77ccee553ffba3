"""python -m benchmarks.frameworks: the plug-ins beside each framework's own way of freezing, as a table."""

from __future__ import annotations

import logging
import random
import sys
import tempfile
import warnings
from collections.abc import Sequence
from importlib import import_module, metadata
from pathlib import Path
from statistics import median

import torch

from benchmarks.frameworks.protocol import AT, BATCH, EPOCHS, OURS, PIXELS, STEPS, Host, Watch, network
from freezeout.parser import Parser
from freezeout.run.provenance import device_model

HOSTS = ("composer", "lightning", "huggingface")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison as a command.

    Returns:
        The exit code: 0; 2 after one line for a wrong request.
    """
    parser = Parser(prog="python -m benchmarks.frameworks", description=__doc__.split(": ", 1)[1])
    parser.add_argument("framework", choices=HOSTS)
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="trainings in each way")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: must be at least 1")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)  # advice on loaders and devices, the same for both ways
    try:
        host: Host = import_module(f"benchmarks.frameworks.{options.framework}")
    except ImportError as error:
        remedy = "make composer-env" if options.framework == "composer" else "make install"
        parser.error(f"{error}: {remedy}")
    for line in table(host, options.rounds):
        print(line)
    return 0


def table(host: Host, rounds: int) -> list[str]:
    """What both ways do, as lines of Markdown."""
    watches: dict[str, list[Watch]] = {OURS: [], host.THEIRS: []}
    for number in range(rounds):
        for way in random.Random(number).sample(list(watches), 2):
            watches[way].append(trained(host, way))
    fields = {way: [*measured(found), resumed(host, way)] for way, found in watches.items()}
    titles = ["layers frozen, by epoch", *(f"step in epoch {epoch}" for epoch in AT)]
    titles += ["of the first stage, frozen, has moved", "resumed"]
    totals = ([sum(w.seconds[2:]) for w in found] for found in watches.values())
    ratio = spread([ours / theirs for ours, theirs in zip(*totals, strict=True)])
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in (host.NAME, "torch"))
    where = f"{device_model(torch.device('cpu'))}, one thread"
    return [
        f"{versions}; {where}; ResNet-8, {PIXELS} x {PIXELS} pixels, batch {BATCH}, "
        f"{EPOCHS} epochs of {STEPS} steps; n = {rounds}, median (lowest to highest); steps as shares of one with "
        f"nothing frozen; the whole training takes {ratio} of the other's seconds",
        "",
        "| | " + " | ".join(fields) + " |",
        "| --- | --- | --- |",
        *(f"| {title} | " + " | ".join(both) + " |" for title, *both in zip(titles, *fields.values(), strict=True)),
    ]


def trained(host: Host, way: str) -> Watch:
    """A training without checkpoints."""
    watch = Watch(network())
    with tempfile.TemporaryDirectory() as folder:
        host.train(way, watch, Path(folder))
    return watch


def measured(found: Sequence[Watch]) -> list[str]:
    """Of all trainings in one way: layers, step times and what moved."""
    layers = " ".join(str(n) for n in found[0].layers[STEPS - 1 :: STEPS])
    shares = zip(*(watch.shares() for watch in found), strict=True)
    return [layers, *map(spread, shares), ", ".join(found[0].moved()) or "nothing"]


def resumed(host: Host, way: str) -> str:
    """How a training that is resumed from a checkpoint compares with the one that wrote it and went on."""
    through, again = Watch(network()), Watch(network())
    with tempfile.TemporaryDirectory() as folder:
        for watch, how in ((through, {"saves": True}), (again, {"resumes": True})):
            try:
                host.train(way, watch, Path(folder), **how)
            except Exception as error:  # reported whatever it is, as their user would get it
                return f"{' '.join(how)}: {type(error).__name__}: {str(error).splitlines()[0]}"
    pairs = list(zip(through.network.state_dict().values(), again.network.state_dict().values(), strict=True))
    if all(torch.equal(a, b) for a, b in pairs):
        return "bitwise the run that was never stopped"
    furthest = max(float((a - b).abs().max()) for a, b in pairs if a.is_floating_point())
    return f"another run: weights differ by up to {furthest:.2g}; {again.layers[-1]} layers frozen at the end"


def spread(values: Sequence[float]) -> str:
    """Median, lowest and highest."""
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    sys.exit(main())
