"""Composes the jobs of a sweep quickly: calls Hydra once per choice of options, and inserts values into its result.

Hydra takes a tenth of a second per job, mostly to find and merge files. These depend only on the chosen options
(`model=`, `strategy=`, ...), so a sweep of thousands of runs needs Hydra only a few times.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from freezeout.run import config as configuration
from freezeout.run.config import Config, ConfigError
from freezeout.run.groups import TABLES
from freezeout.run.messages import one_line

# Raised when a job with wrong overrides is composed. Hydra raises ValueError for an option that is not a word.
MISTAKES = (ConfigError, HydraException, OmegaConfBaseException, ValueError)
SCALARS = (str, int, float, type(None))


class Composer:
    """From a job's overrides to its checked configuration, as Hydra would compose it.

    Args:
        loader: Hydra's loader, which knows where the groups are.
        master: The configuration that Hydra composed for the sweep as a whole.
    """

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        self._loader, self._master = loader, master
        self._parser = OverridesParser.create(config_loader=loader)
        self._parsed: dict[str, Override] = {}
        self._choosing: dict[str, bool] = {}
        self._composed: dict[tuple[str, ...], Template] = {}
        self._replicated: dict[tuple[str, ...], Config] = {}

    def parse(self, override: str) -> Override:
        """The override as Hydra's grammar reads it. Raises ConfigError for one that it cannot read."""
        if override not in self._parsed:
            try:
                self._parsed[override] = self._parser.parse_overrides([override])[0]
            except HydraException as error:
                raise ConfigError(one_line(error)) from error
        return self._parsed[override]

    def options(self, group: str) -> list[str]:
        """All options of a group, including those in the user's own folders."""
        hydra = self._master.hydra
        return self._loader.get_group_options(
            group, config_name=hydra.job.config_name, overrides=list(hydra.overrides.hydra)
        )

    def option(self, group: str, overrides: list[str]) -> str:
        """The option of `group` that a job with these overrides has chosen."""
        return self._of_options(overrides).options[group]

    def has_field(self, key: str, overrides: list[str]) -> bool:
        """Whether the chosen option has the field of a key such as `strategy.how_scale`; True for all other keys."""
        group, _, path = key.partition(".")
        if not path or group not in TABLES:
            return True
        known = self._of_options(overrides).fields[group]
        return known is None or path.partition(".")[0] in known

    def config(self, overrides: list[str]) -> Config:
        """The checked configuration. Raises ConfigError, or Hydra's or omegaconf's own errors."""
        seed = [o for o in overrides if o.startswith("seed=")]
        rest = tuple(o for o in overrides if o not in seed)
        value = self.parse(seed[0]).value() if len(seed) == 1 else None
        if type(value) is not int or not 0 <= value < 2**63 or self._reads_seed(overrides):
            return self._of_job(overrides)
        if rest not in self._replicated:
            self._replicated[rest] = self._of_job(overrides)
        return dataclasses.replace(self._replicated[rest], seed=value)

    def _reads_seed(self, overrides: list[str]) -> bool:
        """Whether a value depends on the seed, so that replicates differ in more than the seed."""
        return self._of_options(overrides).reads_seed or any("seed}" in override for override in overrides)

    def _of_job(self, overrides: list[str]) -> Config:
        parsed = [self.parse(override) for override in overrides]
        if not all(_is_plain(override) for override in parsed):
            return self._by_hydra(overrides)
        values = [(o.key_or_group, o.value()) for o in parsed if o.key_or_group not in TABLES]
        template = self._of_options(overrides)
        before: dict[str, Any] = {key: template.written(key) for key, _ in values}
        if all(isinstance(one, SCALARS) for one in [*before.values(), *(value for _, value in values)]):
            composed = template.composed  # restored below: copying it would take longer than everything else
        else:
            composed, before = copy.deepcopy(template.composed), {}
        try:
            for key, value in values:
                OmegaConf.update(composed, key, value, merge=True)
        except OmegaConfBaseException:
            return self._by_hydra(overrides)  # which reports what is wrong with them
        else:
            return configuration.parse(composed)
        finally:
            for key, written in before.items():
                OmegaConf.update(composed, key, written)

    def _by_hydra(self, overrides: list[str]) -> Config:
        composed = self._loader.load_sweep_config(self._master, overrides)
        return configuration.parse(configuration.without_hydra(composed))

    def _of_options(self, overrides: list[str]) -> Template:
        """The configuration that Hydra composes from the chosen options alone."""
        last = {self.parse(o).key_or_group: o for o in overrides if self._chooses(o)}
        chosen = tuple(sorted(last.values()))
        if chosen not in self._composed:
            composed = self._loader.load_sweep_config(self._master, list(chosen))
            options = {group: str(composed.hydra.runtime.choices[group]) for group in TABLES}
            self._composed[chosen] = Template(configuration.without_hydra(composed), options)
        return self._composed[chosen]

    def _chooses(self, override: str) -> bool:
        """Whether an override chooses an option."""
        if override not in self._choosing:
            parsed = self.parse(override)
            self._choosing[override] = _is_plain(parsed) and parsed.key_or_group in TABLES
        return self._choosing[override]


class Template:
    """The configuration that Hydra composes from some options.

    Args:
        composed: The configuration, every other value at its default.
        options: The option of each group.
    """

    def __init__(self, composed: DictConfig, options: dict[str, str]) -> None:
        self.composed, self.options = composed, options
        self._written = OmegaConf.to_container(composed, resolve=False)
        self.reads_seed = "seed}" in OmegaConf.to_yaml(composed)
        self.fields = {group: self._fields(group) for group in TABLES}

    def _fields(self, group: str) -> set[str] | None:
        """The fields of the chosen option; None if it has no file of fields."""
        node = OmegaConf.select(self.composed, group)
        return {str(key) for key in node} if isinstance(node, DictConfig) else None

    def written(self, key: str) -> object:
        """The value of a key such as `strategy.how_scale` before resolution; a list if there is none."""
        found: object = self._written
        for name in key.split("."):
            found = found.get(name, []) if isinstance(found, dict) else []
        return found


def _is_plain(override: Override) -> bool:
    """Whether an override sets a value or chooses an option; Hydra handles all others."""
    plain = override.type is OverrideType.CHANGE and override.package is None
    return plain and not override.is_hydra_override() and "/" not in override.key_or_group
