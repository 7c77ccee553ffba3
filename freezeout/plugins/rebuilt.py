"""Rebuilding, in place, a DistributedDataParallel to which a framework holds references."""

from __future__ import annotations

from typing import Any

from torch.nn.parallel import DistributedDataParallel


def build_anew(wrapper: DistributedDataParallel, **options: Any) -> None:
    """Reinitialise a wrapper in place, so that it no longer waits for or sends the gradients of frozen parameters.

    It remains the same object, because the training loop keeps a reference to it. Hooks on the wrapper itself are lost;
    those on the network stay. All ranks must call this, between two training steps.

    Args:
        wrapper: The wrapper; it keeps its network and devices.
        options: All other keyword arguments with which it was made.
    """
    network, ids, output = wrapper.module, wrapper.device_ids, wrapper.output_device
    vars(wrapper).clear()  # remove the old state first, and with it its gradient hooks
    DistributedDataParallel.__init__(wrapper, network, ids, output, init_sync=False, **options)
