"""From the command line to checked dataclasses: the only file that knows omegaconf.

Schemas are standard library only, so a job is composed and checked before torch is imported or a folder is made.
"""

from __future__ import annotations

import copy
import dataclasses
import re
import textwrap
from dataclasses import dataclass
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import MISSING, DictConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from freezeout.checks import check_at_least, check_share, nearest
from freezeout.compat import check_compat
from freezeout.data.schema import DATASETS, Augment
from freezeout.models.schema import MODELS
from freezeout.naming import folder, name_of, options
from freezeout.run.tracking import TRACKERS
from freezeout.strategies import STRATEGIES
from freezeout.train.schema import MACHINES, OPTIMIZERS

TABLES: dict[str, dict[str, type]] = {
    "model": MODELS,
    "dataset": DATASETS,
    "strategy": STRATEGIES,
    "optimizer": OPTIMIZERS,
    "augment": {"augment": Augment},
    "machine": MACHINES,
    "tracker": TRACKERS,
}

# What people type out of habit, and what it is called here.
HABITS = {
    "experiment": "sweeps",
    "logger": "tracker",
    "wandb": "tracker",
    "trainer": "machine",
    "device": "machine",
    "network": "model",
    "arch": "model",
    "data": "dataset",
    "strategy.t_0": "t_0",
    "t0": "t_0",
    "lr": "optimizer.lr",
    "learning_rate": "optimizer.lr",
    "weight_decay": "optimizer.weight_decay",
    "batch": "batch_size",
    "max_epochs": "epochs",
    "how_scale": "strategy.how_scale",
    "scale_lr": "strategy.scale_lr",
    "precision": "machine.precision",
    "output_dir": "out",
}


class ConfigError(Exception):
    """A user's mistake, as one line: what was given, what is allowed, the nearest match."""


class InUseError(ConfigError):
    """Another process is training this run: no failure in a sweep, where the others go on.

    Args:
        folder: The run's folder.
        holder: ` (pid 4711 on host)` where it is known, else "".
    """

    def __init__(self, folder: str, holder: str = "") -> None:
        super().__init__(folder, holder)
        self.folder, self.holder = folder, holder

    def __str__(self) -> str:
        return f"{self.folder}: another process is training this run{self.holder}"


@dataclass(kw_only=True)
class Config:
    """One run. Groups hold the dataclass of the option that was chosen."""

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
    sweep: str | None = None
    sweeps: Any = None

    def __post_init__(self) -> None:
        check_share("t_0", self.t_0)
        check_at_least("seed", self.seed, 0)
        if self.seed >= 2**63:
            raise ValueError(f"seed={self.seed}: must be less than 2 ** 63")
        if not self.out:
            raise ValueError("out=: must name a folder, as in out=runs")
        check_at_least("epochs", self.epochs, 1)
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
        # A copy in the store: a search path would put the whole checkout on it.
        store.store(group="sweeps", name=path.stem, node=OmegaConf.load(path))
    OmegaConf.register_new_resolver("groups", groups_page, replace=True)


