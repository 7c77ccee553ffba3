"""python -m benchmarks.gpu.machine DEVICE: what this machine is, as JSON; or, in one line, what it lacks."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec

# What the parts import, and the package that it comes in.
NEEDED = {
    "torch": "torch",
    "torchvision": "torchvision",
    "numpy": "numpy",
    "hydra": "hydra-core",
    "omegaconf": "omegaconf",
    "antlr4": "antlr4-python3-runtime",
    "yaml": "pyyaml",
    "packaging": "packaging",
    "scipy": "scipy",
    "pandas": "pandas",
    "matplotlib": "matplotlib",
    "sklearn": "scikit-learn",
    "tqdm": "tqdm",
    "pytest": "pytest",
}


def lacking() -> list[str]:
    """The packages that cannot be imported here."""
    return [package for name, package in NEEDED.items() if find_spec(name) is None]


def main() -> int:
    """Print the machine.

    Returns:
        0; 2 after one line where a package or the device is not there.
    """
    device_type = sys.argv[1]
    if packages := lacking():
        print(f"not installed here: {', '.join(packages)}; wheels are given by --wheels FOLDER (docs/gpu.md)")
        return 2
    import torch

    from freezeout.run.provenance import device_model, provenance

    if device_type == "cuda" and not torch.cuda.is_available():
        print("torch sees no GPU here; --rehearse tries the parts on a CPU")
        return 2
    device = torch.device(device_type)
    print(json.dumps({"device": device_model(device), **provenance(device)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
