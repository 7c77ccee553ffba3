"""Bytes that a training step packs for its backward pass, and the most memory that an arm ever held."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from benchmarks.arms import OURS, PLAIN, Arm, Plain, forget, make, synchronise
from freezeout.run.plan import Plan


class Packed:
    """The storages packed by one step, each once, with the stages that packed them; weights and buffers are left out.

    Every storage is held until the end, so that none is counted for another's memory, or missed, once it is freed:
    the original's graphs are dropped at once, yet they were packed.
    """

    def __init__(self, network: nn.Module) -> None:
        own = (*network.parameters(), *network.buffers())
        self._left_out = {t.untyped_storage().data_ptr() for t in own}
        self._held: dict[int, torch.UntypedStorage] = {}
        self._stages: dict[int, set[int]] = {}
        self.stage = 0  # that is running

    def pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        address = storage.data_ptr()
        if address not in self._left_out:
            self._held[address] = storage
            self._stages.setdefault(address, set()).add(self.stage)
        return tensor

    @property
    def bytes(self) -> int:
        return self.share(0)

    def share(self, prefix: int) -> int:
        """Bytes packed by stages from `prefix` on; what two stages packed is the later one's too."""
        return sum(s.nbytes() for a, s in self._held.items() if max(self._stages[a]) >= prefix)

    @contextmanager
    def watching(self) -> Iterator[None]:
        with torch.autograd.graph.saved_tensors_hooks(self.pack, lambda tensor: tensor):
            yield


def of_one_step(arm: Arm, network: nn.Module) -> Packed:
    """What the next step of `arm` packs."""
    packed = Packed(network)
    with packed.watching():
        arm.epoch(lambda: True)
    return packed


def shares(plan: Plan, prefixes: list[int], *, channels_last: bool) -> dict[int, int]:
    """Bytes that the stages from each prefix on pack in a step with nothing frozen, counted stage by stage."""
    arm = Plain("a", plan, 0, channels_last=channels_last)
    packed = Packed(arm.chain)
    for i, stage in enumerate(arm.stages):
        stage.register_forward_pre_hook(lambda module, inputs, i=i: setattr(packed, "stage", i))
    with packed.watching():
        arm.epoch(lambda: True)
    return {prefix: packed.share(prefix) for prefix in prefixes}


def measure(plan: Plan, prefix: int, keys: list[str], *, channels_last: bool) -> dict[str, dict[str, int | None]]:
    """Of each arm alone: `packed`, bytes of a step (None for captured steps, which no hook sees), and `peak`, the most
    bytes held on the device over an epoch beyond what was there before (None on a CPU).

    A compiled arm is best left out: each would compile once more.
    """
    found: dict[str, dict[str, int | None]] = {}
    for key in keys:
        visible, cuda = key in PLAIN or key == "d", plan.device.type == "cuda"
        if not (visible or (cuda and key in OURS)):
            continue
        forget(plan.device)
        before = torch.cuda.memory_allocated(plan.device) if cuda else 0
        arm = make(key, plan, prefix, channels_last=channels_last)
        packed = of_one_step(arm, arm.chain).bytes if visible else None
        peak = None
        if cuda:
            forget(plan.device)
            torch.cuda.reset_peak_memory_stats(plan.device)
            arm.epoch()
            arm.epoch()  # the one above ends the epoch in which bytes were counted
            synchronise(plan.device)
            peak = torch.cuda.max_memory_allocated(plan.device) - before
        found[key] = {"packed": packed, "peak": peak}
        del arm
    return found
