"""The stages of a network that cannot be traced: its parameters in the order in which they are read."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from freezeout.stages.tracing import is_library_module, is_norm, unused_name


def partition(model: nn.Module, example: Tensor) -> dict[str, nn.Module]:
    """Divides all parameters and buffers of a network into stages, ordered by when they are last read.

    Modules that share a parameter share a stage. A normalisation layer is in the stage of the layer before it. What is
    never read goes to the last stage, which never freezes.

    Args:
        model: The network.
        example: Images (batch, channels, height, width) that the network accepts.

    Returns:
        The stages by name. They hold the network's own tensors and cannot be run.
    """
    last = last_reads(model, example)

    def when(unit: nn.Module) -> float:
        tensors: list[Tensor] = [*unit.parameters()] or [*unit.buffers()]
        return max((last[id(t)] for t in tensors if id(t) in last), default=inf)

    stages: dict[str, nn.ModuleDict] = {}
    home: dict[int, nn.ModuleDict] = {}
    complete = False  # whether the newest stage holds more than normalisation
    for path, unit, norm in sorted(units(model), key=lambda item: when(item[1])):
        weighty = any(True for _ in unit.parameters()) and not norm and when(unit) < inf
        shared = next((home[id(p)] for p in unit.parameters() if id(p) in home), None)
        if shared is None and (not stages or (complete and weighty)):
            stages[unused_name(path, stages)] = nn.ModuleDict()
            complete = False
        stage = shared if shared is not None else list(stages.values())[-1]
        stage[unused_name(path, list(stage))] = unit
        complete = complete or weighty
        home |= {id(p): stage for p in unit.parameters()}
    return dict(stages)


def last_reads(model: nn.Module, example: Tensor) -> dict[int, int]:
    """When each parameter and buffer of a network is last read in a forward pass in evaluation mode.

    Args:
        model: The network; its modes are left as they were.
        example: Images (batch, channels, height, width) that the network accepts.

    Returns:
        The number of the torch call that reads it, counted from 1, by the tensor's id; those never read are absent.

    Raises:
        ValueError: The network returns anything but one tensor.
    """
    wanted = {id(t) for t in (*model.parameters(), *model.buffers())}
    last: dict[int, int] = {}

    class Watch(TorchFunctionMode):
        calls = 0

        def __torch_function__(self, func, types, args=(), kwargs=None):
            self.calls += 1
            note((args, kwargs or {}), self.calls)
            return func(*args, **(kwargs or {}))

    def note(value: Any, call: int) -> None:
        if id(value) in wanted:
            last[id(value)] = call
        elif isinstance(value, tuple | list):
            for item in value:
                note(item, call)
        elif isinstance(value, dict):
            note(list(value.values()), call)

    flags = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad(), Watch():
            logits = model(example)
    finally:
        for module, flag in flags.items():
            module.training = flag
    if not isinstance(logits, Tensor):
        raise ValueError(f"the network returns {type(logits).__name__}: give one that returns logits (batch, classes)")
    return last


def units(model: nn.Module) -> Iterator[tuple[str, nn.Module, bool]]:
    """What of a network is put into stages as a whole.

    Args:
        model: The network.

    Yields:
        The path, the module and whether it is a normalisation layer, of each module that has parameters or buffers:
        library modules with all that is inside, of other modules only what they hold themselves.
    """
    inside: set[nn.Module] = set()
    for path, module in model.named_modules():
        if module in inside:
            continue
        if is_library_module(module):
            inside.update(module.modules())
            if any(True for _ in (*module.parameters(), *module.buffers())):
                yield path, module, is_norm(module)
        elif any(t is not None for t in (*module._parameters.values(), *module._buffers.values())):
            own = nn.Module()
            # The same dictionaries, no copies: a tensor moved or replaced here is moved or replaced in the network.
            own._parameters, own._buffers = module._parameters, module._buffers
            own._non_persistent_buffers_set = module._non_persistent_buffers_set
            yield path, own, is_norm(module)
