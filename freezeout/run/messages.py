"""Errors of Hydra and OmegaConf in terms of the command line: what was given, the rule, the nearest match."""

from __future__ import annotations

import re
from collections.abc import Callable

from hydra.core.override_parser.overrides_parser import OverrideParseException
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError

from freezeout.checks import nearest
from freezeout.naming import options
from freezeout.run.groups import TABLES, no_such_field

LONGEST = 120  # characters of a typed word that an error repeats


def one_line(error: BaseException) -> str:
    """The message of any error as one line; messages of Hydra, OmegaConf and YAML are reworded.

    Args:
        error: Raised while a configuration was composed, or by one of our checks.

    Returns:
        One line without Hydra's details and advice.
    """
    if isinstance(error, OverrideParseException):
        return unreadable(error.override, str(error))
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        return f"{error.problem_mark.name}, line {error.problem_mark.line + 1}: not YAML: {error.problem}"
    if not isinstance(error, HydraException | OmegaConfBaseException):
        return joined(str(error))
    text = str(error)
    if isinstance(error.__cause__, OmegaConfBaseException) and str(error.__cause__) not in text:
        text += f"\n{error.__cause__}"
    return translated(text)


def shown(word: str) -> str:
    """A word that the user typed, as an error repeats it: on one line, and cut if very long."""
    line = joined(word)
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."


def joined(text: str) -> str:
    """The lines of a text as one."""
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def unreadable(override: str, reason: str) -> str:
    """The line for a word that Hydra's grammar does not allow.

    Args:
        override: The word.
        reason: Hydra's reason.
    """
    key, equals, value = override.partition("=")
    if not equals or not re.fullmatch(r"[+~]{0,2}\w[\w/@:-]*(\.[\w-]+)*", key):
        return f"{shown(override)}: must be KEY=VALUE, as in seed=1 or model.depth=16"
    if match := re.search(r"while evaluating '.*?': (.*)", reason):
        return f"{shown(override)}: {match[1]}"
    if value.startswith("~"):
        return f"{shown(override)}: ~ is not expanded here; write the path in full"
    if {"'", '"'} & set(value):
        return f"{shown(override)}: its quotes do not match"
    return f"{shown(override)}: cannot be parsed; quote special characters twice: \"{key}='{shown(value)}'\""


def translated(text: str) -> str:
    """One line for the message of a Hydra or OmegaConf error, by the first of RULES that fits."""
    for pattern, say in RULES:
        if match := re.search(pattern, text, re.DOTALL):
            return say(match)
    noise = r"(full_key|reference_type|object_type|Set the environment|To append to your config|Config search path)"
    lines = [line.strip() for line in text.splitlines()]
    kept = [line for line in lines if line and not re.match(noise, line) and not line.startswith("provider=")]
    key = re.search(r"full_key: (\S+)", text)
    where = f"{key[1]}: " if key and not any(key[1] in line for line in kept) else ""
    return where + " ".join(dict.fromkeys(kept))


Answer = Callable[[re.Match[str]], str]  # from what RULES found in a message to our line


def must(rule: str) -> Answer:
    """The answer that names what was given and the rule that it breaks."""
    return lambda match: f"{shown(match.groupdict().get('given') or subject(match.string))}: {rule}"


def subject(text: str) -> str:
    """What an error is about: the typed word, or the key and value if they are in a file."""
    if match := re.search(MERGING, text, re.DOTALL):
        return match["given"]
    key = re.search(r"full_key: (\S+)", text)
    value = re.search(r"Value '(.*?)' ", text, re.DOTALL)
    return "=".join(match[1] for match in (key, value) if match)


def no_such_key(match: re.Match[str]) -> str:
    """A key that the dataclass of its node lacks: one of ours, or one of Hydra's own."""
    group = match["path"].partition(".")[0]
    names = [name for name, schema in TABLES.get(group, {}).items() if schema.__name__ == match["schema"]]
    if names:
        rule = no_such_field(group, names[0], match["key"])
    else:
        where = match["path"].rpartition(".")[0]
        rule = f"unknown key {match['path']}; --cfg hydra --package {where} prints what there is"
    return f"{shown(match['given'] or match['path'])}: {rule}"


def unknown_option(match: re.Match[str]) -> str:
    """An option that no folder of options has."""
    group, _, name = match["path"].rpartition("/")
    parent = match["parent"]
    inside = "" if parent in ("config", "hydra/config") else f"{parent}.yaml: "
    return f"{inside}{group}={shown(name)}: unknown{nearest(name, match['options'].split())}"


def unknown_default(match: re.Match[str]) -> str:
    """An entry of the defaults list in a file of options that names nothing."""
    path, _, name = match["path"].rpartition("/")
    known = TABLES.get(path.removeprefix("schema/"), {}) if path.startswith("schema/") else options(path)
    return f"{match['file']}.yaml: {match['path']}: unknown{nearest(name, known)}"


def inside_file(match: re.Match[str]) -> str:
    """A mistake in a file of options, which Hydra names without its ending."""
    return f"{match['file']}.yaml: {translated(match['rest'])}"


MERGING = r"Error merging override (?P<given>.*?)\n"
RULES: list[tuple[str, Answer]] = [
    (r"In '(?P<file>[^'\n]+)': \w+ raised while composing config:\n(?P<rest>.*)", inside_file),
    (
        r"In '(?P<parent>[^'\n]+)': Could not find '(?P<path>.*?)'\s+Available options in '.*?':(?P<options>.*?)"
        r"(\nConfig search path|$)",
        unknown_option,
    ),
    (r"(\+(?P<given>[^\n]*)\n|^)Key '(?P<key>[^']*)' not in '(?P<schema>\w+)'.*?full_key: (?P<path>\S+)", no_such_key),
    (
        r"use \+(?P<given>[^\n]*)\nKey '[^']*' is not in struct",
        lambda match: f"{shown(match['given'])}: a new entry needs a plus: +{shown(match['given'])}",
    ),
    (
        r"An item is already at '[^']*'.\nEither remove \+ prefix: '(?P<given>.*?)'\n",
        lambda match: f"+{shown(match['given'])}: it already exists; leave out the plus",
    ),
    (r"In '(?P<file>[^'\n]+)': Could not load '(?P<path>[^'\n]+)'", unknown_default),
    (r"Multiple values for (?P<given>[^.\n]*)\.", must("an option is chosen without a plus")),
    (r"force-add of config groups is not supported: '(?P<given>.*)'", must("an option is chosen without a plus")),
    (
        r"(Ambiguous value for argument|Sweep parameters) '(?P<given>.*?)'( requires --multirun|\n)",
        must("several values; add -m (--multirun) to run each"),
    ),
    (
        r"Interpolation key '(?P<key>[^']*)' not found\n\s*full_key: (?P<path>\S+)",
        lambda match: f"{match['path']}: there is no {match['key']} to take its value from",
    ),
    (r"Recursive interpolation detected\n\s*full_key: (?P<given>\S+)", must("takes its value from itself")),
    (
        MERGING + r"Value '\{\}' of type 'dict' .*full_key: (?P<key>\S+)",
        lambda match: f"{shown(match['given'])}: {match['key']} is one value and has no fields",
    ),
    (r"could not be converted to Integer", must("must be a whole number")),
    (r"could not be converted to Float", must("must be a number")),
    (r"is not a valid bool", must("must be true or false")),
    (r"is not Optional", must("must not be null")),
    (r"Cannot convert '\w+' to string", must("must be text")),
    (MERGING, must("has the wrong type")),
]
