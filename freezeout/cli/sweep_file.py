"""The allowed content of a file of sweeps/, and errors about anything else."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from freezeout.checks import nearest
from freezeout.run.config import ConfigError
from freezeout.run.groups import TABLES
from freezeout.run.overrides import check_overrides


def key_of(override: str) -> str:
    """`model.depth` of `+model.depth=16`."""
    return override.lstrip("+~").partition("=")[0]


@dataclass(kw_only=True)
class SweepFile:
    """The runs that answer one question: every arm under every seed.

    Attributes:
        name: The chosen option of the group `sweeps`; also the sweep's name.
        arms: Lists of overrides `KEY=VALUE`. A value may itself sweep (`t_0=0.2,0.4`).
        seeds: The seeds of every arm that does not set its own.
        common: Overrides of all arms. An arm's own key replaces a common one.
        packed: Whether finished runs whose record is kept with the program (`python -m analysis archive`) count as
            done, wherever they were trained.
        margin: A difference of the error that does not matter, in per cent of it; fixed before anything is run.
    """

    name: str
    arms: list[list[str]]
    seeds: list[int]
    common: list[str] = field(default_factory=list)
    packed: bool = False
    margin: float | None = None

    @property
    def path(self) -> str:
        """The file's name in messages."""
        return f"sweeps/{self.name}.yaml"

    @property
    def shared(self) -> list[str]:
        """The overrides that every arm starts from."""
        return [*self.common, f"seed={','.join(map(str, self.seeds))}"]


def checked(name: str, content: Any, options: Callable[[str], list[str]]) -> SweepFile:
    """The sweep that a file describes.

    Args:
        name: The option of the group `sweeps` that was chosen.
        content: The file's content as plain data.
        options: Gives the options of a group, including those in the user's own folders.

    Raises:
        ConfigError: One line that names the file, the arm, the value, what is allowed and the nearest match.
    """
    path = f"sweeps/{name}.yaml"
    example = "arms: [[strategy=baseline], [strategy=freezeout, 't_0=0.5,0.8']]"
    if content is None or content == {}:
        raise ConfigError(f"{path} is empty; it must hold arms and seeds, as in {example}")
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds a {type(content).__name__}; it must hold arms and seeds, as in {example}")
    allowed = [f.name for f in fields(SweepFile) if f.name != "name"]
    for key in content:
        if key not in allowed:
            raise ConfigError(f"{path}: unknown key {key}{nearest(str(key), allowed)}")
    for key, right in {"arms": example, "seeds": "seeds: [0, 1, 2]"}.items():
        if not isinstance(content.get(key), list) or not content[key]:
            given = f"{key}={content[key]}" if key in content else f"{key} is missing"
            raise ConfigError(f"{path}: {given}: must be a list, as in {right}")
    for seed in content["seeds"]:
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise ConfigError(f"{path}: seeds={content['seeds']}: {seed} is not a whole number >= 0")
    if not isinstance(content.get("packed", False), bool):
        raise ConfigError(f"{path}: packed={content['packed']}: must be true or false")
    margin = content.get("margin", 1.0)
    if isinstance(margin, bool) or not isinstance(margin, int | float) or not 0 < margin < 100:
        raise ConfigError(f"{path}: margin={margin}: must be per cent of the error, above 0 and below 100, as in 1.5")
    for number, arm in enumerate(content["arms"], 1):
        _check_overrides(f"{path}, arm {number}", arm, options)
    _check_overrides(f"{path}, common", content.get("common", []), options)
    return SweepFile(name=name, **content)


def _check_overrides(where: str, overrides: Any, options: Callable[[str], list[str]]) -> None:
    if not isinstance(overrides, list):
        raise ConfigError(f"{where}: {overrides}: must be a list of overrides, as in [strategy=baseline, epochs=20]")
    for override in overrides:
        if not isinstance(override, str) or "=" not in override:
            hint = "quote a value that holds a comma, as in 't_0=0.2,0.4'"
            raise ConfigError(f"{where}: {override}: must be KEY=VALUE; {hint}")
        if key_of(override) in ("sweep", "sweeps"):
            raise ConfigError(f"{where}: {override}: not allowed in a sweep file; leave it out")
        try:
            check_overrides([override], multirun=True, searchpath=True)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error
        key, _, value = override.partition("=")
        if key in TABLES and re.fullmatch(r"[\w,.-]+", value):
            for option in value.split(","):
                if option not in options(key):
                    raise ConfigError(f"{where}: {key}={option}: unknown{nearest(option, options(key))}")
