"""DistributedDataParallel that a framework holds on to: built anew where it is."""

from __future__ import annotations

from typing import Any

from torch.nn.parallel import DistributedDataParallel


def build_anew(wrapper: DistributedDataParallel, **options: Any) -> None:
    """Make a wrapper what it would be were it made now, without what is frozen: that is waited for and sent no more.

    It stays the same object, since a training loop keeps it in a variable of its own. Hooks on the wrapper itself go;
    those on the network stay. Called between two training steps, by all ranks.

    Args:
        wrapper: Of a network, made with devices as it has them.
        options: All else that it was made with.
    """
    network, ids, output = wrapper.module, wrapper.device_ids, wrapper.output_device
    vars(wrapper).clear()  # the old one goes first, and its hooks on the gradients with it
    DistributedDataParallel.__init__(wrapper, network, ids, output, init_sync=False, **options)
