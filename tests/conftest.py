"""The command line as a function, for tests that need no process of their own."""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
import torch
from launched import launch, only_run

if importlib.util.find_spec("hypothesis"):  # tests/gpu need none, and may run where there is none
    from hypothesis import settings

    settings.register_profile("unhurried", deadline=None)  # a busy machine is not a failed test
    settings.load_profile("unhurried")
os.environ.pop("COLUMNS", None)  # pytest-xdist passes its terminal's width on; the tables tested here are 100 wide
torch.set_num_threads(1)  # the networks here are tiny; more threads only wait for each other


@dataclass
class Said:
    """What a command left: its exit code and its two streams."""

    code: int
    out: str
    err: str


@pytest.fixture
def freezeout(monkeypatch, capsys, tmp_path):
    """Run `python -m freezeout WORDS...` inside this process, in an empty folder, with the CPU and one thread."""
    from freezeout.__main__ import main
    from freezeout.run import notes

    notes.say_once.cache_clear()
    monkeypatch.chdir(tmp_path)

    def call(*words: str, quick: bool = True) -> Said:
        flags = [w for w in words if w.startswith("-")]
        rest = [w for w in words if not w.startswith("-")]
        keys = {w.partition("=")[0] for w in rest}
        always = ["machine=cpu", "machine.threads=1", "tracker=none", "epochs=2"] if quick else []
        always = [w for w in always if w.partition("=")[0] not in keys]
        monkeypatch.setattr(sys, "argv", ["freezeout", *flags, *always, *rest] if quick else ["freezeout", *words])
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return call


@pytest.fixture
def ticking(monkeypatch) -> None:
    """A clock that is a second later at each look: one for each training step."""
    from freezeout.run import limit

    ticks = count(1e9)
    monkeypatch.setattr(limit, "now", lambda: next(ticks))


@pytest.fixture
def two_gpus(monkeypatch) -> None:
    """Two of them, which nobody may touch: a context on each costs half a gigabyte, and torch warns of it."""

    def touched(*_) -> None:
        raise AssertionError("a GPU was initialised")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_rng_state", touched)


@pytest.fixture
def own_networks(tmp_path, monkeypatch) -> None:
    """Two networks of the user's own, from files that differ."""
    monkeypatch.chdir(tmp_path)
    code = (
        "from torch import nn\n\ndef build(classes, width={}):\n"
        "    return nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36 * width, classes))\n"
    )
    for name, width in (("first_network", 4), ("other_network", 5)):
        (tmp_path / f"{name}.py").write_text(code.format(width))
    monkeypatch.syspath_prepend(tmp_path)


@pytest.fixture(scope="module")
def nobodys_wandb(tmp_path_factory):
    """No W&B variable, key or login of the person who runs the tests."""
    from freezeout.run import wandb_session

    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            patch.delenv(name)
        patch.setenv("WANDB_CONFIG_DIR", str(tmp_path_factory.mktemp("config")))
        patch.setenv("NETRC", str(tmp_path_factory.mktemp("home") / "netrc"))
        yield
    wandb_session.shut_down()  # what it read of the environment goes with it


@pytest.fixture(scope="session")
def through(tmp_path_factory) -> Path:
    """The folder of a run that was never stopped."""
    out = tmp_path_factory.mktemp("through")
    process = launch(out)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return only_run(out)
