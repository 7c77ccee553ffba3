"""The stages of a network that cannot be traced: groups of parameters in the order in which they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from freezeout.stages.tracing import LIBRARIES, is_library_module, is_norm, unused_name

LAYERS = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)  # torch's own blocks


def partition(model: nn.Module, example: Any) -> dict[str, nn.Module]:
    """Divides all parameters and buffers of a network into stages, ordered by when they are last read.

    Modules that share a parameter are in one stage. A normalisation layer is in the stage of the layer before it.
    Tensors that are never read are in the last stage, which never freezes. If the network has blocks (see `units`), as
    transformers do, each block is a stage; everything read before the first block is one stage, and so is everything
    read after the last.

    Args:
        model: The network.
        example: An input of the network (see `reads`).

    Returns:
        The stages by name. They hold the network's own tensors and cannot be run.
    """
    last = {key: at for key, (_, at) in reads(model, example).items()}

    def when(unit: nn.Module) -> float:
        tensors: list[Tensor] = [*unit.parameters()] or [*unit.buffers()]
        return max((last[id(t)] for t in tensors if id(t) in last), default=inf)

    parts = sorted(units(model), key=lambda item: when(item[1]))
    at = [i for i, (_, _, kind) in enumerate(parts) if kind == "block"] or [0, len(parts)]
    stages: dict[str, nn.ModuleDict] = {}
    home: dict[int, nn.ModuleDict] = {}
    complete = False  # whether the newest stage holds more than normalisation
    head = False  # whether the newest stage is the one after the last block
    for i, (path, unit, kind) in enumerate(parts):
        has_parameters = any(True for _ in unit.parameters())
        weighty = has_parameters and kind != "norm" and when(unit) < inf
        shared = next((home[id(p)] for p in unit.parameters() if id(p) in home), None)
        after = i > at[-1]
        opens = has_parameters and not head if after else complete and weighty and i >= at[0]
        if shared is None and (not stages or opens):
            stages[unused_name(path, stages)] = nn.ModuleDict()
            complete, head = False, after
        stage = shared if shared is not None else list(stages.values())[-1]
        stage[unused_name(path, list(stage))] = unit
        complete = complete or weighty
        home |= {id(t): stage for t in (*unit.parameters(), *unit.buffers())}
    add_stateless(model, home)
    for encoder in model.modules():
        is_nesting = isinstance(encoder, nn.TransformerEncoder) and encoder.use_nested_tensor
        if is_nesting and nest_in_evaluation not in encoder._forward_pre_hooks.values():
            encoder.register_forward_pre_hook(nest_in_evaluation)
    return dict(stages)


def nest_in_evaluation(encoder: nn.TransformerEncoder, inputs: Any) -> None:
    """Forbid nested tensors in training: torch checks the mode of the first layer only, which may be frozen alone."""
    encoder.use_nested_tensor = not encoder.training


class ModeOf(nn.Module):
    """A stand-in, without tensors, that lets a stage set the mode of a module whose forward may read `self.training`.

    Args:
        module: A module of the network's own; its mode follows the stage's.
    """

    def __init__(self, module: nn.Module) -> None:
        mode = module.training
        self._module = (module,)  # in a tuple, so that it is not a submodule: its tensors are in the stage already
        super().__init__()
        self.training = mode

    @property
    def training(self) -> bool:
        return self._module[0].training

    @training.setter
    def training(self, mode: bool) -> None:
        self._module[0].training = mode


def add_stateless(model: nn.Module, home: dict[int, nn.ModuleDict]) -> None:
    """Put modules without state, such as Dropout, into the stage of the parameters around them, to freeze with them.

    If all parameters of a module of the network's own are in one stage, its mode is added to that stage as well: its
    forward may depend on it, as in norms and in blocks that call functional.dropout.

    Args:
        model: The network.
        home: The stage of each parameter and buffer, by its id.
    """
    taken = {id(inner) for stage in home.values() for inner in stage.modules()}
    for path, module in list(model.named_modules())[1:]:
        tensors: list[Tensor] = [*module.parameters()] or [*module.buffers()]
        around = {id(home[id(t)]): home[id(t)] for t in tensors}
        if len(around) == 1:
            (stage,) = around.values()
            if id(module) not in taken and not type(module).__module__.startswith(LIBRARIES):
                stage[unused_name(path, list(stage))] = ModeOf(module)
            for inner_path, inner in module.named_modules(prefix=path):
                if id(inner) not in taken and not [*inner.children(), *inner.parameters(), *inner.buffers()]:
                    stage[unused_name(inner_path, list(stage))] = inner
                    taken.add(id(inner))


def reads(model: nn.Module, example: Any) -> dict[int, tuple[int, int]]:
    """When each parameter and buffer of a network is first and last read in a forward pass in evaluation mode.

    Args:
        model: The network; its modes are unchanged afterwards.
        example: Images (batch, channels, height, width) that the network accepts; a mapping of named inputs; or a tuple
            of inputs.

    Returns:
        By the tensor's id, the numbers of the first and the last torch call that read it, counted from 1. Tensors that
        are never read are absent.

    Raises:
        ValueError: The network returns neither one tensor nor an output with `logits`.
    """
    wanted = {id(t) for t in (*model.parameters(), *model.buffers())}
    found: dict[int, tuple[int, int]] = {}

    class Watch(TorchFunctionMode):
        calls = 0

        def __torch_function__(self, func, types, args=(), kwargs=None):
            self.calls += 1
            note((args, kwargs or {}), self.calls)
            return func(*args, **(kwargs or {}))

    def note(value: Any, call: int) -> None:
        if id(value) in wanted:
            found[id(value)] = found.get(id(value), (call, 0))[0], call
        elif isinstance(value, tuple | list):
            for item in value:
                note(item, call)
        elif isinstance(value, dict):
            note(list(value.values()), call)

    flags = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad(), Watch():
            output = call(model, example)
    finally:
        for module, flag in flags.items():
            module.training = flag
    if not isinstance(getattr(output, "logits", output), Tensor):
        raise ValueError(f"the network returns {type(output).__name__}: give one that returns logits (batch, classes)")
    return found


def call(model: nn.Module, example: Any) -> Any:
    """The network's output for one tensor, a mapping of named inputs or a tuple of inputs."""
    if isinstance(example, Mapping):
        return model(**example)
    return model(*example) if isinstance(example, tuple) else model(example)


