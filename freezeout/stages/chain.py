"""A network as an ordered list of stages, either built as one or found in any network."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor, fx, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from freezeout.stages.traced import cut
from freezeout.stages.tracing import UntraceableError, trace
from freezeout.stages.untraced import partition, tied_to_the_end

log = logging.getLogger(__name__)


class Chain(nn.Module):
    """Stages that run one after another, stage 0 nearest the input: a network that can freeze from the front.

    `chain(x)` gives the logits (batch, classes) of images x (batch, channels, height, width), `chain[i]` is a stage,
    `len(chain)` their number, and `for stage in chain` goes through them in running order.

    Args:
        stages: Each stage by its name, in running order.
        smallest: The smallest height and width, in pixels, of images that the network accepts.
        forward: The whole network, if it could not be traced and so cannot be run stage by stage. The stages are then
            only a partition of its parameters, ordered by when they are read.

    Attributes:
        smallest: As given.

    Raises:
        ValueError: There is no stage, a stage has no parameters, or a parameter belongs to two stages.
    """

    def __init__(
        self, stages: Mapping[str, nn.Module], *, smallest: int = 1, forward: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        super().__init__()
        if not stages:
            raise ValueError("a chain needs at least one stage")
        self.stages = nn.ModuleDict(stages)
        self.smallest = smallest
        # In a tuple, so that nn.Module does not register the whole network a second time.
        self._whole = (forward,)
        check_stages(self)

    @property
    def names(self) -> list[str]:
        """The names of the stages in running order."""
        return list(self.stages)

    @property
    def executable(self) -> bool:
        """Whether each stage can be run alone, so that its cost can be counted and its time measured.

        If False, a frozen stage still computes no gradients and normalises with its running statistics, but the forward
        pass runs the whole network.
        """
        return self._whole[0] is None

    def __len__(self) -> int:
        return len(self.stages)

    def __getitem__(self, i: int) -> nn.Module:
        return self.stages[self.names[i]]

    def __iter__(self):
        return iter(self.stages.values())

    def network_state_dict(self) -> dict[str, Tensor]:
        """Parameters and buffers by their names in the network in which the stages were found.

        If the chain was built as one, a name is the stage's name followed by the name within the stage (`stem.weight`).
        """
        whole = self._whole[0]
        if isinstance(whole, nn.Module):
            return dict(whole.state_dict())
        found: dict[str, Tensor] = {}
        for name, stage in self.stages.items():
            # A traced stage keeps the paths of the original network.
            prefix = "" if isinstance(stage, fx.GraphModule) else f"{name}."
            found |= {prefix + key: tensor for key, tensor in stage.state_dict().items()}
        return found

    def train(self, mode: bool = True) -> Chain:
        """Sets training or evaluation mode, including that of modules without parameters that are in no stage."""
        super().train(mode)
        if isinstance(self._whole[0], nn.Module):
            self._whole[0].train(mode)
        return self

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Runs all stages.

        Args:
            inputs: Images (batch, channels, height, width). If the chain is not `executable`, any positional arguments
                of the network.
            named: Keyword arguments of the network, if the chain is not `executable`.

        Returns:
            Logits (batch, classes), or whatever the network returns.

        Raises:
            TypeError: The stages run one by one, and the input is not exactly one positional argument.
        """
        whole = self._whole[0]
        if whole is not None:
            return whole(*inputs, **named)
        if named or len(inputs) != 1:
            given = ", ".join([*(type(x).__name__ for x in inputs), *(f"{name}=" for name in named)])
            raise TypeError(
                f"stages that run one by one take one tensor, not ({given}): "
                "find_stages(model, {name: value}) keeps all the network's inputs"
            )
        (x,) = inputs
        for stage in self.stages.values():
            x = stage(x)
        return x


def check_stages(stages: Iterable[nn.Module]) -> None:
    """Refuse stages that cannot be frozen one after another.

    Args:
        stages: The stages in running order.

    Raises:
        ValueError: A stage has no parameters, or two stages share a parameter.
    """
    owner: dict[int, int] = {}
    for i, stage in enumerate(stages):
        parameters = dict(stage.named_parameters())
        if not parameters:
            raise ValueError(
                f"stage {i} has no parameters: join it to its neighbour, or let find_stages(model, example) find stages"
            )
        for name, p in parameters.items():
            if owner.setdefault(id(p), i) != i:
                raise ValueError(f"stages {owner[id(p)]} and {i} share {name} of shape {tuple(p.shape)}: join them")


def check_coverage(stages: Iterable[nn.Module], model: nn.Module) -> None:
    """Refuse stages that leave out a part of a network.

    Args:
        stages: The stages.
        model: The network.

    Raises:
        ValueError: A parameter of `model` belongs to no stage; the message names the first.
    """
    owned = {id(p) for stage in stages for p in stage.parameters()}
    for name, p in model.named_parameters():
        if id(p) not in owned:
            raise ValueError(f"parameter {name} belongs to no stage")


def find_stages(model: nn.Module, example: Any) -> Chain:
    """Finds the stages of any network by tracing it with torch.fx.

    A stage ends where the rest of the network needs exactly one tensor: after a residual block, not inside it. A piece
    without parameters, or with those of normalisation layers only, is joined to the stage before it.

    The network cannot be run stage by stage if tracing fails (control flow that depends on data or random numbers,
    different operations in training and evaluation) or if the graph would lose something (hooks, activation
    checkpoints, values stored as attributes). The stages are then groups of parameters in the order in which they are
    read, `chain.executable` is False, and the log states the reason. In a transformer, each block is then one stage,
    between a stage of its embeddings and a stage of its head.

    Args:
        model: The network. A Chain is returned as it is.
        example: An input of the network, on its device: images (batch, channels, height, width), a tuple of inputs, or
            a mapping of named inputs as Hugging Face's networks take. The chain then takes the same inputs.

    Returns:
        A chain that computes what `model` computes, in the same mode, and is made of the model's own modules and
        parameters. From now on, train, move and save the chain instead of the model.

    Raises:
        ValueError: The network has no parameters, is wrapped for several devices, or returns neither one tensor nor an
            output with `logits`.
    """
    if isinstance(model, Chain):
        return model
    if isinstance(model, DataParallel | DistributedDataParallel):
        name = type(model).__name__  # a module of torch, which would become a single stage, the head
        raise ValueError(f"{name}: find the stages of the wrapped model.module, then FreezeOut.distribute it")
    if next(model.parameters(), None) is None:
        raise ValueError("the network has no parameters: there is nothing to train or to freeze")
    try:
        if not isinstance(example, Tensor):
            raise UntraceableError("its input is not one tensor")
        traced = trace(model, example)
    except UntraceableError as error:
        chain = Chain(partition(model, example), forward=model)
        log.warning(
            "%s runs as a whole, its %d stages frozen by flags: %s", type(model).__name__, len(chain), first_line(error)
        )
        for name in tied_to_the_end(model, example):
            log.warning("%s is used at both ends: it never freezes, and backward passes go all the way to it", name)
    else:
        chain = Chain(cut(traced, model))
    check_coverage(chain, model)
    return chain.train(model.training)


def first_line(error: Exception) -> str:
    """The first line of an error's message; the name of its type if the message is empty."""
    return next(iter(str(error).splitlines()), type(error).__name__)
