"""The README runs: its snippets, its commands, and its claims of how little it takes to add something."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_data import as_large_as
from made_records import find_records

from freezeout import naming, strategies

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def block(opening: str) -> str:
    (text,) = [text for _, text in BLOCKS if text.startswith(opening)]
    return text


def commands() -> list[str]:
    lines = [line for kind, text in BLOCKS if kind == "console" for line in text.splitlines()]
    return [line.removeprefix("$ ").split("  #")[0].strip() for line in lines]


def test_the_library_snippet_runs_and_freezes(capsys) -> None:
    exec(compile(block("import torch\nfrom freezeout import FreezeOut"), "README.md", "exec"), {})
    assert re.search(r"2 of 3 stages are frozen; they froze at t = \(0\.512, ", capsys.readouterr().out)


def test_a_strategy_takes_a_dataclass_a_line_and_a_file(freezeout, tmp_path) -> None:
    code, values = block("# freezeout/strategies.py"), block("# conf/strategy/halves.yaml")
    assert len(code.splitlines()) <= 15
    assert len(values.splitlines()) <= 15
    exec(compile(code, "README.md", "exec"), vars(strategies))
    (tmp_path / "mine/strategy").mkdir(parents=True)
    (tmp_path / "mine/strategy/halves.yaml").write_text(values)
    try:
        words = "--config-dir mine strategy=halves t_0=0.5 epochs=1 machine=cpu machine.threads=1 tracker=none"
        said = freezeout(*words.split(), quick=False)
        assert said.code == 0, said.err
        ((_, record),) = find_records(tmp_path / "runs")
        assert record["freeze_times"] == [0.5, 0.5, 1.0, 1.0, 1.0]
        label = {"strategy": record["config"]["strategy"]}
        assert (naming.series(label), naming.swept(label["strategy"])) == ("halves", "t_0=0.5"), "plots as one series"
    finally:
        del strategies.STRATEGIES["halves"]


def test_a_model_takes_a_function(freezeout, tmp_path) -> None:
    code = block("# my_network.py")
    assert len(code.splitlines()) <= 15
    (tmp_path / "my_network.py").write_text(code)
    said = freezeout("model=python", "model.target=my_network:build")
    assert said.code == 0, said.err
    ((_, record),) = find_records(tmp_path / "runs")
    assert len(record["stages"]) == 3


def test_a_dataset_takes_a_function(freezeout, tmp_path) -> None:
    code = block("# my_data.py")
    assert len(code.splitlines()) <= 15
    (tmp_path / "my_data.py").write_text(code)
    said = freezeout("dataset=python", "dataset.target=my_data:load", "strategy=baseline")
    assert said.code == 0, said.err
    ((_, record),) = find_records(tmp_path / "runs")
    assert record["data"]["train"] == 500


def test_a_dataset_takes_arrays_in_files(freezeout, tmp_path) -> None:
    made: dict[str, Any] = {}
    exec(compile(block("# my_data.py"), "my_data.py", "exec"), made)
    for split, (x, y) in made["load"]().items():
        np.savez(tmp_path / f"{split}.npz", x=x, y=y)
    (line,) = re.findall(r"^`(dataset=npz .*)`$", README, re.MULTILINE)
    said = freezeout(*shlex.split(line), "strategy=baseline")
    assert said.code == 0, said.err
    ((_, record),) = find_records(tmp_path / "runs")
    assert [record["data"][split] for split in ("train", "validation", "test")] == [450, 50, 100]


@pytest.mark.parametrize(
    "command", [c for c in commands() if c.startswith("python -m freezeout ") and "--cfg" not in c]
)
def test_every_command_composes(freezeout, monkeypatch, command: str) -> None:
    words = shlex.split(command)[3:]
    if "-m" in words:
        monkeypatch.setattr("freezeout.run.plan.load_data", as_large_as)
        monkeypatch.setattr("freezeout.cli.forecast.forecast", lambda *known: None)
        launched: list = []
        monkeypatch.setattr("freezeout.cli.sweeper.Arms.launch", lambda self, todo, *rest: launched.extend(todo))
        monkeypatch.setattr("freezeout.cli.sweeper.report_failures", lambda folders: None)
        said = freezeout(*words, "tracker=none", quick=False)
        assert said.code == 0, said.err
        sentence = r"# (\d+) runs; " if "sweeps=does_it_pay" in words else r"second trains (\d+) runs"
        (promised,) = re.findall(sentence, README)
        assert len(launched) == int(promised)
    else:
        said = freezeout("--cfg", "job", "--resolve", *words, quick=False)
        assert said.code == 0, said.err
        assert "how_scale: cubic" in said.out


def test_every_make_target_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"make ([a-z]+(?:-[a-z]+)*)", README))
    assert {"sweep", "test", "help", "dashboard", "data"} <= named
    assert named <= targets


def test_every_option_of_every_group_is_named() -> None:
    table = README.split("## The groups")[1].split("## Add")[0]
    for path in (ROOT / "conf").glob("*/*.yaml"):
        assert f"`{path.stem}`" in table, path


def test_the_trained_network_is_loaded_used_and_exported(freezeout, tmp_path, monkeypatch, capsys) -> None:
    assert freezeout("strategy=baseline", "epochs=1").code == 0
    (folder,) = (tmp_path / "runs").glob("*/0")
    code = block("import torch\nfrom freezeout import load_run")
    names: dict = {}
    exec(compile(code.replace("runs/RUN/0", str(folder)), "README.md", "exec"), names)
    assert capsys.readouterr().out.startswith("tensor([[")
    assert (tmp_path / "weights.pt").exists()
    assert names["program"].module() is not None
