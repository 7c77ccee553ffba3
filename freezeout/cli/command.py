"""The command line: python -m freezeout KEY=VALUE ... (one run), python -m freezeout -m ... (a sweep)."""

from __future__ import annotations

import os
import re
import socket
import sys
from argparse import Namespace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from freezeout import __version__
from freezeout.checks import nearest
from freezeout.cli import launchers, preemption
from freezeout.cli.expansion import hold_back
from freezeout.cli.launching import Left
from freezeout.cli.sweeper import SweepError
from freezeout.naming import folder
from freezeout.run import config as configuration
from freezeout.run import limit, worker
from freezeout.run.config import Config, ConfigError, InUseError
from freezeout.run.groups import field_names
from freezeout.run.messages import one_line
from freezeout.run.overrides import check_overrides
from freezeout.run.signals import Stop
from freezeout.run.space import DiskFullError, check_writable

if TYPE_CHECKING:
    from freezeout.run.plan import Plan

# Exit codes: 1 a run failed, 2 the user's mistake, 128 + n stopped by signal n (as shells count).
FAILED, MISTAKE = 1, 2
# Whether the user wants tracebacks. `main` also sets the variable, and marks that for processes that inherit it.
OURS = "FREEZEOUT_SET_FULL_ERROR"
PACKAGES = [*field_names(Config), "hydra", "_global_"]  # where --package finds what it prints
FULL = os.environ.get("HYDRA_FULL_ERROR") == "1" and OURS not in os.environ
stopped: list[Stop] = []  # set in a worker, which gets more jobs until its command ends it


def task(composed: DictConfig) -> str | Left | InUseError | DiskFullError:
    """One job, as Hydra and its launchers call it.

    Args:
        composed: The job's configuration; its `sweep` is set if it is one of many.

    Returns:
        The line that reports the run's outcome; a `Left` if the limit came before its end; the error itself if
        another process trains it for a sweep, or if the disk is full and the sweep must stop.

    Raises:
        SystemExit: A lone run failed or cannot start: Hydra would add a line of its own to any other exception.
        Stop: A signal stopped this run, or one before it in this process.
    """
    try:
        if stopped:
            raise stopped[0]
        with worker.at_work():
            line, status = run(composed)
    except Stop as stop:
        if worker.is_one():
            stopped.append(stop)
        preemption.queue_again(stop)
        raise
    except ConfigError as error:
        if composed.get("sweep") is not None and isinstance(error, InUseError | DiskFullError):
            return error
        line, status = str(error), "failed"
        if FULL:
            raise
        if composed.get("sweep") is None:
            raise SystemExit(say(f"freezeout: {line}", MISTAKE)) from error
    if composed.get("sweep") is None:
        if status == "failed":
            raise SystemExit(say(f"freezeout: {line}", FAILED))
        print(line)
    return Left(line) if status == "interrupted" else line


def run(composed: DictConfig) -> tuple[str, str]:
    """Check, train or resume one run.

    Args:
        composed: The job's configuration.

    Returns:
        The line that reports its outcome, and its status: "done", "failed", or "interrupted" by the limit.

    Raises:
        ConfigError: It cannot be run as configured.
    """
    began = limit.now()
    config = configuration.parse(composed)
    end = limit.end_of(config.limit, began)
    if config.sweep is not None and began >= end:  # a launcher's process may start long after the sweep
        return "not begun within the limit", "interrupted"
    check_writable(config.out)
    from freezeout.run import identity, record, runner, tracking  # torch: only once the configuration has been checked
    from freezeout.run.resolve import make_plan

    plan = make_plan(config)
    if config.planned is not None and config.planned != identity.run_id(plan):
        raise ConfigError(unlike(config.planned, plan))
    if config.sweep is None:
        if note := configuration.unread(config, sys.argv[1:]):
            print(f"note: {note}", file=sys.stderr)
        print(tracking.destination(config.tracker, Path(config.out)), file=sys.stderr)
    outcome = runner.run(plan, config.sweep, end)
    line, status = record.summary(plan, outcome.record), outcome.record["status"]
    if outcome.before:
        line = f"done before: {line}" if status == "done" else f"before: {line}"
    if config.sweep is None and status == "done":
        line += f", {identity.folder(plan) / 'record.json'}"
    if config.sweep is None and status == "interrupted":
        line += "; the same command resumes it"
    return line, status


