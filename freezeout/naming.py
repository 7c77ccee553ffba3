"""Names: the options of the configuration groups, and a run's name in a table, a legend or a title.

Names are derived: an option is a file in conf/, and a strategy's class says which of its fields are swept. Standard
library only, apart from PyYAML to read the files of conf/.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import Any

from freezeout.strategies import STRATEGIES
from freezeout.strategy import INDEX

PACKAGE = Path(__file__).parent
# Top-level keys that the full title of a run names elsewhere, or that have no effect on a run.
NAMED_APART = ("t_0", "seed", "compat", "out", "data_dir")
TITLES = {"freezeout": "FreezeOut", "shortened": "shortened baseline", "autofreeze": "AutoFreeze"}


def folder(name: str) -> Path:
    """The folder `conf` or `sweeps`: inside the package when installed from a wheel, beside it in a checkout."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def options(group: str) -> list[str]:
    """The options of a configuration group, sorted; of "sweeps", the sweep files."""
    where = folder("sweeps") if group == "sweeps" else folder("conf") / group
    return sorted(path.stem for path in where.glob("*.yaml"))


@cache
def option_file(path: Path) -> tuple[str | None, dict[str, Any]]:
    """The schema that an option's file in conf/ fills in, and the values that it sets.

    The values include those of the file from which it takes its defaults; interpolations are not resolved.
    """
    import yaml

    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    schema: str | None = None
    values: dict[str, Any] = {}
    for entry in found.pop("defaults", []):
        if not isinstance(entry, str) or entry == "_self_":
            continue
        if entry.startswith("/schema/"):
            schema = entry.rpartition("/")[2].partition("@")[0]
        elif (source := path.with_name(f"{entry}.yaml")).exists():
            schema, values = option_file(source)
    return schema, values | found


def data_set(dataset: Mapping[str, Any] | None) -> str | None:
    """The name of a data set; npz archives are named after their first file: `cifar10 (npz)`."""
    name, files = (dataset or {}).get("name"), (dataset or {}).get("train")
    if name != "npz" or not isinstance(files, list | tuple) or not files:
        return name
    stem = re.sub(r"[_.-]?train\w*$", "", Path(str(files[0])).stem)
    return f"{stem} ({name})" if stem else name


def schema_of(group: str, option: str) -> str | None:
    """The name of the schema that an option fills in: `wide_resnet` for `wrn_10_1`."""
    return option_file(folder("conf") / group / f"{option}.yaml")[0]


