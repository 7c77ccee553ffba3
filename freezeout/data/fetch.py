"""Downloads and checks data sets before many jobs need them: python -m freezeout.data.fetch cifar10 cifar100."""

from __future__ import annotations

import argparse
import os
import sys

from freezeout.data import DATASETS, load


def main(arguments: list[str] | None = None) -> int:
    """Downloads each named set and prints its sizes, its fingerprint and where it lies.

    Args:
        arguments: Words of the command line; None takes those of this process.

    Returns:
        Exit code: 0, or 2 where a set cannot be obtained, which a line on stderr explains.
    """
    parser = argparse.ArgumentParser(prog="python -m freezeout.data.fetch", description=__doc__)
    parser.add_argument("names", nargs="+", choices=("cifar10", "cifar100"), metavar="cifar10|cifar100")
    parser.add_argument(
        "--root",
        default=os.environ.get("FREEZEOUT_DATA", "data"),
        help="folder that keeps them, data_dir= of a run; $FREEZEOUT_DATA or %(default)s unless given",
    )
    options = parser.parse_args(arguments)
    for name in options.names:
        try:
            source = load(name, DATASETS[name](root=options.root, split="test"))
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
        counts = ", ".join(f"{count:,} {split}" for split, count in source.sizes.items() if count)
        print(f"{name}: {counts}; fingerprint {source.fingerprint[:12]}; in {os.path.abspath(options.root)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
