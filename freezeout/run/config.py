"""From a composed configuration to checked dataclasses.

Schemas are standard library only, so a job is composed and checked before torch is imported or a folder is made.
"""

from __future__ import annotations

import copy
import dataclasses
import os
import textwrap
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from freezeout.checks import check_at_least, check_name, check_share
from freezeout.compat import check_compat
from freezeout.naming import folder, name_of, options
from freezeout.run.groups import TABLES, field_names, no_such_field
from freezeout.run.limit import end_of
from freezeout.run.messages import one_line
from freezeout.strategies import STRATEGIES
from freezeout.strategy import MOST_EPOCHS

# Fields on who asks for a run and how; they are not part of the run itself.
FOR_THE_COMMAND = ("sweep", "sweeps", "limit", "retry_failed", "planned")


class ConfigError(Exception):
    """A user's mistake, as one line: what was given, what is allowed, the nearest match."""


class InUseError(ConfigError):
    """Another process is training this run; not a failure in a sweep, whose other runs go on.

    Args:
        folder: The run's folder.
        holder: ` (pid 4711 on host)` if known, else "".
    """

    def __init__(self, folder: str, holder: str = "") -> None:
        super().__init__(folder, holder)
        self.folder, self.holder = folder, holder

    def __str__(self) -> str:
        return f"{self.folder}: another process is training this run{self.holder}"


class TakenOverError(InUseError):
    """Another process took this run over while this one was suspended; this one stops and has written nothing since."""

    def __str__(self) -> str:
        return f"{self.folder}: another process took this run over{self.holder}; this one stops"


@dataclass(kw_only=True)
class Config:
    """One run. Each group holds an instance of one of its dataclasses in `groups.TABLES`.

    Attributes:
        model: The network.
        dataset: The images and labels.
        strategy: When stages freeze, and their learning rates.
        optimizer: How the weights are updated.
        augment: The random augmentation of training images.
        machine: Where the run trains, and how its steps are executed.
        tracker: Where its curves are logged besides the record.
        t_0: When the first stage freezes, a fraction of training, for the strategies that read it; in (0, 1].
        seed: Seed of initial weights, order, augmentation and dropout; at least 0, below 2 ** 63.
        epochs: Length of the plain recipe.
        batch_size: Images per step.
        label_smoothing: Share of each label spread over all classes; in [0, 1).
        compat: "original" for the habits of FreezeOut's own code, else None.
        out: The folder of the records.
        data_dir: The folder of downloaded data sets.
        limit: How long the command may take (see `freezeout.run.limit`); None for no limit.
        retry_failed: Whether a sweep retries its failed runs; a single run is always retried.
        sweep: The name of the sweep that the run belongs to, else None.
        planned: The run's id where its sweep was planned, if that was in another process; else None.
        sweeps: Always None in a run; the key of `sweeps=NAME` on the command line.

    Raises:
        ValueError: A value violates its rule. One line.
    """

    model: Any = MISSING
    dataset: Any = MISSING
    strategy: Any = MISSING
    optimizer: Any = MISSING
    augment: Any = MISSING
    machine: Any = MISSING
    tracker: Any = MISSING
    t_0: float = 0.8
    seed: int = 0
    epochs: int = 100
    batch_size: int = 50
    label_smoothing: float = 0.0
    compat: str | None = None
    out: str = "runs"
    data_dir: str = "data"
    limit: str | None = None
    retry_failed: bool = False
    sweep: str | None = None
    planned: str | None = None
    sweeps: Any = None

    def __post_init__(self) -> None:
        check_share("t_0", self.t_0)
        check_at_least("seed", self.seed, 0)
        if self.seed >= 2**63:
            raise ValueError(f"seed={self.seed}: must be less than 2 ** 63")
        for name, given in (("out", self.out), ("data_dir", self.data_dir)):
            if not given:
                raise ValueError(f"{name}=: must name a folder, as in {name}=FOLDER")
        if self.out.startswith("~"):  # Hydra takes `~` literally, and would create a folder of that name
            raise ValueError(f"out={self.out}: ~ is not expanded here; write the path in full")
        end_of(self.limit, began=0.0)
        if self.sweep is not None:
            check_name("sweep", self.sweep)
        check_at_least("epochs", self.epochs, 1, MOST_EPOCHS)
        check_at_least("batch_size", self.batch_size, 1)
        check_share("label_smoothing", self.label_smoothing, zero=True, one=False)
        if self.compat is not None:
            check_compat(self.compat, name_of(STRATEGIES, self.strategy), self.strategy)


