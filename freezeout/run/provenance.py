"""Where a result came from: commit, host, device, versions."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy
import torch
import torchvision

import freezeout


@cache
def commit() -> tuple[str | None, bool | None]:
    """The commit of the checkout and whether it has uncommitted changes; (None, None) outside a checkout of ours."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None, None
    git = ["git", "-C", str(root)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        status = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None, None
    return head, bool(status.strip())


@cache
def device_model(device: torch.device) -> str:
    """The name of the GPU, or of the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    names = (
        [x.split(":", 1)[1].strip() for x in info.read_text().splitlines() if x.startswith("model name")]
        if info.exists()
        else []
    )
    return names[0] if names else platform.processor() or platform.machine()


def provenance(device: torch.device) -> dict[str, Any]:
    head, dirty = commit()
    versions = {
        "freezeout": freezeout.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": numpy.__version__,
    }
    if device.type == "cuda":
        versions |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    return {"commit": head, "dirty": dirty, "host": socket.gethostname(), "cores": os.cpu_count(), "versions": versions}
