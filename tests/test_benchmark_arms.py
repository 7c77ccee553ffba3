"""The benchmark's arms train alike, and each loop freezes in the way that it is named after."""

from __future__ import annotations

import pytest
import torch
from made_benchmarks import plan

from benchmarks.arms import Engine, Loop, make

ON_A_CPU = ("plain", "original", "composer", "eager")


def weights(arm) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in arm.chain.state_dict().items()}


def made(name: str, planned, prefix: int):
    """In the memory format of the engine: only then are sums the same to the last bit."""
    return make(name, planned, prefix, channels_last=planned.config.machine.channels_last)


@pytest.mark.parametrize("network", ["wrn_10_1", "densenet_bc_16_4", "resnet8"])
def test_with_nothing_frozen_every_arm_takes_bitwise_the_same_steps(network: str) -> None:
    planned = plan(network)
    arms = {name: made(name, planned, 0) for name in ON_A_CPU}
    losses = {name: [arm.epoch() for _ in range(2)] for name, arm in arms.items()}
    assert losses["plain"] == losses["original"] == losses["composer"] == losses["eager"]
    assert losses["plain"][0] != losses["plain"][1]
    first = weights(arms["plain"])
    for name in ON_A_CPU[1:]:
        other = weights(arms[name])
        assert first.keys() == other.keys()
        assert all(torch.equal(first[key], other[key]) for key in first), name


@pytest.mark.parametrize("prefix", [2, 4])
def test_with_a_prefix_frozen_the_engine_trains_what_the_plain_loop_trains(prefix: int) -> None:
    planned = plan()
    arms = [made(name, planned, prefix) for name in ("plain", "eager")]
    before = weights(arms[0])
    losses = [arm.epoch() for arm in arms]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    plain, engine = map(weights, arms)
    frozen = {f"stages.{name}" for name in planned.build().names[:prefix]}
    for name, value in plain.items():
        if ".".join(name.split(".")[:2]) in frozen:  # running statistics included
            assert torch.equal(value, before[name]), name
            assert torch.equal(engine[name], before[name]), name
        else:
            torch.testing.assert_close(engine[name], value, rtol=1e-4, atol=1e-6)
    assert any(not torch.equal(value, before[name]) for name, value in plain.items())


def test_each_loop_freezes_in_the_way_that_it_is_named_after() -> None:
    planned = plan()
    found = {}
    for kind in ("plain", "original", "composer"):
        arm = Loop(kind, planned, 0, channels_last=True)
        arm.epoch()
        arm.freeze(2)  # half way, as a benchmark goes through its prefixes
        before = weights(arm)
        arm.epoch()
        frozen = [p for stage in arm.stages[:2] for p in stage.parameters()]
        moved = [n for n, v in weights(arm).items() if not torch.equal(v, before[n])]
        of_frozen = [n for n in moved if n.split(".")[1] in planned.build().names[:2]]
        assert all(id(p) not in {id(q) for q in arm.optimizer.param_groups[0]["params"]} for p in frozen)
        assert not any(p in arm.optimizer.state for p in frozen)
        assert len(moved) > len(of_frozen)
        assert all(p.grad is None for p in frozen)  # in the original's way because outputs are detached
        found[kind] = all(p.requires_grad for p in frozen), any("running" in n for n in of_frozen)
        assert all("running" in n or "batches" in n for n in of_frozen)
    assert found == {"plain": (False, False), "original": (True, False), "composer": (False, True)}


def test_the_original_never_detaches_the_output_of_its_first_stage() -> None:
    stem = Loop("original", plan(), 1, channels_last=True)
    stem.epoch()
    assert all(p.grad is not None for p in stem.stages[0].parameters())


def test_one_engine_goes_through_all_prefixes() -> None:
    arm = Engine("eager", plan(), 0)
    for prefix in (0, 1, 4):
        arm.freeze(prefix)
        assert arm.epoch() is not None
        assert arm.training.freezeout.prefix == prefix


def test_an_epoch_that_is_stopped_has_no_loss() -> None:
    for name in ("plain", "eager"):
        arm = made(name, plan(), 0)
        seen: list[int] = []
        assert arm.epoch(lambda seen=seen: seen.append(1) or len(seen) == 2) is None
        assert len(seen) == 2, name