def register() -> None:
    """Tell Hydra the schemas and the sweep files. Called once, before composing."""
    store = ConfigStore.instance()
    store.store(name="config_schema", node=Config)
    store.store(group="hydra/sweeper", name="arms", node={"_target_": "hydra_plugins.freezeout.Arms"})
    for group, table in TABLES.items():
        for name, schema in table.items():
            store.store(group=f"schema/{group}", name=name, node=schema)
    for path in sorted(folder("sweeps").glob("*.yaml")):
        # Registered in the store, since a search path would expose the whole checkout.
        store.store(group="sweeps", name=path.stem, node=OmegaConf.load(path))
    OmegaConf.register_new_resolver("groups", groups_page, replace=True)


def groups_page() -> str:
    """The groups and their options as --help shows them, a paragraph each; Hydra's own list has the schemas too."""
    lines = []
    for group in [*TABLES, "sweeps"]:
        lines += textwrap.wrap(
            ", ".join(options(group)), width=110, initial_indent=f"  {group:<11}", subsequent_indent=" " * 13
        )
    return "\n".join(lines)


def parse(composed: DictConfig) -> Config:
    """Check a composed configuration.

    Args:
        composed: The configuration that Hydra composed, without its own `hydra` node.

    Returns:
        The configuration, every group an instance of one of the dataclasses of TABLES.

    Raises:
        ConfigError: A value is missing, of a wrong type, against a rule or beyond this machine. One line.
    """
    if composed.get("sweeps") is not None:
        raise ConfigError("sweeps= names many runs: add -m (python -m freezeout -m sweeps=NAME)")
    try:
        for group in TABLES:
            check_fields(group, composed)
        config = OmegaConf.to_object(composed)
    except MissingMandatoryValue as error:
        missing = sorted(OmegaConf.missing_keys(composed))
        raise ConfigError(f"{', '.join(missing)}: must be given, as in {missing[0]}=VALUE") from error
    except (OmegaConfBaseException, ValueError, TypeError) as error:
        raise ConfigError(one_line(error)) from error
    assert isinstance(config, Config)
    cores = len(os.sched_getaffinity(0))
    if config.machine.threads is not None and config.machine.threads > cores:
        raise ConfigError(
            f"machine.threads={config.machine.threads}: must be at most {cores}, the cores that this process may use"
        )
    return config


def check_fields(group: str, composed: DictConfig) -> None:
    """Refuse an option without one of our schemas, and fields added with `+` that its schema lacks.

    Raises:
        ValueError: One line.
        MissingMandatoryValue: No option is chosen.
    """
    section = composed[group]
    names = {schema: name for name, schema in TABLES[group].items()}
    schema = OmegaConf.get_type(section) if OmegaConf.is_config(section) else None
    if schema not in names:
        raise ValueError(
            f"{group}: the option chosen has no schema; begin its file with the defaults "
            f"[/schema/{group}/NAME@_here_, _self_], NAME one of {', '.join(names.values())}"
        )
    if unknown := [key for key in section if key not in field_names(schema)]:
        raise ValueError(f"{group}.{unknown[0]}: {no_such_field(group, names[schema], unknown[0])}")


def to_dict(config: Config) -> dict[str, Any]:
    """The configuration as plain data: what the record keeps.

    Args:
        config: A checked configuration.

    Returns:
        Its fields except FOR_THE_COMMAND; each group as the `name` of its dataclass in TABLES and its fields.
    """
    names = [f.name for f in dataclasses.fields(config) if f.name not in FOR_THE_COMMAND]
    plain = {name: getattr(config, name) for name in names}
    for group in TABLES:
        plain[group] = {"name": name_of(TABLES[group], plain[group]), **dataclasses.asdict(plain[group])}
    return plain


def unread(config: Config, overrides: list[str]) -> str | None:
    """A warning about a value that was given but has no effect.

    Args:
        config: The configuration that was composed.
        overrides: The words typed.

    Returns:
        A sentence if t_0 was given and the strategy does not read it, else None.
    """
    if any(o.partition("=")[0] == "t_0" for o in overrides) and not hasattr(config.strategy, "t_0"):
        return f"t_0={config.t_0:g} has no effect: strategy {name_of(STRATEGIES, config.strategy)} does not read it"
    return None


def plain_yaml(document: dict[str, Any]) -> str:
    """A document as YAML, its keys in their order."""
    return OmegaConf.to_yaml(OmegaConf.create(document))


def without_hydra(composed: DictConfig) -> DictConfig:
    """A copy of a composed configuration without the settings of Hydra itself."""
    task = copy.deepcopy(composed)
    with open_dict(task):
        del task["hydra"]
    return task