def compose_all(overrides: list[str]) -> list[Config]:
    """The checked configurations that overrides amount to, one for each combination of the values that they list.

    Raises:
        ConfigError: In one line, for the user's mistake.
    """
    register()
    check_overrides(overrides, multirun=False)
    with initialize_config_dir(str(folder("conf")), version_base="1.3"):
        parsed = OverridesParser.create().parse_overrides(overrides)
        (combinations,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
        return [parse(compose("config", list(words))) for words in combinations]


def groups_page() -> str:
    """The groups and their options as --help shows them; Hydra's own list has the schemas in it too."""
    lines = []
    for group in [*TABLES, "sweeps"]:
        lines += textwrap.wrap(
            ", ".join(options(group)), width=110, initial_indent=f"  {group:<11}", subsequent_indent=" " * 13
        )
    return "\n".join(lines)


def parse(composed: DictConfig) -> Config:
    """The checked configuration. Raises ConfigError with one line that names value, rule and remedy."""
    if composed.get("sweeps") is not None:
        raise ConfigError("sweeps= names many runs: add -m (python -m freezeout -m sweeps=NAME)")
    try:
        config = OmegaConf.to_object(composed)
    except MissingMandatoryValue as error:
        missing = sorted(OmegaConf.missing_keys(composed))
        raise ConfigError(f"{', '.join(missing)}: must be given, as in {missing[0]}=VALUE") from error
    except (OmegaConfBaseException, ValueError, TypeError) as error:
        raise ConfigError(one_line(error)) from error
    assert isinstance(config, Config)
    return config


def one_line(error: BaseException) -> str:
    """The message of a Hydra or omegaconf error without its indented details and its advice on stack traces."""
    if isinstance(error, ConfigError):
        return str(error)
    texts = [str(error), *([str(error.__cause__)] if isinstance(error.__cause__, OmegaConfBaseException) else [])]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    noise = r"(full_key|reference_type|object_type|Set the environment|To append to your config)"
    kept = [x for x in lines if x and not re.match(noise, x)]
    if match := re.search(r"Key '(\w+)' not in '(\w+)'", " ".join(kept)):
        schemas = {schema.__name__: schema for table in TABLES.values() for schema in table.values()}
        if schema := schemas.get(match[2]):
            kept.append(f"there is no {match[1]}{nearest(match[1], [f.name for f in dataclasses.fields(schema)])}")
    keys = [x.split(":", 1)[1].strip() for x in lines if x.startswith("full_key:")]
    where = f"{keys[0]}: " if keys and keys[0] and not any(keys[0] in x for x in kept) else ""
    return where + " ".join(dict.fromkeys(kept))


def check_overrides(overrides: list[str], *, multirun: bool, searchpath: bool = False) -> None:
    """Answer habits and misspelt names before Hydra does, each with the nearest right one. Raises ConfigError.

    searchpath: the user added folders of their own, so an unknown option may be one of theirs and Hydra decides.
    """
    fields = [f.name for f in dataclasses.fields(Config)]
    for override in overrides:
        key, equals, value = override.lstrip("+~").partition("=")
        if not equals:
            continue
        if key in HABITS:
            note = ": a top-level value, so that it sweeps beside model= and seed=" if key == "strategy.t_0" else ""
            raise ConfigError(f"{key}={value}: here it is called {HABITS[key]}{note}; write {HABITS[key]}=...")
        root = re.split(r"[.@/]", key)[0]
        if root not in fields and root != "hydra":
            raise ConfigError(f"{override}: there is no {root}{nearest(root, fields)}")
        if key == "sweeps" and not multirun and value not in ("null", ""):
            raise ConfigError(f"sweeps={value} names many runs: add -m (python -m freezeout -m sweeps={value})")
        if key == "sweeps" and "," in value:
            raise ConfigError(f"sweeps={value}: one file at a time; give them in turn, what they share is trained once")
        if key in TABLES or key == "sweeps":
            choices = value.split(",") if re.fullmatch(r"[\w,.-]*", value) else []
            for choice in choices:
                if choice in ("", "null") or (choice not in options(key) and not searchpath):
                    raise ConfigError(f"{key}={choice}: unknown{nearest(choice, options(key))}")


def describe(config: Config) -> dict[str, Any]:
    """The resolved configuration as plain data, each group with the name of its option: what the record keeps."""
    plain = {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if f.name not in ("sweeps", "sweep")}
    for group in TABLES:
        plain[group] = {"name": name_of(TABLES[group], plain[group]), **dataclasses.asdict(plain[group])}
    return plain


def unread(config: Config, overrides: list[str]) -> str | None:
    """A sentence when t_0 was given and the chosen strategy does not read it."""
    if any(o.partition("=")[0] == "t_0" for o in overrides) and not hasattr(config.strategy, "t_0"):
        return f"t_0={config.t_0:g} has no effect: strategy {name_of(STRATEGIES, config.strategy)} does not read it"
    return None


def plain_yaml(document: dict[str, Any]) -> str:
    return OmegaConf.to_yaml(OmegaConf.create(document))


def without_hydra(composed: DictConfig) -> DictConfig:
    """The job's own part of a composed configuration."""
    task = copy.deepcopy(composed)
    with open_dict(task):
        del task["hydra"]
    return task