def tied_to_the_end(model: nn.Module, example: Any) -> list[str]:
    """Parameters that are read before the first block and after the last one, such as an embedding tied to the head.

    They train to the end, so every backward pass goes through all frozen stages to their first use.
    """
    found = reads(model, example)
    blocks = [unit for _, unit, kind in units(model) if kind == "block"]
    within = [found[id(p)] for unit in blocks for p in unit.parameters() if id(p) in found]
    if not within:
        return []
    start, end = min(first for first, _ in within), max(last for _, last in within)
    spans = ((name, found.get(id(p), (end, end))) for name, p in model.named_parameters())
    return [name for name, (first, last) in spans if first < start and last > end]


def units(model: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """The parts of a network that are never divided between stages.

    Args:
        model: The network.

    Yields:
        Path, module and kind of each part that has parameters or buffers. "block": a member of an nn.ModuleList whose
        members are all of one class, which is the network's own or in LAYERS. "norm" or "layer": a library module with
        everything inside it, or, for any other module, only the tensors that it holds directly.
    """
    inside: set[nn.Module] = set()
    blocks: set[nn.Module] = set()
    for path, module in model.named_modules():
        if module in inside:
            continue
        kind = "block" if module in blocks else "norm" if is_norm(module) else "layer"
        if isinstance(module, nn.ModuleList) and len({type(child) for child in module}) == 1:
            blocks.update(child for child in module if isinstance(child, LAYERS) or not is_library_module(child))
        if kind == "block" or is_library_module(module):
            inside.update(module.modules())
            if any(True for _ in (*module.parameters(), *module.buffers())):
                yield path, module, kind
        elif any(t is not None for t in (*module._parameters.values(), *module._buffers.values())):
            own = nn.Module()
            # The same dictionaries, not copies: a tensor moved or replaced here is moved or replaced in the network.
            own._parameters, own._buffers = module._parameters, module._buffers
            own._non_persistent_buffers_set = module._non_persistent_buffers_set
            yield path, own, kind
