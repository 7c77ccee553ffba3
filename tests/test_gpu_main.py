"""`make gpu` as a command: mistakes are one line, wheels are used, and the whole is rehearsed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import machine, state
from benchmarks.gpu.archive import LIMIT
from benchmarks.gpu.page import FILE, REHEARSED
from benchmarks.gpu.parts import REHEARSAL, parts
from benchmarks.gpu.session import ROOT


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--minutes 0", "--minutes 0: must be above 0"),
        ("--minutes nan", "--minutes nan: must be above 0"),
        ("--minutes many", "invalid float value: 'many'"),
        ("--minute 8", "--minute: unknown; did you mean --minutes?"),
        ("--sweep figure6", "--sweep figure6: unknown; did you mean figure5? Available: cpu_adaptive_confirm"),
        ("--data missing.npz", "--data missing.npz: not found"),
        ("--wheels empty", "--wheels empty: no *.whl there"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_begun(tmp_path, monkeypatch, capsys, words: str, said: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    try:
        code = command.main(words.split())
    except SystemExit as stop:
        code = stop.code
    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2
    assert line.startswith("gpu: ")
    assert said in line
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_wheels_are_there_for_the_parts_before_what_is_installed(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "hydra_core-1.whl", "w") as wheel:
        wheel.writestr("hydra/__init__.py", "version = 'of the wheel'")
    packages = command.unpacked(tmp_path, tmp_path / "packages")
    code = "import hydra, benchmarks; print(hydra.version)"
    environment = command.environment_with(packages)
    asked = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert asked.stdout == "of the wheel\n", asked.stderr
    (tmp_path / "hydra_core-1.whl").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="not a complete wheel"):
        command.unpacked(tmp_path, tmp_path / "packages")


def test_what_the_machine_lacks_is_one_line(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["machine", "cuda"])
    monkeypatch.setattr(machine, "find_spec", lambda name: None if name in ("hydra", "antlr4") else object())
    assert machine.main() == 2
    assert "not installed here: hydra-core, antlr4-python3-runtime; wheels" in capsys.readouterr().out
    monkeypatch.setattr(machine, "find_spec", lambda name: object())
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert machine.main() == 2
    assert "torch sees no GPU here" in capsys.readouterr().out


def test_the_make_target_installs_nothing() -> None:
    # Tests are run by make themselves, whose flags would reach this one.
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    words = [
        "make",
        "--no-print-directory",
        "-n",
        "gpu",
        "MINUTES=8",
        "VENV=nowhere",
        "PYTHON=python9",
        "WHEELS=w",
        "DATA=a.npz b.npz",
    ]
    asked = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, env=own)
    said = " ".join(asked.stdout.replace("\\\n", "").split())
    expected = "python9 -m benchmarks.gpu --minutes 8 --archive gpu.tar.gz --wheels w --data a.npz b.npz"
    assert said == expected


def test_it_is_light_to_start() -> None:
    code = "import sys, benchmarks.gpu.__main__; print(*{m.split('.')[0] for m in sys.modules})"
    asked = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"torch", "hydra", "omegaconf", "yaml", "pandas", "numpy", "tqdm"} & set(asked.stdout.split())


def done(out: Path) -> dict[str, bool]:
    """Which parts of the half hour in a folder are done, as its state says."""
    try:
        found = json.loads((out / state.FILE).read_text())["parts"]
    except FileNotFoundError:
        return {}
    return {name: outcome["status"] == "done" for name, outcome in found.items()}


@pytest.mark.slow
def test_the_half_hour_rehearsed_whole_on_a_cpu_in_two_calls(tmp_path) -> None:
    """The second call has nothing but the archive, and repeats nothing."""
    words = [sys.executable, "-m", "benchmarks.gpu", "--rehearse", "--archive", str(tmp_path / "gpu.tar.gz")]
    out, again = tmp_path / "out", tmp_path / "again"
    where = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(ROOT)}, "text": True}
    call = subprocess.Popen([*words, "--minutes", "20", "--out", str(out)], stderr=subprocess.PIPE, **where)
    while call.poll() is None and sum(done(out).values()) < 2:
        time.sleep(0.2)
    call.send_signal(signal.SIGINT)
    _, error = call.communicate(timeout=60)
    assert call.returncode == command.INTERRUPTED, error
    second_call = subprocess.run([*words, "--minutes", "20", "--out", str(again)], capture_output=True, **where)
    assert second_call.returncode == 0, second_call.stderr
    for folder in (out, again):
        assert REHEARSED in (folder / FILE).read_text()
    assert (tmp_path / "gpu.tar.gz").stat().st_size < LIMIT
    first, second = (json.loads((folder / state.FILE).read_text())["parts"] for folder in (out, again))
    names = [part.name for part in parts(REHEARSAL, Path("/out"))]
    before = [name for name in names if done(out).get(name)]
    assert before
    assert len(before) < len(names)
    assert {name: second[name] for name in before} == {name: first[name] for name in before}
    assert {name: outcome["line"] for name, outcome in second.items() if outcome["status"] != "done"} == {}
    assert set(second) == set(names)
    assert "2 passed" in second["tests"]["line"]
