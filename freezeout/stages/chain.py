"""A network as an ordered list of stages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from torch import Tensor, nn

from freezeout.stages.traced import cut
from freezeout.stages.tracing import UntraceableError, trace
from freezeout.stages.untraced import partition


class Chain(nn.Module):
    """Stages that run one after another, stage 0 nearest the input: a network that can freeze from the front.

    `stages` maps a name to each stage in running order; `chain(x)` gives the logits (batch, classes).
    `forward`, when given, is the whole network: then the stages are only an ordered partition of its parameters
    (a network that could not be traced), frozen by flags alone, and `executable` is False.
    `smallest` is the least height and width, in pixels, of an image that the network accepts.

    Raises ValueError when a parameter belongs to two stages, or a stage of an executable chain has none.
    """

    def __init__(
        self, stages: Mapping[str, nn.Module], *, smallest: int = 1, forward: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        super().__init__()
        if not stages:
            raise ValueError("a chain needs at least one stage")
        self.stages = nn.ModuleDict(stages)
        self.smallest = smallest
        # Held in a tuple so that nn.Module does not register the whole network a second time.
        self._whole = (forward,)
        check_stages(self)

    @property
    def names(self) -> list[str]:
        return list(self.stages)

    @property
    def executable(self) -> bool:
        """Whether the stages can be run one by one, so that costs and clocks can be taken a stage at a time."""
        return self._whole[0] is None

    def __len__(self) -> int:
        return len(self.stages)

    def __getitem__(self, i: int) -> nn.Module:
        return self.stages[self.names[i]]

    def __iter__(self):
        return iter(self.stages.values())

    def train(self, mode: bool = True) -> Chain:
        super().train(mode)
        if isinstance(self._whole[0], nn.Module):
            self._whole[0].train(mode)  # what has no parameters (dropout, the network itself) is in no stage
        return self

    def forward(self, x: Tensor) -> Tensor:
        whole = self._whole[0]
        if whole is not None:
            return whole(x)
        for stage in self.stages.values():
            x = stage(x)
        return x


def check_stages(stages: Iterable[nn.Module]) -> None:
    """Raise ValueError unless every stage owns a parameter and no parameter is owned twice (by identity)."""
    owner: dict[int, int] = {}
    for i, stage in enumerate(stages):
        parameters = list(stage.parameters())
        if not parameters:
            raise ValueError(f"stage {i} has no parameters: join it to its neighbour")
        for p in parameters:
            if owner.setdefault(id(p), i) != i:
                raise ValueError(
                    f"stages {owner[id(p)]} and {i} share a parameter of shape {tuple(p.shape)}: join them"
                )


def check_coverage(stages: Iterable[nn.Module], model: nn.Module) -> None:
    """Raise ValueError naming the first parameter of `model` that no stage owns."""
    owned = {id(p) for stage in stages for p in stage.parameters()}
    for name, p in model.named_parameters():
        if id(p) not in owned:
            raise ValueError(f"parameter {name} belongs to no stage")


def find_stages(model: nn.Module, example: Tensor) -> Chain:
    """The stages of any network, found by tracing it with torch.fx; they share its modules and parameters.

    example: images (batch, channels, height, width) that the network accepts, on its device. A stage boundary is a
    point of the graph at which exactly one tensor is live; pieces without parameters or with normalisation only join
    the stage before. `chain(x)` is `model(x)`; train, move and save the chain from here on, not the model.

    Where tracing fails (control flow that depends on data or on the mode), the stages are the parameters in running
    order, frozen by flags alone, and `chain.executable` is False.
    Raises ValueError for a network without parameters or one that does not return a single tensor.
    """
    if isinstance(model, Chain):
        return model
    if next(model.parameters(), None) is None:
        raise ValueError("the network has no parameters: there is nothing to train or to freeze")
    try:
        traced = trace(model, example)
    except UntraceableError:
        chain = Chain(partition(model, example), forward=model)
    else:
        chain = Chain(cut(traced, model))
    check_coverage(chain, model)
    return chain.train(model.training)
