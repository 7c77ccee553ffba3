"""Every bound can fail: made results that hold them all, just, and then one number worse."""

from __future__ import annotations

import copy

import pytest
from made_benchmarks import made_results, spread

from benchmarks import bounds, savings

# What is said of the bound; where its number stands in a network's results, with JUDGED for the arm; a number too bad.
WORSE = [
    ("step time JUDGED/plain, prefix 0", ("steps", "0", "ratios", "JUDGED/plain", "median"), 1.03),
    ("step time JUDGED/original, prefix 0", ("steps", "0", "ratios", "JUDGED/original", "median"), 1.03),
    ("step time JUDGED/composer, prefix 0", ("steps", "0", "ratios", "JUDGED/composer", "median"), 1.03),
    ("step time JUDGED/plain, nothing frozen", ("steps", "0", "ratios", "JUDGED/plain", "median"), 1.03),
    ("packed bytes eager/active share, prefix 20", ("packed", "20", "arms", "eager", "packed"), 1021),
    ("realised/ideal saving", ("savings", "strategies", "cubic scaled 0.8", "of_ideal"), 0.94),
    ("switches' share", ("savings", "strategies", "cubic scaled 0.8", "switches", "median"), 0.031),
    ("profiled - realised saving", ("savings", "strategies", "cubic scaled 0.8", "profiled"), 0.29),
    ("profiled - realised saving", ("savings", "strategies", "cubic scaled 0.8", "profiled"), 0.21),
    ("realised/profiled saving, with a cache", ("cache", "of_profiled"), 0.89),
    ("seconds with/without a cache", ("cache", "run_ratio", "median"), 1.001),
]
CACHE_SHARE = ("cache's share", ("cache", "cache_share", "median"), 0.031)
FASTER = (
    "times faster, captured than original, prefix 0",
    ("steps", "0", "ratios", "captured/original", "median"),
    0.26,
)


@pytest.mark.parametrize(
    ("device", "what", "path", "value"),
    [(device, *worse) for device in ("cpu", "cuda") for worse in WORSE] + [("cuda", *FASTER), ("cpu", *CACHE_SHARE)],
)
def test_every_bound_can_fail(device: str, what: str, path: tuple[str, ...], value: float) -> None:
    judged = savings.JUDGED[device]
    results = made_results(device)
    assert all(bound.ok for bound in bounds.bounds(results))
    broken = copy.deepcopy(results)
    place = broken["networks"]["densenet_bc_76_12"]
    for key in path[:-1]:
        place = place[key.replace("JUDGED", judged)]
    place[path[-1]] = value
    missed = [bound for bound in bounds.bounds(broken) if not bound.ok]
    assert any(bound.what.startswith(what.replace("JUDGED", judged)) for bound in missed), missed
    assert all("MISSED" in str(bound) for bound in missed)


def test_a_cpu_is_held_to_no_factor() -> None:
    assert not [bound for bound in bounds.bounds(made_results("cpu")) if bound.what.startswith("times")]


def test_the_factors_are_promised_for_tf32_at_batch_50() -> None:
    results = made_results("cuda")
    assert len([b for b in bounds.bounds(results) if b.what.startswith("times")]) == 2
    for change in ({"precision": "bf16"}, {"batch": 64}):
        assert not [b for b in bounds.bounds(results | change) if b.what.startswith("times")]


def test_gpu_bounds_are_the_stricter_ones() -> None:
    results = made_results("cuda")
    results["networks"]["densenet_bc_76_12"]["steps"]["0"]["ratios"]["captured/composer"] = spread(1.01)
    missed = [bound.what for bound in bounds.bounds(results) if not bound.ok]
    assert missed == ["step time captured/composer, prefix 0"]


def test_nothing_is_said_of_what_has_not_been_measured() -> None:
    assert bounds.bounds(made_results("cpu") | {"networks": {"wrn_10_1": {}}}) == []
