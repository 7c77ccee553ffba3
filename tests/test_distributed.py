"""Two processes train as one does with the same batch, and send less from freeze event to freeze event."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import ranks
import torch
from made_chains import small_chain

from freezeout import FreezeOut
from freezeout.strategies import FreezeOnly

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> list[dict]:
    """What each of two ranks left."""
    folder = tmp_path_factory.mktemp("ranks")
    root = Path(ranks.__file__).parent.parent
    commands = [[sys.executable, ranks.__file__, str(rank), str(folder)] for rank in range(2)]
    processes = [subprocess.Popen(c, stderr=subprocess.PIPE, text=True, cwd=root) for c in commands]
    try:
        said = [process.communicate(timeout=240)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], said
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.fixture(scope="module")
def alone() -> list[torch.Tensor]:
    """The weights after training in one process on whole batches."""
    chain, optimizer, freezer = ranks.build()
    ranks.train(chain, optimizer, freezer)
    assert freezer.prefix == 3
    return ranks.weights(chain)


@pytest.mark.parametrize("way", ["group_norm", "accumulated", "sharded"])
def test_two_ranks_train_as_one_process_does_with_the_same_batch(seen, alone, way) -> None:
    for rank in seen:
        for ours, theirs in zip(rank[way], alone, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("way", ["", ", sharded"])
@pytest.mark.parametrize("name", ranks.ADAPTIVE)
def test_an_adaptive_strategy_decides_on_two_ranks_as_on_one(seen, name: str, way: str) -> None:
    chain, optimizer, freezer = ranks.build(strategy=ranks.ADAPTIVE[name])
    ranks.train(chain, optimizer, freezer)
    assert 0 < freezer.prefix < 4
    for rank in seen:
        times, weights = rank[name + way]
        assert times == freezer.times
        for ours, theirs in zip(weights, ranks.weights(chain), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("way", ["group_norm", "batch_norm", "accumulated"])
def test_ranks_hold_equal_networks(seen, way) -> None:
    for one, other in zip(seen[0][way], seen[1][way], strict=True):
        assert torch.equal(one, other)


def test_what_is_frozen_is_sent_no_more(seen) -> None:
    chain, _, freezer = ranks.build()
    active = [8 * sum(seen[0]["parameters"][freezer.prefix_at(step) :]) for step in range(ranks.STEPS)]
    assert seen[0]["bytes"] == seen[1]["bytes"] == active
    assert sorted(set(active), reverse=True) == list(dict.fromkeys(active)), "falls at each event"
    assert len(set(active)) == len(chain)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)], ids=str)
def test_a_resumed_run_is_the_run_that_was_never_stopped(seen, order) -> None:
    for rank in seen:
        for ours, theirs in zip(rank[f"resumed{order}"], rank["group_norm"], strict=True):
            assert torch.equal(ours, theirs)


def test_the_state_has_the_names_that_torchs_wrapper_gives(seen) -> None:
    assert seen[0]["names"] == [f"module.{name}" for name in ranks.network(ranks.group_norm).state_dict()]


def test_ranks_that_would_freeze_at_different_steps_are_refused(seen) -> None:
    for rank in seen:
        assert rank["different"].startswith("total_steps=13 on rank 1, and 12 on rank 0")


def test_under_torchs_own_wrapper_the_step_after_a_freeze_event_fails(seen) -> None:
    for rank in seen:
        assert "Expected to have finished reduction" in rank["plain"]


def test_nothing_is_sent_while_gradients_are_accumulated_also_at_a_freeze_event() -> None:
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        chain = small_chain()
        optimizer = torch.optim.SGD(chain.parameters(), lr=0.1)
        freezer = FreezeOut(chain, optimizer, FreezeOnly(t_0=0.3, how_scale="linear"), 6)
        network, sent = freezer.distribute(chain), []

        def hook(state, bucket):
            sent.append(len(bucket.parameters()))
            future = torch.futures.Future()
            future.set_result(bucket.buffer())
            return future

        network.register_comm_hook(None, hook)
        prefixes = []
        for _ in range(6):
            freezer.step()
            prefixes.append(freezer.prefix)
            sent.clear()
            with network.no_sync():
                network(torch.randn(4, 3, 4, 4)).sum().backward()
            assert not sent, f"within no_sync, {freezer.prefix} stages frozen"
            network(torch.randn(4, 3, 4, 4)).sum().backward()
            assert sum(sent) == sum(p.requires_grad for p in chain.parameters())
            optimizer.step()
            optimizer.zero_grad()
        assert prefixes == [0, 0, 1, 2, 3, 4]
    finally:
        torch.distributed.destroy_process_group()
