"""Networks as chains, by name. Standard library only until one is built."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from freezeout.checks import raised
from freezeout.models.schema import MODELS

if TYPE_CHECKING:
    from freezeout.stages.chain import Chain

__all__ = ["MODELS", "build", "import_target"]


def build(name: str, classes: int, *, image: tuple[int, int] = (32, 32), **fields: Any) -> Chain:
    """The network `name`, its weights drawn anew, for images of 3 channels and (height, width) `image` pixels.

    fields: those of MODELS[name]. Raises ValueError for an unknown name or field, and for images below the network's
    smallest.
    """
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(MODELS)}"
        raise ValueError(f"model={name}: there is no such network; {hint}")
    try:
        config = MODELS[name](**fields)
    except TypeError as error:
        known = ", ".join(f.name for f in dataclasses.fields(MODELS[name]))
        raise ValueError(f"model={name} has the fields {known}, and was given {', '.join(fields)}") from error
    chain = importlib.import_module(f"freezeout.models.{name}").build(config, classes, image)
    if min(image) < chain.smallest:
        least, got = chain.smallest, f"{image[0]} x {image[1]}"
        raise ValueError(f"{name} needs images of at least {least} x {least} and got {got}: set dataset.size={least}")
    return chain


def import_target(key: str, target: str) -> ModuleType:
    """The module of `target` (package.module:function). The working directory counts as importable, after all else.

    Raises ValueError, naming the configuration key `key`, when it cannot be imported, for whatever reason, or has no
    such function.
    """
    name, _, function = target.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise ValueError(f"{key}={target}: cannot import {name} ({error}): install it or run where it lies") from error
    except (Exception, SystemExit) as error:  # the user's code may raise anything; a script may end the program
        raise ValueError(f"{key}={target}: importing {name} raised {raised(error, name)}") from error
    if not callable(getattr(module, function, None)):
        found = [k for k, v in vars(module).items() if callable(v) and not k.startswith("_")]
        raise ValueError(f"{key}={target}: {name} has no function {function}, it has {', '.join(found) or 'none'}")
    return module
