"""The words of a command line, checked before Hydra composes them: habits, misspelt names and unreadable values."""

from __future__ import annotations

import re

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverrideParseException, OverridesParser
from hydra.core.override_parser.types import Glob, Override

from freezeout.checks import nearest
from freezeout.naming import folder, options
from freezeout.run.config import Config, ConfigError, parse, register
from freezeout.run.groups import TABLES, field_names, is_switch
from freezeout.run.messages import one_line, shown

# Words that people type out of habit, and their names here.
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


def compose_all(overrides: list[str]) -> list[Config]:
    """The checked configurations that overrides describe, one for each combination of the values that they list.

    Args:
        overrides: Words as for `python -m freezeout`.

    Returns:
        The configurations, the last word varying fastest.

    Raises:
        ConfigError: A user's mistake, as one line.
        HydraException: A word does not fit the chosen options; `messages.one_line` gives the line.
    """
    register()
    check_overrides(overrides, multirun=False)
    parsed = OverridesParser.create().parse_overrides(overrides)
    for override in parsed:
        unlisted = override.is_interval_sweep() or isinstance(override.value(), Glob)
        if override.is_sweep_override() and (unlisted or not list(override.sweep_iterator())):
            raise ConfigError(f"{shown(str(override.input_line))}: has no list of values; write KEY=VALUE,VALUE")
    (combinations,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    with initialize_config_dir(str(folder("conf")), version_base="1.3"):
        return [parse(compose("config", list(words))) for words in combinations]


def check_overrides(overrides: list[str], *, multirun: bool, searchpath: bool = False) -> None:
    """Report mistakes in the typed words before Hydra sees them.

    Args:
        overrides: The words, without flags.
        multirun: Whether they describe a sweep (-m).
        searchpath: Whether the user added folders of options, which may have options unknown here.

    Raises:
        ConfigError: One line: the word, what is wrong with it, and the nearest right one.
    """
    before = ""
    for word in overrides:
        check_key(word, before)
        try:
            parsed = OverridesParser.create().parse_overrides([word])[0]
        except OverrideParseException as error:
            raise ConfigError(one_line(error)) from error
        except ValueError as error:  # a number of more digits than Python reads
            raise ConfigError(f"{shown(word)}: cannot be read") from error
        check_value(parsed, multirun=multirun, searchpath=searchpath)
        before = word


def check_key(word: str, before: str) -> None:
    """Refuse a word that names no known key, or does not have the form KEY=VALUE.

    Args:
        word: The word.
        before: The word before it, of which it may be a part.

    Raises:
        ConfigError: One line.
    """
    fields = field_names(Config)
    key, equals, value = word.lstrip("+~").partition("=")
    root = re.split(r"[.@/]", key)[0]
    if word.startswith("~") and root in fields and key.count(".") < 2:
        raise ConfigError(f"{shown(word)}: a key cannot be removed; set another value, as in {key}=VALUE")
    if (not equals and not word.startswith("~")) or not root:
        quoted = f'; quote a value with spaces, as in "{before} {word}"' if "=" in before and word else ""
        known = f", as in {key}=VALUE" if root in fields else ""
        raise ConfigError(f"{shown(word) or 'an empty word'}: must be KEY=VALUE{quoted or known}")
    if key in HABITS:
        note = ": a top-level value, so that it sweeps beside model= and seed=" if key == "strategy.t_0" else ""
        raise ConfigError(f"{shown(f'{key}={value}')}: here it is called {HABITS[key]}{note}; write {HABITS[key]}=...")
    if root not in fields and root != "hydra":
        raise ConfigError(f"{shown(word)}: unknown key {shown(root)}{nearest(root, fields)}")
    if root in fields and key.partition(".")[0] != root:
        raise ConfigError(f"{shown(word)}: {root} is set without {key[len(root)]}, as in {root}=VALUE")
    if key == "hydra":
        raise ConfigError(f"{shown(word)}: a group of fields; set one, as in hydra.verbose=true")


def check_value(parsed: Override, *, multirun: bool, searchpath: bool) -> None:
    """Refuse an option that does not exist, and a sweep's name if a single run is requested.

    Raises:
        ConfigError: One line.
    """
    word, key = str(parsed.input_line), str(parsed.key_or_group)
    value = word.partition("=")[2]
    if key == "sweep" and value in options(
        "sweeps"
    ):  # else one default run would be trained and filed under that sweep
        raise ConfigError(f"{shown(word)}: names a grid of your own; run that file with -m sweeps={value}")
    if key == "sweep" and not multirun and value != "null":
        raise ConfigError(f"{shown(word)}: names a sweep: add -m (python -m freezeout -m {shown(word)} ...)")
    if key == "sweeps" and not multirun and value not in ("null", ""):
        raise ConfigError(f"{shown(word)} names many runs: add -m (python -m freezeout -m {shown(word)})")
    if key == "sweeps" and "," in value:
        raise ConfigError(f"{shown(word)}: one file at a time; run them in turn (shared runs are trained once)")
    group, _, field = key.rpartition(".")
    if is_switch(TABLES[group].values() if group in TABLES else [Config] if not group else [], field):
        check_switch(key, parsed)
    if key not in TABLES and key != "sweeps":
        return
    given = parsed.value()
    if isinstance(given, list | dict):
        first = options(key)[0]
        raise ConfigError(f"{shown(word)}: must be one option, as in {key}={first}; -m {key}=A,B takes several in turn")
    if not parsed.is_sweep_override():
        check_option(key, given, searchpath=searchpath)
    elif parsed.is_choice_sweep() and not isinstance(given, Glob):
        for choice in parsed.sweep_iterator():
            check_option(key, choice, searchpath=searchpath)


def check_switch(key: str, parsed: Override) -> None:
    """Refuse a number other than 0 and 1, which Hydra would take for true.

    Raises:
        ConfigError: One line.
    """
    given = parsed.value()
    is_listed = parsed.is_sweep_override() and not parsed.is_interval_sweep() and not isinstance(given, Glob)
    for value in parsed.sweep_iterator() if is_listed else [given]:
        if isinstance(value, int) and value not in (0, 1):
            raise ConfigError(f"{key}={shown(str(value))}: must be true or false")


def check_option(group: str, option: object, *, searchpath: bool) -> None:
    """Refuse what is not the name of one option.

    Raises:
        ConfigError: One line, with the nearest option.
    """
    name = "null" if option is None else str(option)
    if name in ("", "null") or (name not in options(group) and not searchpath):
        raise ConfigError(f"{group}={shown(name)}: unknown{nearest(name, options(group))}")
