"""Where a result came from: commit, host, device, versions."""

from __future__ import annotations

import os
import platform
import re
import socket
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy
import torch
import torchvision

import freezeout

# Of /proc/cpuinfo: on x86, then on ARM.
TOLD_APART_BY = ("cpu family", "model", "stepping", "CPU implementer", "CPU part", "CPU variant")
DIGIT = re.compile(r"\d")


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
    if info.exists():
        return processor(info.read_text())
    if platform.system() == "Darwin":  # platform.processor() is "arm" from M1 to M4
        named = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
        if named.stdout.strip():
            return named.stdout.strip()
    return platform.processor() or platform.machine()


def processor(cpuinfo: str) -> str:
    """The first processor of a /proc/cpuinfo, with a name that distinguishes it from others.

    Virtual machines hide the product ("AMD EPYC", "Intel(R) Xeon(R) CPU @ 2.20GHz"), and ARM's file does not name it,
    so generations that differ twofold in speed share a name. Such a name is completed from other fields: on x86 family,
    model and stepping, on ARM implementer and part.
    """
    pairs = (line.split(":", 1) for line in cpuinfo.split("\n\n", 1)[0].splitlines() if ":" in line)
    facts = {key.strip(): value.strip() for key, value in pairs}
    name = facts.get("model name") or platform.processor() or platform.machine()
    product = name.split("@")[0].split()
    if any(len(DIGIT.findall(word)) >= 3 for word in product):  # 6148, E5-2686, 7B12
        return name
    told = [facts[key] for key in TOLD_APART_BY if key in facts]
    return f"{name} ({'.'.join(told)})" if told else name


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