def option_of(group: str, config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The option that a section of a configuration came from, and the fields that differ from it.

    Args:
        group: The section: "model", "strategy", ...
        config: The configuration as plain data, or the known part of it; the section has its `name` (that of its
            schema) and its fields.

    Returns:
        The option with the fewest differing fields, and these fields. In a tie between options that match exactly, one
        whose name is not the schema's (`wrn_40_4`, not `wide_resnet`); in a tie between others, the one named after the
        schema. An option is left out if a field differs that distinguishes it from the one named after the schema: a
        network of depth 16 is no `wrn_10_1`. If no option has that schema, the schema's name and all fields.
    """
    name = str(config[group]["name"])
    given = {key: value for key, value in config[group].items() if key != "name"}

    def differing(values: dict[str, Any]) -> dict[str, Any]:
        known = {key: value for key, value in given.items() if key in values or value not in (None, {}, [])}
        return {k: v for k, v in known.items() if k not in values or not _same(v, values[k], config)}

    files = {option: values for option, (schema, values) in _files(group).items() if schema == name}
    plain = files.get(name)

    def misnamed(values: dict[str, Any], other: dict[str, Any]) -> bool:
        return plain is not None and any(key in other and values[key] != plain.get(key) for key in values)

    known = [(option, values, differing(values)) for option, values in files.items()]
    found = [(option, other) for option, values, other in known if not misnamed(values, other)]
    rank = [(len(other), (option == name) != bool(other)) for option, other in found]
    return found[rank.index(min(rank))] if found else (name, given)


@cache
def _files(group: str) -> dict[str, tuple[str | None, dict[str, Any]]]:
    """The schema and values of each option of a group; cached, because thousands of records ask for them."""
    return {option: option_file(folder("conf") / group / f"{option}.yaml") for option in options(group)}


def _same(value: Any, written: Any, config: Mapping[str, Any]) -> bool:
    """Whether a value equals the one written in a file; interpolations are resolved in `config`."""
    if isinstance(written, str) and (reference := re.fullmatch(r"\$\{(?:oc\.env:(\w+),)?(\w+)\}", written)):
        variable, key = reference.groups()
        if not variable and key not in config:
            return True  # a value that is not known cannot differ
        written = os.environ.get(variable, key) if variable else config[key]
    if isinstance(value, float):
        try:
            return value == float(written)  # YAML reads 1e-4 as a string
        except (TypeError, ValueError):
            return False
    return value == written


def command(config: Mapping[str, Any]) -> str:
    """The command that repeats a run, with the overrides that differ from the defaults; the output folder is left out.

    Args:
        config: The run's configuration as plain data, as in its record.
    """
    _, defaults = option_file(folder("conf") / "config.yaml")
    words = []
    for group, section in config.items():
        if isinstance(section, Mapping) and "name" in section and group != "tracker":
            words += _group_words(group, config)
    for key, value in config.items():
        if key != "out" and key in defaults and not isinstance(value, Mapping) and not _same(value, defaults[key], {}):
            words.append(f"{key}={_word(value)}")
    return shlex.join(["python", "-m", "freezeout", *words])


def _group_words(group: str, config: Mapping[str, Any]) -> list[str]:
    """The words of a command that choose an option and override its fields."""
    option, other = option_of(group, config)
    words = [f"{group}={option}"]
    for key, value in other.items():
        if isinstance(value, Mapping):  # Hydra adds a new key to an open dictionary with a plus
            words += [f"+{group}.{key}.{name}={_word(item)}" for name, item in value.items()]
        else:
            words.append(f"{group}.{key}={_word(value)}")
    return words


def with_todays_network(said: str, config: Mapping[str, Any]) -> str:
    """A recorded command with the network as `command` names it today; once it was `model=wrn_10_1 model.depth=16`."""
    todays = _group_words("model", config)
    if " model=" not in said or f" {shlex.join(todays)} " in f"{said} ":
        return said
    words = shlex.split(said)
    own = [i for i, word in enumerate(words) if re.match(r"\+?model[.=]", word)]  # they stand together
    return shlex.join([*words[: own[0]], *todays, *words[own[-1] + 1 :]])


def _word(value: Any) -> str:
    """A value in the syntax of Hydra's overrides."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_word, value))}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{_word(item)}' for key, item in value.items())}}}"
    text = str(value)
    return text if re.fullmatch(r"[\w./:+-]+", text) else "'" + text.replace("'", "\\'") + "'"


def name_of(table: dict[str, type], section: Any) -> str:
    """The key of `table` whose class `section` is an instance of."""
    return next(name for name, schema in table.items() if type(section) is schema)


def network(section: dict[str, Any] | None) -> str | None:
    """A network as users type it: `wrn_10_1`, or `wide_resnet (depth 16, widen 1)` if no option has these fields.

    Args:
        section: The `model` section of a run's configuration: `name` and the fields. If no option matches, fields that
            are zero, null or empty are left out.
    """
    if not section:
        return None
    name = str(section.get("name"))
    option, other = option_of("model", {"model": section})
    if option != name and not other:
        _, values = option_file(folder("conf") / "model" / f"{option}.yaml")
        if values.keys() <= section.keys():
            return option
    words = ", ".join(f"{key} {_shown(value)}" for key, value in section.items() if key != "name" and value)
    return f"{name} ({words})" if words else name


