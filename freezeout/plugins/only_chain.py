"""How a plug-in finds the stages of a model that the user wrapped for the framework."""

from __future__ import annotations

from torch import nn

from freezeout.stages.chain import Chain


def only_chain(module: nn.Module, asked_by: str) -> Chain:
    """The only Chain among a module's attributes, as made by `find_stages`.

    Args:
        module: The framework's module around the network.
        asked_by: Name of the plug-in's class, for the error message.

    Raises:
        ValueError: There is none, or more than one.
    """
    chains = [child for child in module.children() if isinstance(child, Chain)]
    if len(chains) != 1:
        raise ValueError(
            f"{type(module).__name__} has {len(chains)} Chains: make its network one (freezeout.find_stages), or say "
            f"which with {asked_by}(..., stages=lambda module: ...)"
        )
    return chains[0]
