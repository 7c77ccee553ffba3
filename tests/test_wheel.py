"""A built wheel, installed in a clean folder, is the whole program: the script, the configs, the library."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LIBRARY = """
import torch, freezeout
from freezeout import FreezeOut, find_stages
from freezeout.strategies import FreezeOut as Schedule
model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
chain = find_stages(model, torch.randn(3, 4))
mechanism = FreezeOut(chain, torch.optim.SGD(chain.parameters(), lr=0.1), Schedule(t_0=0.5), total_steps=2)
mechanism.step(), mechanism.step()
print(mechanism.prefix, freezeout.__file__)
"""


def run(*command: object, cwd: Path, environment: dict[str, str] | None = None) -> str:
    environment = {**(environment or os.environ)}
    environment.pop("PYTHONPATH", None)  # a checkout named there would be imported instead of the wheel
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> Path:
    """An environment with the wheel in it, and the packages it needs lent by the one that runs the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    tracked = run("git", "ls-files", "-co", "--exclude-standard", cwd=ROOT).split("\n")
    for name in filter(None, tracked):  # a copy: building leaves traces in the tree
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, tree, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "clean", cwd=folder)
    python = folder / "clean/bin/python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    # A plain path line: the .pth files over there, an editable install of this checkout among them, are not read.
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--quiet", wheel, cwd=folder)
    return folder / "clean"


@pytest.mark.slow
def test_the_library_works_from_a_wheel(clean: Path, tmp_path: Path) -> None:
    prefix, where = run(clean / "bin/python", "-c", LIBRARY, cwd=tmp_path).split()
    assert prefix == "1"
    assert Path(where).is_relative_to(clean)


@pytest.mark.slow
def test_the_analysis_works_from_a_wheel_with_its_records_and_names_itself_rightly(clean: Path, tmp_path: Path) -> None:
    python, words = clean / "bin/python", ["-m", "freezeout.analysis"]
    said = run(python, *words, "figures", "--preset", "cached", cwd=tmp_path)
    assert (tmp_path / "figures/paper/figure4.png").exists()
    assert "the paper's claims" in said
    records = run(python, "-c", "import freezeout; print(freezeout.__path__[0])", cwd=tmp_path).strip()
    said = run(python, *words, "pareto", "--runs", f"{records}/analysis/records", "--x", "saving", cwd=tmp_path)
    assert "python -m freezeout.analysis status" in said
    run(python, *words, "report", cwd=tmp_path)
    assert "<h1>Does freezing pay?</h1>" in (tmp_path / "figures/report.html").read_text(encoding="utf-8")
    assert "python -m freezeout -m sweeps=" in said
    assert "usage: python -m freezeout.analysis" in run(python, *words, "--help", cwd=tmp_path)


@pytest.mark.slow
def test_the_script_works_from_a_wheel_in_any_folder(clean: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = ["machine=cpu", "machine.threads=1", "tracker=none", "epochs=1", "strategy=freezeout"]
    assert "error" in run(clean / "bin/freezeout", *words, cwd=tmp_path, environment=environment)
    assert len(list(tmp_path.glob("runs/*/0/record.json"))) == 1
    assert ", digits, " in run(clean / "bin/freezeout", "--help", cwd=tmp_path, environment=environment)
    sweep = ["-m", "sweeps=digits", "hydra/launcher=basic", "strategy=baseline", "seed=0", "t_0=0.5", *words[:4]]
    run(clean / "bin/freezeout", *sweep, cwd=tmp_path, environment=environment)
    # One epoch makes other runs than the file's: a sweep of its own.
    assert len(list(tmp_path.glob("runs/sweeps/digits-*.json"))) == 1


@pytest.mark.slow
def test_a_wheel_has_all_sweep_files_and_the_docs_say_how_to_copy_those_of_w_and_b(clean: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs/wandb.md").read_text(encoding="utf-8")
    (command,) = [line for line in page.splitlines() if line.startswith("$ cp ")]
    run("bash", "-c", f'PATH="{clean}/bin:$PATH"; {command[2:]}', cwd=tmp_path)
    shipped = run(clean / "bin/python", "-c", "import freezeout.sweeps as s; print(*s.__path__)", cwd=tmp_path).strip()
    for there in (ROOT / "sweeps/wandb", ROOT / "sweeps"):
        folder = tmp_path if there.name == "wandb" else Path(shipped)
        names = {file.name for file in there.glob("*.yaml")}
        assert {file.name for file in folder.glob("*.yaml")} == names
        assert all((folder / name).read_bytes() == (there / name).read_bytes() for name in names)
