"""Arms x seeds x swept values -> the jobs of a sweep, each composed and checked.

A field given for a whole sweep applies to the options that have it: `strategy=freezeout,baseline
strategy.how_scale=cubic` sweeps two strategies, of which one has a scale.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from freezeout import naming, records
from freezeout.checks import nearest
from freezeout.cli.composer import MISTAKES, Composer
from freezeout.cli.sweep_file import SweepFile, key_of
from freezeout.run.config import Config, ConfigError
from freezeout.run.groups import TABLES
from freezeout.run.messages import one_line

# The keys of a record that a sweep uses. It keeps only these, since it has thousands of records and the rest is large.
GOES_BY = ("status", "reason", "diverged", "started", "segments", "seconds")


@dataclass
class Job:
    """One planned run: its overrides and the configuration composed from them.

    Attributes:
        run_id: Names the run; set when it is planned, as is `folder`.
        label: What distinguishes it from the sweep's other runs, besides strategy and seed.
        outcome: Its outcome.
        elsewhere: Whether another process is training it.
        left: Whether the limit kept it from starting, or stopped it.
    """

    overrides: list[str]
    config: Config
    run_id: str = ""
    folder: Path = Path()
    label: str = ""
    outcome: str = "left no record"
    elsewhere: bool = False
    left: bool = False
    _finished: tuple[Path, dict[str, Any]] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def record(self) -> dict[str, Any] | None:
        """The keys of the run's record that a sweep uses (GOES_BY); None if there is no record.

        Also None if it cannot be read: the run itself will report that, and the others continue. The record of a
        finished run is read once, as it no longer changes.
        """
        if self._finished is not None and self._finished[0] == self.folder:
            return self._finished[1]
        try:
            whole = records.read_record(self.folder)
        except ValueError:
            return None
        if whole is None:
            return None
        found = {key: whole[key] for key in GOES_BY if key in whole}
        if records.is_finished(found):
            self._finished = self.folder, found
        return found


@dataclass
class _Use:
    """Where the key of an override applies: the options that have the field and those that do not."""

    override: str
    where: str
    have: dict[str, None] = field(default_factory=dict)
    lack: dict[str, None] = field(default_factory=dict)


def hold_back(words: list[str]) -> list[str]:
    """The words typed, with `strategy.how_scale=cubic` as `strategy.how_scale=cubic,cubic`.

    Before a sweep is expanded, Hydra composes the overrides that do not sweep with the default options, where a field
    that these lack would be an error. Overrides that sweep are left to the sweeper, which drops the repeated value.
    """
    parser = OverridesParser.create()
    field_of_group = re.compile(rf"({'|'.join(TABLES)})\.[^=]+=.+")
    found = []
    for word in words:
        try:
            lone = bool(field_of_group.fullmatch(word)) and not parser.parse_overrides([word])[0].is_sweep_override()
        except HydraException:  # Hydra meets the error again, and reports it
            lone = False
        found.append(f"{word},{word.partition('=')[2]}" if lone else word)
    return found


def typed(arguments: list[str], composer: Composer) -> list[str]:
    """The overrides of the command line as they were typed, without `sweeps=`."""
    found = []
    for argument in arguments:
        override = composer.parse(argument)
        values = set(override.sweep_string_iterator()) if override.is_choice_sweep() else ()
        found.append(f"{override.get_key_element()}={next(iter(values))}" if len(values) == 1 else argument)
    return [override for override in found if key_of(override) != "sweeps"]


def expand(given: list[str], file: SweepFile | None, composer: Composer) -> tuple[list[Job], list[str]]:
    """All jobs of a sweep and notes about them.

    Args:
        given: The overrides of the command line, without `sweeps=`; they take the place of the file's.
        file: The sweep file, or None for the overrides alone.
        composer: Composes the jobs.

    Returns:
        The jobs in the file's order, duplicates included, and one line for each field that does not apply to all.

    Raises:
        ConfigError: One line that says what is wrong and, for an error in the file, in which arm.
    """
    uses: dict[tuple[int, str], _Use] = {}
    found: list[tuple[str, list[str]]] = []
    for number, arm in enumerate(file.arms if file else [[]], 1):
        where = f"{file.path}, arm {number}: " if file else ""
        own = _without(arm, given)
        shared = _without(file.shared if file else [], given)
        # A field that an arm gives is judged within the arm, all others within the whole sweep.
        judged = {key_of(o): (0, f"{file.path}, common: ") for o in shared} if file else {}
        judged |= {key_of(o): (number, where) for o in own} | {key_of(o): (0, "") for o in given}
        for combination in _combinations([*shared, *own, *given], composer, where, given):
            try:
                found.append((where, _applicable(combination, judged, composer, uses)))
            except MISTAKES as error:
                raise ConfigError(_located(error, where, given)) from error
    for (_, key), use in uses.items():
        if not use.have:
            raise ConfigError(use.where + _nobody_has(key, use))
    jobs = []
    for where, overrides in found:
        try:
            jobs.append(Job(overrides, composer.config(overrides)))
        except MISTAKES as error:
            raise ConfigError(_located(error, where, given)) from error
    notes = [
        f"note: {key} applies to {', '.join(use.have)}; {', '.join(use.lack)} "
        f"{'has' if len(use.lack) == 1 else 'have'} no such field"
        for (_, key), use in uses.items()
        if use.lack
    ]
    return jobs, list(dict.fromkeys(notes))


def _without(overrides: list[str], given: list[str]) -> list[str]:
    """The overrides that are not replaced: strategy=baseline also replaces strategy.budget=0.4."""
    keys = {key_of(override) for override in given}
    return [o for o in overrides if not keys & {key_of(o), key_of(o).partition(".")[0]}]


def _combinations(overrides: list[str], composer: Composer, where: str, given: list[str]) -> Iterator[list[str]]:
    """Every combination of the values that the overrides name; the last of those with the same key counts."""
    values: dict[str, list[str]] = {}
    for override in overrides:
        try:
            parsed = composer.parse(override)
            values[parsed.get_key_element()] = _values(parsed, composer)
        except ValueError as error:  # from Python, about a range
            raise ConfigError(f"{where}{override}: {error}") from error
        except MISTAKES as error:
            raise ConfigError(_located(error, where, given)) from error
    return map(list, itertools.product(*values.values()))


def _values(override: Override, composer: Composer) -> list[str]:
    """The override once for each of its values."""
    key = override.get_key_element()
    if not override.is_sweep_override():
        return [f"{key}={override.get_value_element_as_str()}"] if override.input_line != key else [key]
    if override.is_interval_sweep():
        raise ConfigError(f"{override.input_line}: an interval has no list of values; write {key}=range(START,STOP)")
    found = [f"{key}={value}" for value in override.sweep_string_iterator()]
    if found:
        return found
    pattern = re.search(r"glob\(\W*(\w*)", override.get_value_string())
    if pattern is None:
        raise ConfigError(f"{override.input_line}: contains no value, so there is nothing to sweep")
    options = composer.options(key)
    if not options:
        raise ConfigError(f"{override.input_line}: {key} is not a config group; write {key}=VALUE,VALUE")
    raise ConfigError(f"{override.input_line}: no option matches{nearest(pattern[1], options)}")


def _applicable(
    overrides: list[str],
    judged: dict[str, tuple[int, str]],
    composer: Composer,
    uses: dict[tuple[int, str], _Use],
) -> list[str]:
    """The overrides whose field the chosen options have; which have it and which have not is noted in `uses`.

    judged: for each key the number of the arm within which it must apply to something (0: the sweep), and its place.
    """
    kept = []
    for override in overrides:
        key = key_of(override)
        added = override.startswith(("+", "~"))
        has = added or composer.has_field(key, overrides)
        if has:
            kept.append(override)
        if key.partition(".")[0] in TABLES and "." in key and not added:
            group = key.partition(".")[0]
            scope, place = judged[key]
            use = uses.setdefault((scope, key), _Use(override, place))
            (use.have if has else use.lack)[composer.option(group, overrides)] = None
    return kept


def _nobody_has(key: str, use: _Use) -> str:
    """`strategy.budget=0.5: baseline has no budget; shortened has it`, or the nearest field."""
    group, _, path = key.partition(".")
    name = path.partition(".")[0]
    owners: dict[str, list[str]] = {}
    for option in naming.options(group):
        for known in fields(TABLES[group][str(naming.schema_of(group, option))]):
            owners.setdefault(known.name, []).append(option)
    chosen = list(use.lack)
    line = f"{use.override}: {group} {', '.join(chosen)} {'has' if len(chosen) == 1 else 'have'} no {name}"
    if name in owners:
        return f"{line}; {', '.join(owners[name])} {'has' if len(owners[name]) == 1 else 'have'} it"
    has = [f for f in owners if set(owners[f]) & set(chosen)]
    if close := get_close_matches(name, has, 1, 0.5) or get_close_matches(name, owners, 1, 0.5):
        of = [option for option in owners[close[0]] if option in chosen] or owners[close[0]]
        line += f"; did you mean {close[0]} (of {', '.join(of)})?"
    return f"{line}{'' if close else '.'} Available: {', '.join(has) or 'none'}"


def _located(error: Exception, where: str, given: list[str]) -> str:
    """The line of an error, with the place in the file unless it is about typed words."""
    line = one_line(error)
    return line if any(key_of(override) in line for override in given) else where + line