def counted(n: int, noun: str) -> str:
    """`1 run`, `39 runs`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def duration(seconds: float) -> str:
    """`40 s`, `4.2 min`, `7.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def swept_fields(strategy: str | None) -> tuple[str, ...]:
    """The fields that are varied along a curve of this strategy; () for an unknown strategy."""
    return STRATEGIES[strategy].swept if strategy in STRATEGIES else ()


def swept(strategy: dict[str, Any]) -> str:
    """The swept fields of a strategy section with their values: `t_0=0.5`, `budget=0.4`; "" if it has none."""
    names = swept_fields(strategy.get("name"))
    return ", ".join(f"{name}={_shown(strategy[name])}" for name in names if name in strategy)


def label_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The parts that distinguish a configuration from others of its sweep: strategy, epochs and, if any, views.

    Args:
        config: A run's configuration as plain data, with its augmentation resolved.
    """
    views = {key: (config.get("augment") or {}).get(key) for key in ("views", "views_from")}
    strategy = config.get("strategy")
    if isinstance(strategy, Mapping):  # older labels have no depth
        strategy = {key: value for key, value in strategy.items() if (key, value) != ("depth", INDEX)}
    found = {"strategy": strategy, "epochs": config.get("epochs")}
    return found | {key: value for key, value in views.items() if value is not None}


def series(label: dict[str, Any]) -> str:
    """The curve of a configuration: its strategy and every field that is neither swept nor at its default.

    Args:
        label: See `label_of`. how_scale and scale_lr are always named: they are the paper's variants.
    """
    strategy = label["strategy"]
    name = str(strategy.get("name"))
    plain = _defaults(name)
    words = [TITLES.get(name, name)]
    for key, value in strategy.items():
        if key == "how_scale":
            words.append(str(value))
        elif key == "scale_lr":
            words.append("scaled" if value else "unscaled")
        elif key not in ("name", "epochs", *swept_fields(name)) and plain.get(key, MISSING) != value:
            words.append(f"{key}={_shown(value)}")
    rest = {key: value for key, value in label.items() if key not in ("strategy", "epochs", "seed")}
    return " ".join([*words, *(f"{key}={_shown(value)}" for key, value in rest.items())])


def configuration(label: dict[str, Any]) -> str:
    """The full name of a configuration without its epochs, which tables show in a column of their own."""
    return " ".join(filter(None, [series(label), swept(label["strategy"])]))


UNTITLED = ("bn", "const_time", "epochs")  # fields of a strategy that its runs' titles leave out


def run_title(config: dict[str, Any]) -> str:
    """A short title that distinguishes a run from others of its sweep: `freezeout cubic scaled t_0=0.8 seed=1`.

    Args:
        config: The run's configuration as plain data, as in its record.
    """
    given = dict(config["strategy"])
    words = [given.pop("name")]
    if "how_scale" in given:
        words.append(given.pop("how_scale"))
    if "scale_lr" in given:
        words.append("scaled" if given.pop("scale_lr") else "unscaled")
    if given.get("depth") == INDEX:
        del given["depth"]
    words += [f"{k}={_word(v)}" for k, v in given.items() if k not in UNTITLED]
    words += [f"compat={config['compat']}"] if config.get("compat") else []
    return " ".join([*words, f"seed={config['seed']}"])


def full_title(config: Mapping[str, Any]) -> str:
    """A title that is unique to a configuration: network, data set, `run_title` and everything that is not the default.

    For example `wrn_10_1 digits freezeout cubic scaled t_0=0.8 seed=1 epochs=20 optimizer.lr=0.05`. Differences from
    the defaults of conf/ come last, as typed on the command line.

    Args:
        config: The run's configuration as plain data, as in its record. The output folder (`out`) and the tracker are
            left out.
    """
    names, unusual = [], []
    for group, usual in default_options().items():
        if group == "tracker" or group not in config:
            continue
        option, other = option_of(group, config)
        if group in ("model", "dataset"):
            names.append(option)
        elif group == "strategy":  # its title says the others
            other = {key: value for key, value in other.items() if key in UNTITLED}
        elif option != usual:
            unusual.append(f"{group}={option}")
        unusual += [f"{group}.{key}={_word(value)}" for key, value in other.items()]
    _, defaults = option_file(folder("conf") / "config.yaml")
    for key, value in defaults.items():
        if key in config and key not in NAMED_APART and not _same(config[key], value, {}):
            unusual.append(f"{key}={_word(config[key])}")
    return " ".join([*names, run_title(dict(config)), *unusual])


@cache
def default_options() -> dict[str, str]:
    """The option that conf/config.yaml chooses in each group: `{"model": "wrn_10_1", "dataset": "digits", ...}`."""
    import yaml

    entries = yaml.safe_load((folder("conf") / "config.yaml").read_text(encoding="utf-8"))["defaults"]
    chosen = [(group, option) for entry in entries if isinstance(entry, dict) for group, option in entry.items()]
    return {group: option for group, option in chosen if option is not None and not group.startswith("override ")}


def _defaults(name: str) -> dict[str, Any]:
    return {f.name: f.default for f in fields(STRATEGIES[name])} if name in STRATEGIES else {}  # type: ignore[arg-type]


def _shown(value: Any) -> str:
    """A value as users type it, without quotes and with floats rounded to six digits."""
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else _word(value)
