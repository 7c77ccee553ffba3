"""Bytes that a training step packs (saves for its backward pass), and the peak memory of an arm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from benchmarks.arms import ENGINES, LOOPS, Arm, Loop, free_memory, make, never_stop
from freezeout.run.plan import Plan
from freezeout.train.clock import synchronise


class Packed:
    """The storages that autograd packs during one step, each counted once, and by which stages.

    Weights and buffers are not counted: they exist anyway. Every storage is held until the end, so that none is
    mistaken for another at the same address, or missed, after it is freed: the original's way drops its graphs at once,
    yet they were packed.

    Args:
        network: Owner of the weights and buffers that are left out.

    Attributes:
        stage: Index of the running stage; set by callers that need bytes by stage.
    """

    def __init__(self, network: nn.Module) -> None:
        own = (*network.parameters(), *network.buffers())
        self._left_out = {t.untyped_storage().data_ptr() for t in own}
        self._held: dict[int, torch.UntypedStorage] = {}
        self._stages: dict[int, set[int]] = {}
        self.stage = 0

    @property
    def bytes(self) -> int:
        """All bytes packed."""
        return self.bytes_from(0)

    def bytes_from(self, prefix: int) -> int:
        """Bytes packed by stages from `prefix` on; a storage that two stages packed counts for the later one."""
        return sum(s.nbytes() for a, s in self._held.items() if max(self._stages[a]) >= prefix)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count what is packed inside of the block."""
        with torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor):
            yield

    def _pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        address = storage.data_ptr()
        if address not in self._left_out:
            self._held[address] = storage
            self._stages.setdefault(address, set()).add(self.stage)
        return tensor


def active_shares(plan: Plan, prefixes: Sequence[int], *, channels_last: bool) -> dict[int, int]:
    """Count the least that freezing can leave packed: what the active stages pack in a step with nothing frozen.

    Returns:
        By prefix, the bytes packed by the stages from it on.
    """
    loop = Loop("plain", plan, 0, channels_last=channels_last)
    packed = Packed(loop.chain)
    for i, stage in enumerate(loop.stages):
        stage.register_forward_pre_hook(lambda module, inputs, i=i: setattr(packed, "stage", i))
    with packed.watching():
        loop.epoch(lambda: True)
    return {prefix: packed.bytes_from(prefix) for prefix in prefixes}


def measure(plan: Plan, prefix: int, names: Sequence[str], *, channels_last: bool) -> dict[str, dict[str, int | None]]:
    """Measure the memory of each arm, one at a time.

    Args:
        plan: The run.
        prefix: Stages frozen.
        names: Names of arms, preferably without the compiled one, which would compile again at each call.
        channels_last: Memory format of the loops.

    Returns:
        By arm, "packed": bytes of one step (None for captured steps, which no hook sees); and "peak": the most bytes
        held on the device during an epoch beyond what was there before (None on a CPU).
    """
    found: dict[str, dict[str, int | None]] = {}
    for name in names:
        visible, cuda = name in LOOPS or name == "eager", plan.device.type == "cuda"
        if not (visible or (cuda and name in ENGINES)):
            continue
        free_memory(plan.device)
        before = torch.cuda.memory_allocated(plan.device) if cuda else 0
        arm = make(name, plan, prefix, channels_last=channels_last)
        packed = _of_one_step(arm).bytes if visible else None
        peak = None
        if cuda:
            free_memory(plan.device)
            torch.cuda.reset_peak_memory_stats(plan.device)
            arm.epoch(never_stop)
            arm.epoch(never_stop)  # the one above ends the epoch in which bytes were counted
            synchronise(plan.device)
            peak = torch.cuda.max_memory_allocated(plan.device) - before
        found[name] = {"packed": packed, "peak": peak}
        del arm
    return found


def _of_one_step(arm: Arm) -> Packed:
    packed = Packed(arm.chain)
    with packed.watching():
        arm.epoch(lambda: True)
    return packed
