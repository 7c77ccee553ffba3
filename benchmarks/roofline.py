"""What may limit a training step: its arithmetic and the bytes it moves, at the device's own best rates.

After the roofline model (Williams, Waterman and Patterson 2009), with rates measured here instead of read from a
data sheet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from benchmarks.arms import LABELS, Engine
from freezeout.run.plan import Plan
from freezeout.savings import cost
from freezeout.savings.flops import Traffic
from freezeout.train.clock import synchronise

SIDE = {"cpu": 1024, "cuda": 8192}  # of the square matrices that are multiplied
COPIED = {"cpu": 2**24, "cuda": 2**28}  # float32 numbers that are copied
REPEATS = 10


def counted(plan: Plan, prefix: int) -> dict[str, float]:
    """Count the work of a training step of the eager engine.

    Args:
        plan: The run.
        prefix: Stages frozen.

    Returns:
        "flops", and "bytes": what its operations read and write, as if nothing stayed in a cache.

    Raises:
        ValueError: The network's stages cannot be costed one by one.
    """
    engine = Engine("eager", plan, prefix)
    engine.epoch(lambda: True)
    with Traffic() as traffic:
        engine.epoch(lambda: True)
    if plan.costs is None:
        raise ValueError("this network's stages cannot be costed one by one")
    return {"flops": cost.step_cost(plan.costs, prefix), "bytes": float(traffic.total)}


def peak_rates(plan: Plan) -> dict[str, float]:
    """Measure the best rates of the plan's device at its precision.

    Returns:
        "flops" per second of a large matrix product, and "bytes" per second read and written by a large copy.
    """
    side = SIDE[plan.device.type]
    dtype = torch.bfloat16 if plan.precision == "bf16" else torch.float32
    a, b = (torch.randn(side, side, device=plan.device, dtype=dtype) for _ in range(2))
    x = torch.zeros(COPIED[plan.device.type], device=plan.device)
    y = torch.empty_like(x)
    return {
        "flops": 2 * side**3 / _quickest(lambda: torch.mm(a, b), plan.device),
        "bytes": 2 * x.numel() * x.element_size() / _quickest(lambda: y.copy_(x), plan.device),
    }


def _quickest(work: Callable[[], object], device: torch.device) -> float:
    seconds = []
    for _ in range(REPEATS):
        synchronise(device)
        start = time.perf_counter()
        work()
        synchronise(device)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def limits(counts: Mapping[str, float], rates: Mapping[str, float], seconds: float) -> dict[str, Any]:
    """Compare a step with the time of its work at the best rates.

    If both shares are small, the step waits for something else: launches, the host, sizes too small for the device.

    Args:
        counts: From `counted`.
        rates: From `peak_rates`.
        seconds: Seconds of the step.

    Returns:
        The counts, the rates, and "shares" of the step's seconds that each kind of work would take alone at its best
        rate; "by" is the kind with the larger share.
    """
    shares = {kind: counts[kind] / rates[kind] / seconds for kind in ("flops", "bytes")}
    return {**counts, "rates": dict(rates), "shares": shares, "by": max(shares, key=lambda kind: shares[kind])}


def text(found: Mapping[str, Mapping[str, Any]]) -> str:
    """For the terminal: the limits of each arm's step with nothing frozen."""
    first = next(iter(found.values()))
    rates = first["rates"]
    lines = [
        f"  a step with nothing frozen, counted: {first['flops'] / 1e9:.2f} GFLOP, {first['bytes'] / 1e6:.0f} MB moved",
        f"  best rates here: {rates['flops'] / 1e12:.2f} TFLOP/s in a matrix product, "
        f"{rates['bytes'] / 1e9:.0f} GB/s in a copy",
    ]
    for name, limit in found.items():
        arithmetic, traffic = (100 * limit["shares"][kind] for kind in ("flops", "bytes"))
        lines.append(f"    {LABELS[name]:<27} arithmetic {arithmetic:.0f} % of its seconds, traffic {traffic:.0f} %")
    return "\n".join(lines)
