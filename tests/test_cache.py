"""The remembered prefix: bit for bit the training that computes it anew, whatever is kept, where, of which images."""

from __future__ import annotations

import copy
import functools
import json
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from configurations import plan_of, start

from freezeout.run.assemble import assemble
from freezeout.savings.caching import Kept, Tier
from freezeout.train import cache as caching
from freezeout.train import room
from freezeout.train.cache import PrefixCache
from freezeout.train.loop import Training
from freezeout.train.rows import Near, travelling
from freezeout.train.shelf import Layout

DENSE = {"name": "densenet_bc", "depth": 16, "growth": 4}
WIDE = {"name": "wide_resnet", "depth": 10, "widen": 1}


def config(views: int | None = 2, model: dict[str, Any] = DENSE, **machine: Any) -> dict[str, Any]:
    """Ten epochs of eleven steps of 20 of 230 images: nine freeze events in a DenseNet, and ten images dropped."""
    found = start("strategy", "freezeout") | {"model": model, "epochs": 10, "batch_size": 20}
    found["strategy"] |= {"t_0": 0.4, "how_scale": "linear"}
    found["dataset"] = {"name": "synthetic", "size": 8, "classes": 3, "train": 230, "test": 10}
    found["augment"] |= {"views": views} if views else {"kind": "none"}
    found["machine"] |= {"cache": True, **machine}
    return found


def trained(
    given: dict[str, Any], until: int | None = None, begin: Callable[[Training], None] | None = None
) -> Training:
    """A training to its end, or to a step; the loss of each step in `losses`."""
    training = assemble(plan_of(given))
    if begin is not None:
        begin(training)
    losses: list[float] = []

    def on_step() -> bool:
        losses.append(training.loss_sum.item())
        return training.step == until

    while training.step < training.freezeout.total_steps and training.step != until:
        training.train_epoch(on_step)
    training.losses = losses  # type: ignore[attr-defined]
    return training


def anew(given: dict[str, Any]) -> Training:
    """The same without a cache."""
    without = copy.deepcopy(given)
    kept = ("name", "device", "threads", "precision", "channels_last", "fold", "run_ahead")
    without["machine"] = {key: value for key, value in given["machine"].items() if key in kept} | {"cache": False}
    return _trained_once(json.dumps(without))


@functools.cache
def _trained_once(given: str) -> Training:
    return trained(json.loads(given))


