"""What a step could be limited by is counted, and compared with measured rates."""

from __future__ import annotations

import torch
from made_benchmarks import plan

from benchmarks import roofline


def test_the_traffic_of_a_step_is_what_its_operations_read_and_write() -> None:
    x, y = torch.zeros(1000), torch.ones(1000)
    with roofline.Traffic() as traffic:
        (x + y).view(10, 100)
    assert traffic.total == 3 * 4000, "two read, one written; a view moves nothing"


def test_a_step_is_limited_by_what_would_take_longer_at_its_best_rate() -> None:
    found = roofline.limits({"flops": 50.0, "bytes": 20.0}, {"flops": 100.0, "bytes": 10.0}, 4.0)
    assert found["shares"] == {"flops": 0.125, "bytes": 0.5}
    assert found["by"] == "bytes"
    text = roofline.text({"eager": found})
    assert "ours, eager" in text
    assert "arithmetic 12 % of its seconds, traffic 50 %" in text


def test_a_prefix_moves_fewer_bytes_and_does_less_arithmetic() -> None:
    whole, frozen = roofline.counted(plan(), 0), roofline.counted(plan(), 4)
    assert frozen["flops"] < 0.5 * whole["flops"]
    assert frozen["bytes"] < 0.5 * whole["bytes"]
