"""FreezeOut: train faster by freezing early layers on a schedule (Brock et al. 2017, arXiv 1706.04983)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freezeout.freeze import FreezeOut as FreezeOut
    from freezeout.layers import freeze_layers as freeze_layers
    from freezeout.run.trained import load_run as load_run
    from freezeout.stages.chain import Chain as Chain
    from freezeout.stages.chain import find_stages as find_stages

__version__ = "0.1.0"
__all__ = ["Chain", "FreezeOut", "find_stages", "freeze_layers", "load_run"]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str):
    # Late, so that a wrong flag on the command line is answered before torch is imported (2 to 4 seconds).
    if name == "FreezeOut":
        from freezeout.freeze import FreezeOut

        return FreezeOut
    if name == "freeze_layers":
        from freezeout.layers import freeze_layers

        return freeze_layers
    if name in ("Chain", "find_stages"):
        from freezeout.stages import chain

        return getattr(chain, name)
    if name == "load_run":
        from freezeout.run.trained import load_run

        return load_run
    raise AttributeError(f"module 'freezeout' has no attribute {name!r}")
