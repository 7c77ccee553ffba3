"""What the runs of one process share at Weights & Biases: its service, its settings, and whether its server is used.

wandb itself is imported when the first run is logged, never before.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

PATIENCE = 20.0  # seconds that W&B may take to answer before and after a run, and to end with the process
GRACE = 5.0  # seconds that its service may take to end after a failure, when nothing is being sent

given_up = False  # its server could not be used once: a sweep must not wait for it before each of its runs
_ending = threading.Event()  # set once the service was asked to end, by `shut_down` or at the end of the process
_failed = False  # whether `shut_down` asks
_set_up: tuple[int, str] | None = None  # the process and the mode that wandb was set up for
_watched: subprocess.Popen[bytes] | None = None


def prepare(mode: str, commit: str | None = None) -> tuple[Any, Any]:
    """The module wandb, with its service running, and the settings that a run is started with beside its own.

    What all runs of the process have in common is set once; it keeps wandb silent and quick. Of the machine wandb
    collects what it shows as System metrics (every 15 s) and in the Overview of a run; no code, no diff, no list of
    packages. docs/wandb.md says what that is.

    Args:
        mode: "offline", or "online": the key is then checked by the server.
        commit: Of the program; None lets wandb look for a repository around the working directory.

    Raises:
        Exception: Whatever wandb raises when it cannot be imported or started, or when the server refuses the key or
            does not answer.
    """
    # wandb reports its own faults home, in offline mode too.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    # Every process has a service of its own: one inherited from a parent may end first, or be on another host.
    if f"-{os.getpid()}-" not in os.environ.get("WANDB_SERVICE", ""):
        os.environ.pop("WANDB_SERVICE", None)
    import wandb

    if _set_up != (os.getpid(), mode):
        _set_up_wandb(wandb, mode)
    settings = wandb.Settings()
    if commit and not wandb.env.disable_git():  # found already; wandb would ask git again before each run
        settings.git_commit, settings.disable_git = commit, True
    # In this mode wandb.init would ask for a key: at a terminal in the middle of a sweep.
    if mode == "online" and not wandb.login(prompt=False):
        raise ValueError("no API key: run `wandb login` or set WANDB_API_KEY")
    return wandb, settings


def _set_up_wandb(wandb: Any, mode: str) -> None:
    """Start the service with what all runs have in common; given to wandb.init, it would be checked thrice a run."""
    global _set_up
    shared = wandb.Settings(
        mode=mode,
        silent=True,
        console="off",
        init_timeout=PATIENCE,
        finish_timeout=PATIENCE,
        finish_timeout_raises=True,
        save_code=False,
        disable_code=True,
        disable_job_creation=True,
        symlink=False,
        use_dot_wandb=False,
        x_save_requirements=False,
    )
    _without_launch(wandb.Run)
    connection = wandb.setup(settings=shared).ensure_service()
    if own := connection._proc:
        _end_when_asked(own._process)
    _set_up = os.getpid(), mode


def _without_launch(run: Any) -> None:
    """Spare the process W&B Launch, which is not used here.

    wandb.init imports it, and W&B's public API with it, only to ask whether inputs of a job wait for the run: half a
    second, more than all else that the first run costs. Where nobody has imported it, none can wait.
    """
    apply = getattr(run, "_detect_and_apply_job_inputs", None)
    if apply is None or hasattr(apply, "__wrapped__"):
        return

    @functools.wraps(apply)
    def where_any_can_wait(self: Any) -> None:
        if "wandb.sdk.launch" in sys.modules:
            apply(self)

    run._detect_and_apply_job_inputs = where_any_can_wait


def _end_when_asked(service: subprocess.Popen[bytes]) -> None:
    """Kill the service if it does not end within `PATIENCE` of being asked to, or `GRACE` after a failure.

    wandb waits for it without a limit, and the service is known to lock up when it ends with a request open (one in 30
    times, seen with wandb 0.31). The thread has to be there beforehand: none can be started while Python shuts down.
    """
    global _watched
    if service is _watched:
        return
    _watched = service
    atexit.register(_ending.set)  # only now: what is registered last runs first, and wandb waits in a hook of its own

    def watch() -> None:
        _ending.wait()
        try:
            service.wait(GRACE if _failed else PATIENCE)
        except subprocess.TimeoutExpired:
            service.kill()

    threading.Thread(target=watch, name="end of wandb's service", daemon=True).start()


def server() -> str:
    """The address of the server that `wandb login` or WANDB_BASE_URL chose."""
    from wandb.sdk import wandb_setup

    return str(wandb_setup._setup(start_service=False).settings.app_url)


def give_up(error: Exception) -> str:
    """Use the server no more in this process.

    Args:
        error: What went wrong with it.

    Returns:
        The reason in a few words.
    """
    global given_up
    given_up = True
    reason = in_a_line(error)
    if "did not respond in time" in reason:  # wandb says so of its own service, but it is the server that is silent
        with contextlib.suppress(Exception):
            reason = f"{server()} does not answer"
    shut_down()
    return reason


def shut_down() -> None:
    """End wandb's service after a failure; the next run starts a new one."""
    global _failed, _set_up
    _set_up = None
    if (wandb := sys.modules.get("wandb")) is not None:
        _failed = True
        _ending.set()
        with contextlib.suppress(Exception, SystemExit):  # SystemExit: the service ended with another code than 0
            wandb.teardown()
        _ending.clear()
        _failed = False
    os.environ.pop("WANDB_SERVICE", None)


@contextlib.contextmanager
def harmless(consequence: str) -> Iterator[None]:
    """W&B may fail in any way (import, disk, network, service): one line on stderr, and the caller goes on.

    Args:
        consequence: What the failure means for the user.
    """
    try:
        yield
    except Exception as error:
        print(f"warning: W&B: {consequence} ({in_a_line(error)})", file=sys.stderr)
        shut_down()  # one that broke would fail the next run as well, and end the program with a traceback


def in_a_line(error: Exception) -> str:
    """The type of an exception and the first line of its message."""
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
