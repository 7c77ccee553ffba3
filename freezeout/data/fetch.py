"""Downloads and checks data sets before many jobs need them: python -m freezeout.data.fetch cifar10 cifar100."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from freezeout.data import DATASETS, load
from freezeout.parser import Parser

if TYPE_CHECKING:
    from freezeout.data.source import Source


def main(arguments: list[str] | None = None) -> int:
    """Downloads each named set and prints its sizes, fingerprint and folder; writes it as npz if requested.

    Args:
        arguments: Command-line arguments; None takes those of this process.

    Returns:
        Exit code: 0, or 2 if a set cannot be obtained; a line on stderr then says why.
    """
    parser = Parser(prog="python -m freezeout.data.fetch", description=__doc__)
    parser.add_argument("names", nargs="+", choices=("cifar10", "cifar100"), metavar="cifar10|cifar100")
    parser.add_argument(
        "--root",
        default=os.environ.get("FREEZEOUT_DATA", "data"),
        help="folder for them, a run's data_dir=; default: $FREEZEOUT_DATA or %(default)s",
    )
    npz = "write NAME_train.npz and NAME_test.npz there too, for dataset=npz: the files that sweeps/cpu_*.yaml read"
    parser.add_argument("--npz", action="store_true", help=npz)
    options = parser.parse_args(arguments)
    for name in options.names:
        try:
            source = load(name, DATASETS[name](root=options.root, split="test"))
            if options.npz:
                write_npz(source, Path(options.root).expanduser())
        except (ValueError, OSError) as error:
            print(error, file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print(f"{name}: interrupted; give the command again", file=sys.stderr)
            return 128 + signal.SIGINT
        counts = ", ".join(f"{count:,} {split}" for split, count in source.sizes.items() if count)
        print(f"{name}: {counts}; fingerprint {source.fingerprint[:12]}; in {os.path.abspath(options.root)}")
    return 0


def write_npz(source: Source, folder: Path) -> None:
    """Writes a set as numpy archives, NAME_train.npz and NAME_test.npz with x uint8 (n, h, w, 3) and y int64 (n,).

    Args:
        source: The set, without a validation split.
        folder: Folder to write to; existing files are replaced.
    """
    import numpy as np  # late, both: a wrong word is answered before torch is imported
    import torch

    for split in ("train", "test"):
        ((images, labels),) = source.batches(split, [torch.arange(source.sizes[split])])
        path = folder / f"{source.name}_{split}.npz"
        temporary = path.with_name(f".{path.name}")  # so that nobody reads a partial file
        np.savez(temporary, x=images.permute(0, 2, 3, 1).numpy(), y=labels.numpy())
        os.replace(temporary, path)


if __name__ == "__main__":
    sys.exit(main())
