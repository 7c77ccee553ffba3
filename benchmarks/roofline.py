"""What a step could be limited by: its arithmetic and the bytes it moves, counted, at the device's own best rates."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from benchmarks.arms import Ours, synchronise
from freezeout.run.plan import Plan
from freezeout.savings import cost
from freezeout.savings.flops import Traffic

SIZES = {
    "cpu": (1024, 2**24),
    "cuda": (8192, 2**28),
}  # of the matrices that are multiplied, of the array that is copied
REPEATS = 10


def counted(plan: Plan, prefix: int) -> dict[str, float]:
    """FLOPs of a training step of our eager path at `prefix`, and the bytes its operations read and make.

    As if none of them stayed in a cache.
    """
    ours = Ours("d", plan, prefix)
    ours.epoch(lambda: True)
    with Traffic() as traffic:
        ours.epoch(lambda: True)
    if plan.costs is None:
        raise ValueError("this network's stages cannot be costed one by one")
    return {"flops": cost.step_cost(plan.costs, prefix), "bytes": float(traffic.total)}


def peaks(plan: Plan) -> dict[str, float]:
    """FLOPs and bytes a second of this device, measured: its best at a large matrix product and at a large copy."""
    side, count = SIZES[plan.device.type]
    dtype = torch.bfloat16 if plan.config.machine.precision == "bf16" else torch.float32
    a, b = (torch.randn(side, side, device=plan.device, dtype=dtype) for _ in range(2))
    x = torch.zeros(count, device=plan.device)
    y = torch.empty_like(x)
    return {
        "flops": 2 * side**3 / quickest(lambda: torch.mm(a, b), plan.device),
        "bytes": 2 * x.numel() * x.element_size() / quickest(lambda: y.copy_(x), plan.device),
    }


def quickest(work: Callable[[], object], device: torch.device) -> float:
    seconds = []
    for _ in range(REPEATS):
        synchronise(device)
        start = time.perf_counter()
        work()
        synchronise(device)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def limits(counts: Mapping[str, float], rates: Mapping[str, float], seconds: float) -> dict[str, Any]:
    """Of a step of `seconds`, the share that each would take alone at its best rate; `by` is the larger one.

    Where both are small the step waits for something else: launches, the host, sizes too small for the device.
    """
    shares = {key: counts[key] / rates[key] / seconds for key in ("flops", "bytes")}
    return {**counts, "rates": dict(rates), "shares": shares, "by": max(shares, key=lambda key: shares[key])}


def text(found: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]) -> str:
    """One line an arm, at prefix 0."""
    lines = ["  a step with nothing frozen, counted:"]
    for key, limit in found.items():
        arithmetic, traffic = (100 * limit["shares"][k] for k in ("flops", "bytes"))
        lines.append(
            f"  {names[key]:<14} {limit['flops'] / 1e9:.2f} GFLOP take {arithmetic:.0f} % of it at the best matrix "
            f"product here ({limit['rates']['flops'] / 1e12:.2f} TFLOP/s), {limit['bytes'] / 1e6:.0f} MB "
            f"{traffic:.0f} % at the best copy ({limit['rates']['bytes'] / 1e9:.0f} GB/s)"
        )
    return "\n".join(lines)