def assert_equal(one: Training, other: Training) -> None:
    assert one.losses == other.losses  # type: ignore[attr-defined]
    for (name, a), b in zip(one.chain.state_dict().items(), other.chain.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def counts(training: Training) -> caching.Counts:
    assert training.cache is not None
    return training.cache.counts


@pytest.mark.parametrize("views", [1, 2, 3, None])
def test_with_and_without_a_cache_a_training_is_the_same(views: int | None) -> None:
    with_cache = trained(config(views))
    assert_equal(with_cache, anew(config(views)))
    assert len({block["prefix"] for block in with_cache.clock.blocks}) == 10, "nine freeze events"
    counted = counts(with_cache)
    repeated = 10 - 4 - (views or 1)  # epochs that begin with a frozen stage, and whose view has been visited before
    assert counted.visits == 6 * 220
    assert repeated * 190 < counted.hits < repeated * 220, "all but the images that were dropped"


@pytest.mark.parametrize(
    "machine",
    [
        {"precision": "bf16"},
        {"channels_last": False},
        {"fold": False},
        {"cache_device": 0.0},
        {"run_ahead": 5},
    ],
    ids=str,
)
@pytest.mark.parametrize("model", [DENSE, WIDE], ids=["dense", "wide"])
def test_so_it_is_however_steps_are_executed(model: dict[str, Any], machine: dict[str, Any]) -> None:
    given = config(2, model, **machine)
    with_cache = trained(given)
    assert counts(with_cache).hits > 500
    assert_equal(with_cache, anew(given))


def test_what_is_faster_to_compute_is_not_kept(monkeypatch) -> None:
    monkeypatch.setattr(room.Room, "_rates", lambda self, kind: (1.0, 1.0))  # a second for each byte
    given = config(2)
    given["machine"]["cache"] = None
    measured = trained(given)
    assert counts(measured).hits == 0
    assert_equal(measured, anew(given))


def test_a_part_of_the_images_is_kept_where_not_all_fit(monkeypatch) -> None:
    """And each kind of memory takes what the one before has no place for."""
    monkeypatch.setattr(room.Room, "_free", lambda self, kind: {"device": 600_000, "disk": 500_000}[kind])
    monkeypatch.setattr(room, "PROBE", 1 << 14)
    given = config(2, cache_device=0.5, cache_disk=0.5)
    part = trained(given)
    assert part.cache is not None
    assert part.cache.room.most["device"] > 0
    assert part.cache.room.most["disk"] > 0
    assert all(part.cache.room.most[kind] <= limit for kind, limit in part.cache.room.limits.items())
    assert 100 < counts(part).hits < 4 * 190
    assert_equal(part, anew(given))


def test_a_batch_without_any_entry_is_computed(monkeypatch) -> None:
    """Where entries of very few images fit, and those lie in two kinds of memory."""

    def one_image_of_each(self, parts: int) -> dict[str, Tier]:
        self.limits = dict.fromkeys(("device", "disk"), 1 << 20)
        return dict.fromkeys(self.limits, Tier())

    monkeypatch.setattr(room.Room, "tiers", one_image_of_each)
    monkeypatch.setattr(caching, "choose", lambda *_: Kept(1, (1, 1)))
    given = config(1)
    two = trained(given)
    assert 0 < counts(two).hits <= 5 * 2
    assert_equal(two, anew(given))


def test_reading_is_timed_from_the_asking_on(tmp_path, monkeypatch) -> None:
    """Rows that travel are on their way before they are taken."""
    real = Near.ask

    def ask(rows, index):
        time.sleep(0.01)
        return real(rows, index)

    monkeypatch.setattr(Near, "ask", ask)
    shares = {"device": 0.5, "host": 0.0, "disk": 0.0}
    kinds = room.Room(torch.device("cpu"), shares, tmp_path)
    assert kinds.tiers(1)["device"].read >= 0.01 / room.PROBE
    assert kinds.most["device"] == 0, "what was taken to time it is no entry"


@pytest.mark.parametrize("method", ["ask", "write"])
def test_memory_that_fails_when_it_is_timed_is_done_without(tmp_path, monkeypatch, method: str) -> None:
    """As where the host has no pinned memory left for rows that travel."""
    real = room.Room._make

    def fails(*given):
        raise RuntimeError("CUDA error: out of memory\nmany details")

    def make(kinds, kind, *given):
        made = real(kinds, kind, *given)
        if kind == "disk":
            monkeypatch.setattr(made, method, fails)
        return made

    monkeypatch.setattr(room.Room, "_make", make)
    kinds = room.Room(torch.device("cpu"), {"device": 0.5, "host": 0.0, "disk": 0.25}, tmp_path)
    with pytest.warns(UserWarning, match=r"^the cache does without disk memory: CUDA error: out of memory$"):
        tiers = kinds.tiers(1)
    assert tiers["device"].read < tiers["disk"].read == math.inf
    assert kinds.take("disk", 1, 1, torch.float32) is None
    assert kinds.taken["disk"] == kinds.most["disk"] == 0


def test_what_cannot_be_had_costs_the_cache_and_not_the_run(monkeypatch) -> None:
    def full(folder, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(room, "allocated_file", full)
    given = config(2, cache_device=0.0)
    with pytest.warns(UserWarning, match="does without disk memory: .*No space left"):
        without = trained(given)
    assert counts(without).hits == 0
    assert_equal(without, anew(given))


def test_a_run_that_goes_on_in_mid_epoch_is_the_one_that_was_never_stopped() -> None:
    given = config(2)
    first = trained(given, until=82)
    losses = first.losses  # type: ignore[attr-defined]
    state = [first.chain.state_dict(), first.freezeout.state_dict(), first.optimizer.state_dict(), first.loss_sum]

    def resume(training: Training) -> None:
        training.chain.load_state_dict(state[0])
        training.freezeout.load_state_dict(state[1])
        training.optimizer.load_state_dict(state[2])
        training.loss_sum.copy_(state[3])

    second = trained(given, begin=resume)
    second.losses = losses + second.losses  # type: ignore[attr-defined]
    assert counts(second).hits > 0
    assert_equal(second, trained(given))


def test_an_epoch_that_is_begun_again_forgets_what_it_had_replaced() -> None:
    given = config(1)
    training = trained(given, until=82)
    losses = training.losses  # type: ignore[attr-defined]

    def on_step() -> bool:
        losses.append(training.loss_sum.item())
        return False

    while training.step < training.freezeout.total_steps:
        training.train_epoch(on_step)
    assert_equal(training, anew(given))


def wrong_view(entries: dict[int, Any]) -> None:
    entries[0], entries[1] = entries[1], entries[0]


def one_image_off(entries: dict[int, Any]) -> None:
    rows = entries[0].shelf.parts[0][1]
    rows.rows = rows.rows.roll(1, 0)


def stale_depth(entries: dict[int, Any]) -> None:
    """As if the third block, whose output is kept, were still to be run."""
    assert entries[0].kept.depth == 3
    entries[0].kept = replace(entries[0].kept, depth=2)


def of_another_seed(entries: dict[int, Any]) -> None:
    other = trained(config(2, DEEPER) | {"seed": 1}, until=88)
    assert other.cache is not None
    entries[0] = other.cache._entries[0]


DEEPER = WIDE | {"depth": 16}  # its second and third stage give outputs of one shape


@pytest.mark.parametrize("spoil", [wrong_view, one_image_off, stale_depth, of_another_seed])
def test_entries_that_are_not_the_images_own_are_noticed(spoil: Callable[[dict[int, Any]], None]) -> None:
    """Or the tests above would pass whatever is remembered."""
    given = config(2, DEEPER)
    training = trained(given, until=88)
    assert training.cache is not None
    assert len(training.cache._entries) == 2
    spoil(training.cache._entries)
    while training.step < training.freezeout.total_steps:
        training.train_epoch(lambda: False)
    right = anew(given).chain.state_dict()
    assert any(not torch.equal(a, right[name]) for name, a in training.chain.state_dict().items())


def test_nothing_is_kept_that_is_not_visited_again() -> None:
    training = trained(config(2))
    assert training.cache is not None
    assert training.cache._entries == {}
    assert sum(training.cache.room.taken.values()) == 0
    assert sum(training.cache.room.most.values()) > 0


@pytest.mark.parametrize("fields", [{"cache": False}, {"bn": "train"}, {"views": None, "kind": "crop_flip"}])
def test_where_nothing_comes_again_there_is_no_cache(fields: dict[str, Any]) -> None:
    given = config(2)
    for key, value in fields.items():
        given[{"cache": "machine", "bn": "strategy"}.get(key, "augment")][key] = value
    plan = plan_of(given)
    assert plan.remember is None
    assert assemble(plan).cache is None


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_rows_of_a_layout_are_its_output_again(layout: torch.memory_format) -> None:
    x = torch.randn(4, 3, 5, 2).contiguous(memory_format=layout)
    found = Layout.of(x)
    again = found.shaped(found.flat(x).clone())
    assert torch.equal(again, x)
    assert again.stride() == x.stride()


def test_an_output_that_images_share_is_not_kept() -> None:
    assert Layout.of(torch.randn(3, 1).expand(3, 5)).numbers == 0
    assert Layout.of(torch.randn(5, 3).t()).numbers == 0


def test_rows_are_read_as_they_were_written() -> None:
    rows = Near(torch.zeros(6, 2))
    rows.write(torch.tensor([4, 1]), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert rows.ask(torch.tensor([1, 4, 0]))().tolist() == [[3.0, 4.0], [1.0, 2.0], [0.0, 0.0]]


def test_where_nothing_more_can_be_pinned_rows_travel_through_any_memory(monkeypatch) -> None:
    real, asked = torch.empty, []

    def empty(shape, *, pin_memory: bool = False, **how):
        asked.append(pin_memory)
        if pin_memory:
            raise RuntimeError("CUDA error: out of memory")
        return real(shape, **how)

    monkeypatch.setattr(torch, "empty", empty)
    here = travelling((2, 3), torch.bfloat16)
    assert (here.shape, here.dtype, asked) == ((2, 3), torch.bfloat16, [True, False])


def test_the_seconds_of_deciding_are_the_caches_and_not_the_steps(monkeypatch) -> None:
    """Stages are timed in an epoch's first step: as `prefix_forward` they would hide from the bound on the cost."""
    real = PrefixCache.frozen

    def slow(cache, prefix):
        time.sleep(0.2)
        return real(cache, prefix)

    monkeypatch.setattr(PrefixCache, "frozen", slow)
    blocks = trained(config(2)).clock.blocks
    decided = [block for block in blocks if block.get("cache", 0.0) >= 0.2]
    assert decided
    assert all(block["prefix_forward"] < 0.2 for block in decided)


def test_kept_of_nothing_is_nothing() -> None:
    assert Kept().total == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert trained(config(2), until=3).cache is not None