def unlike(planned: str, plan: Plan) -> str:
    """The error for a run whose id here differs from its id where the sweep was planned."""
    from freezeout.run import identity, provenance

    return (
        f"{planned}: is {identity.run_id(plan)} on {socket.gethostname()} ({provenance.device_model(plan.device)}): "
        "device, code or data differ from where the sweep was planned; run the command on a node like this"
    )


def main() -> int:
    """Run the command line.

    Returns:
        The exit code. A mistake of the user's is one line on stderr, never a traceback (unless HYDRA_FULL_ERROR=1).

    Raises:
        SystemExit: A lone run failed, or the flags are wrong.
    """
    if not FULL:
        os.environ |= {"HYDRA_FULL_ERROR": "1", OURS: "1"}  # Hydra then raises instead of printing; we word the message
    configuration.register()
    launchers.register()
    arguments = parse_arguments()
    asked_elsewhere = any(word.startswith("hydra.searchpath") for word in arguments.overrides)
    try:
        if not arguments.shell_completion:
            searchpath = asked_elsewhere or arguments.config_dir is not None
            check_overrides(arguments.overrides, multirun=arguments.multirun, searchpath=searchpath)
            lone = not (arguments.multirun or arguments.cfg or arguments.info)
            launchers.check_launcher(arguments.overrides, lone=lone, searchpath=searchpath)
        if arguments.multirun:
            sys.argv[1:] = hold_back(sys.argv[1:])
        hydra.main(config_path=str(folder("conf")), config_name="config", version_base="1.3")(task)()
    except (ConfigError, HydraException, OmegaConfBaseException, YAMLError) as error:
        if FULL:
            raise
        return say(f"freezeout: {one_line(error)}", MISTAKE)
    except SweepError as error:
        return say(f"freezeout: {error}", FAILED)
    return 0


def parse_arguments() -> Namespace:
    """The command line as parsed by Hydra's parser.

    Raises:
        SystemExit: A flag is unknown, not allowed here or contradicts another one; one line was printed.
    """
    parser = get_args_parser()
    flags = [flag for action in parser._actions for flag in action.option_strings]
    for action in parser._actions:
        if "--version" in action.option_strings:
            vars(action)["version"] = f"freezeout {__version__} (Hydra {hydra.__version__})"

    def mistaken(message: str) -> NoReturn:
        unknown = message.rpartition("unrecognized arguments: ")[2]
        if unknown != message and "=" in unknown and not unknown.startswith("-"):  # argparse takes them in one place
            message = f"{unknown}: flags go before or after all KEY=VALUE, not in between"
        close = get_close_matches(unknown, flags, n=1)
        raise SystemExit(say(f"freezeout: {message}{f'; did you mean {close[0]}?' if close else ''}", MISTAKE))

    parser.error = mistaken  # type: ignore[method-assign]
    arguments = parser.parse_args()
    if arguments.config_path is not None or arguments.config_name is not None:
        parser.error("--config-path and --config-name are not supported: --config-dir FOLDER adds options of your own")
    if arguments.experimental_rerun is not None:
        parser.error("--experimental-rerun is not supported: repeat a run's command to resume it")
    if arguments.config_dir is not None and not Path(arguments.config_dir).is_dir():
        parser.error(f"--config-dir {arguments.config_dir}: there is no such folder")
    if arguments.multirun and (arguments.cfg or arguments.info):
        parser.error("--cfg and --info show one run: leave out -m")
    if arguments.shell_completion and not re.match("(un)?install=|query=", " ".join(arguments.overrides)):
        parser.error("--shell-completion needs install=SHELL, uninstall=SHELL or query=SHELL")
    if arguments.package is not None and arguments.package.partition(".")[0] not in PACKAGES:
        parser.error(f"--package {arguments.package}: unknown{nearest(arguments.package, PACKAGES)}")
    return arguments


def say(line: str, code: int) -> int:
    """Print a line on stderr.

    Args:
        line: The line to print.
        code: The exit code that goes with it.

    Returns:
        `code`.
    """
    print(line, file=sys.stderr)
    return code
