"""Small benchmark plans, made results in which every bound holds, and a stage that is slow on purpose."""

from __future__ import annotations

import copy
import dataclasses
import time
from typing import Any

import torch

from benchmarks import arms, bounds, plans, savings, settings
from freezeout.run.plan import Plan

SMALL = dataclasses.replace(
    settings.CPU, batch=4, image=8, burst=3, run_steps=20, run_epoch=10, profile_steps=1, cache_epoch=2
)


def plan(network: str = "wrn_10_1", **changes: Any) -> Plan:
    """Ten bursts of tiny steps."""
    chosen = dataclasses.replace(SMALL, **changes)
    return plans.plan_of(chosen, network, epoch=chosen.burst, steps=10 * chosen.burst)


def spread(value: float) -> dict[str, float]:
    return dict.fromkeys(("median", "low", "high", "min", "max"), value) | {"n": 5}


def made_results(device: str) -> dict[str, Any]:
    """Results of one network, of every arm, in which every bound holds, just."""
    judged, most = savings.JUDGED[device], bounds.STEP[device]
    pairs = [f"{other}/plain" for other in arms.LABELS if other != "plain"]
    ratios = dict.fromkeys(pairs, spread(1.5)) | {f"{judged}/{loop}": spread(most) for loop in ("plain", "composer")}
    ratios[f"{judged}/original"] = spread(0.25)
    found = {"seconds": dict.fromkeys(arms.LABELS, spread(0.01)), "ratios": ratios}
    strategy = {
        "ideal": 0.26,
        "ideal_with_input": 0.27,
        "ideal_rounds": spread(0.26),
        "of_ideal": 0.95,
        "switches": spread(bounds.SWITCHES[device]),
        "profiled": 0.27,
        "realised": spread(0.25),
    }
    cache = {
        "arm": judged,
        "strategy": "cubic scaled 0.8",
        "epochs": 12,
        "epoch": 12,
        "runs": {
            "2 views": {"realised": spread(0.15), "profiled": 0.16},
            "2 views, cached": {"realised": spread(0.18), "profiled": 0.2},
        },
        "of_profiled": 0.9,
        "run_ratio": spread(1.0),
        "cache_share": spread(0.03),
        "hit_rate": 0.6,
        "bytes": {"device": 41_800_000},
    }
    held = {name: {"packed": 1020, "peak": None} for name in arms.LABELS if "compiled" not in name}
    return {
        "device": {"type": device, "model": "made"},
        "precision": "fp32" if device == "cpu" else "tf32",
        "batch": 50,
        "networks": {
            "densenet_bc_76_12": {
                "steps": {"0": found, "20": copy.deepcopy(found)},
                "packed": {"20": {"share": 1000, "arms": held}},
                "savings": {"strategies": {"cubic scaled 0.8": strategy}},
                "cache": cache,
            }
        },
    }


class Slow(torch.autograd.Function):
    """The identity, whose backward takes 20 ms."""

    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        time.sleep(0.02)
        return gradient


def slow_down(stage: torch.nn.Module) -> None:
    """Let `stage` take 20 ms more to hand a gradient on to its input."""
    stage.register_forward_pre_hook(lambda module, inputs: (Slow.apply(inputs[0]),))


def slow_second_stage(*arguments: Any) -> arms.Engine:
    """An engine whose second stage takes 20 ms more for its backward."""
    engine = arms.Engine(*arguments)
    slow_down(engine.chain[1])  # inside of the boundary, whose hook is on the output of the stage before
    return engine
