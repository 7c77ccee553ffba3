"""The command line: python -m freezeout KEY=VALUE ... (one run), python -m freezeout -m ... (a sweep)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from freezeout.cli.expansion import hold_back
from freezeout.cli.launching import check_launcher
from freezeout.cli.sweep_file import yaml_mistake
from freezeout.cli.sweeper import SweepError
from freezeout.naming import folder
from freezeout.run import config as configuration
from freezeout.run.config import ConfigError, InUseError
from hydra_plugins.freezeout import Arms

# Exit codes: 1 a run failed, 2 the user's mistake, 128 + n stopped by signal n (as shells count).
FAILED, MISTAKE = 1, 2
# Whether the user wants tracebacks. `main` sets the variable for itself too, and says so to processes that inherit it.
OURS = "FREEZEOUT_SET_FULL_ERROR"
FULL = os.environ.get("HYDRA_FULL_ERROR") == "1" and OURS not in os.environ


def task(composed: DictConfig) -> str | InUseError:
    """One job. In a sweep its fate is the line returned (or InUseError); alone, a failure ends the program.

    SystemExit, because Hydra adds a line of its own to whatever else a job raises.
    """
    try:
        line, done = run(composed)
    except ConfigError as error:
        if composed.get("sweep") is not None and isinstance(error, InUseError):
            return error
        line, done = str(error), False
        if FULL:
            raise
        if composed.get("sweep") is None:
            raise SystemExit(say(f"freezeout: {line}", MISTAKE)) from error
    if composed.get("sweep") is None:
        if not done:
            raise SystemExit(say(f"freezeout: {line}", FAILED))
        print(line)
    return line


def run(composed: DictConfig) -> tuple[str, bool]:
    """Check, train or resume one run: what it says of itself, and whether it is done."""
    config = configuration.parse(composed)
    from freezeout.run import identity, record, runner, tracking  # torch: only once the configuration has been checked
    from freezeout.run.resolve import make_plan

    plan = make_plan(config)
    if config.sweep is None:
        if note := configuration.unread(config, sys.argv[1:]):
            print(f"note: {note}", file=sys.stderr)
        print(tracking.destination(config.tracker, Path(config.out)), file=sys.stderr)
    outcome = runner.run(plan, config.sweep)
    line, done = record.summary(plan, outcome.record), outcome.record["status"] == "done"
    if outcome.before:
        line = f"done before: {line}" if done else f"before: {line}"
    if config.sweep is None and done:
        line += f", {identity.folder(plan) / 'record.json'}"
    return line, done


def main() -> int:
    """The exit code. A user's mistake is one line on stderr, never a traceback (unless HYDRA_FULL_ERROR=1)."""
    if not FULL:
        os.environ |= {"HYDRA_FULL_ERROR": "1", OURS: "1"}  # Hydra raises instead of printing: the words are ours
    configuration.register()
    Plugins.instance().register(Arms)
    arguments = get_args_parser().parse_args()
    if arguments.multirun and (arguments.cfg or arguments.info):
        return say("freezeout: --cfg and --info show one run: leave out -m", MISTAKE)
    asked_elsewhere = any(word.startswith("hydra.searchpath") for word in arguments.overrides)
    try:
        if not arguments.shell_completion:
            searchpath = asked_elsewhere or arguments.config_dir is not None
            configuration.check_overrides(arguments.overrides, multirun=arguments.multirun, searchpath=searchpath)
            check_launcher(arguments.overrides)
        if arguments.multirun:
            sys.argv[1:] = hold_back(sys.argv[1:])
        hydra.main(config_path=str(folder("conf")), config_name="config", version_base="1.3")(task)()
    except (ConfigError, HydraException, OmegaConfBaseException) as error:
        if FULL:
            raise
        return say(f"freezeout: {configuration.one_line(error)}", MISTAKE)
    except YAMLError as error:
        if FULL:
            raise
        return say(f"freezeout: {yaml_mistake(error)}", MISTAKE)
    except SweepError as error:
        return say(f"freezeout: {error}", FAILED)
    return 0


def say(line: str, code: int) -> int:
    print(line, file=sys.stderr)
    return code
