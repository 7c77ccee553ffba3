"""Bytes that steps pack for their backward pass are counted once each, and fall as stages freeze."""

from __future__ import annotations

import torch
from made_benchmarks import plan

from benchmarks import packed

ARMS = ("plain", "original", "composer", "eager")


def test_bytes_packed_fall_with_the_prefix_but_not_the_originals_way() -> None:
    planned, prefixes = plan("densenet_bc_16_4"), [0, 3, 5, 9]
    shares = packed.active_shares(planned, prefixes, channels_last=True)
    found = {k: packed.measure(planned, k, ARMS, channels_last=True) for k in prefixes}
    held = {name: [found[k][name]["packed"] for k in prefixes] for name in ARMS}
    for name in ("plain", "eager"):
        assert held[name] == sorted(set(held[name]), reverse=True), name
        assert all(held[name][i] <= 1.02 * shares[k] for i, k in enumerate(prefixes)), name
    assert held["plain"][0] == shares[0] > shares[3] > shares[9] > 0
    originals = held["original"]
    assert all(count >= 0.98 * originals[0] for count in originals)  # the frozen blocks' graphs, built to be dropped
    assert all(values["peak"] is None for k in prefixes for values in found[k].values())


def test_packed_storages_are_counted_once_and_weights_never() -> None:
    network = torch.nn.Linear(4, 4, bias=False)
    counted = packed.Packed(network)
    x = torch.randn(8, 4, requires_grad=True)
    with counted.watching():
        counted.stage = 0
        y = network(x).sigmoid()  # packs x, the weight and the sigmoid's result
        counted.stage = 1
        _ = y * y.view(32).view(8, 4)  # packs that result again, by another shape
    assert counted.bytes == x.nbytes + y.nbytes
    assert counted.bytes_from(1) == y.nbytes
