"""A network's forward pass in two parts: frozen stages, prepared and without autograd, then active stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from freezeout.stages.prefix import Prefix


class Forward:
    """Runs stages one after another, the frozen ones from prepared weights (see `freezeout.stages.fold`).

    Weights are prepared again when the originals are written to, as by load_state_dict, or replaced, as by to(device),
    or when autocast is switched. Writes through .data (p.data.copy_) cannot be detected.

    Args:
        stages: In running order.
        frozen: Returns the number of stages that are frozen now; it must never decrease.
        pure: Whether the output of frozen stages depends on their input alone (see `Prefix`).
    """

    def __init__(self, stages: Sequence[nn.Module], frozen: Callable[[], int], *, pure: bool) -> None:
        self._stages = stages
        self._frozen = frozen
        self._pure = pure
        self._prefix: Prefix | None = None
        self._made_for: tuple[torch.dtype | None, list[tuple[int, int]]] | None = None
        self._sources: list[Tensor] = []

    def __call__(self, x: Tensor) -> Tensor:
        """Images (batch, channels, height, width) to logits (batch, classes)."""
        first = self._frozen()
        if first:
            x = self._prepared(x.device.type, first)(x)
        for stage in self._stages[first:]:
            x = stage(x)
        return x

    def _prepared(self, device: str, first: int) -> Prefix:
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        if self._prefix is None or self._made_for != (dtype, stamps(self._sources)):
            self._prefix = Prefix(self._stages, self._frozen, pure=self._pure, fold=True, dtype=dtype)
            self._made_for = None
        if self._prefix.grow() or self._made_for is None:
            frozen = self._stages[:first] if self._pure else []  # others run as they are
            self._sources = [t for stage in frozen for t in (*stage.parameters(), *stage.buffers())]
            self._made_for = dtype, stamps(self._sources)
        return self._prefix


def stamps(tensors: Sequence[Tensor]) -> list[tuple[int, int]]:
    """Values that change when tensors are written to or get other memory, as after p.data = q."""
    return [(t._version, t.data_ptr()) for t in tensors]
