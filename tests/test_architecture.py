"""Imports run one way, and the mechanism is light to import."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Room or flat module: what of ours it may import, beside its own room. Listed top to bottom: nobody imports upwards.
MAY_IMPORT: dict[str, set[str]] = {
    "schedule": set(),
    "checks": set(),
    "records": set(),
    "packed": {"records"},
    "holder": set(),
    "imports": {"checks"},
    "parser": {"checks"},
    "strategy": {"schedule"},
    "adaptive": {"strategy", "checks"},
    "strategies": {"adaptive", "strategy", "schedule", "checks"},
    "observing": set(),
    "adapting": {"observing", "strategy", "schedule"},
    "stages": set(),
    "savings": {"schedule", "stages", "records"},
    "refusals": set(),
    "parameter_groups": {"refusals"},
    "distributed": set(),
    "recompiling": set(),
    "forward": {"stages"},
    "reestimation": set(),
    "freeze": {
        "schedule",
        "strategy",
        "adapting",
        "stages",
        "checks",
        "parameter_groups",
        "distributed",
        "recompiling",
        "reestimation",
        "forward",
    },
    "layers": {"schedule", "strategy", "stages", "checks"},
    "models": {"stages", "checks", "imports"},
    "data": {"checks", "imports", "parser"},
    "compat": {"schedule", "strategy", "checks", "models.schema"},
    "naming": {"strategies", "strategy", "schedule", "models.schema"},
    "train": {"freeze", "stages", "data", "checks", "records", "savings", "schedule", "strategy"},
}
MAY_IMPORT["run"] = {*MAY_IMPORT}
MAY_IMPORT["predict"] = MAY_IMPORT["cli"] = {*MAY_IMPORT}
MAY_IMPORT["__main__"] = {"cli", "run"}
MAY_IMPORT["plugins"] = {"freeze", "stages", "strategies"}
HEAVY = {"torch", "torchvision", "hydra", "omegaconf", "wandb", "pandas", "matplotlib", "sklearn", "numpy", "tqdm"}
STANDARD_LIBRARY_ONLY = ["schedule", "strategy", "strategies", "compat", "records", "packed", "holder", "checks"]
STANDARD_LIBRARY_ONLY += ["parser", "imports", "adaptive", "savings/cost", "savings/caching"]
STANDARD_LIBRARY_ONLY += ["models/schema", "data/schema", "train/schema", "models/__init__", "data/__init__"]
STANDARD_LIBRARY_ONLY += [
    "run/__init__",
    "run/signals",
    "run/limit",
    "run/worker",
    "run/devices",
    "run/groups",
    "savings/__init__",
    "cli/__init__",
]


def imports(path: Path, *, late: bool = True) -> set[str]:
    """Full names of imported modules, `from a import b` as a.b; late: those inside functions too."""
    tree = ast.parse(path.read_text())
    found: set[str] = set()
    nodes = ast.walk(tree) if late else ast.iter_child_nodes(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            here = module_name(path).split(".")
            inside = here if path.stem == "__init__" else here[:-1]
            base = ".".join(
                [*inside[: len(inside) + 1 - node.level], node.module or ""] if node.level else [node.module]
            )
            found |= {f"{base.strip('.')}.{alias.name}" for alias in node.names}
    return found


def room(path: Path) -> str:
    parts = path.relative_to(ROOT / "freezeout").with_suffix("").parts
    return parts[0]


SOURCES = sorted((ROOT / "freezeout").rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    here = room(path)
    if here == "__init__":
        return
    for name in imports(path):
        if not name.startswith("freezeout.") or name == "freezeout.__version__":
            continue
        parts = name.split(".")[1:]
        if parts[0] == here or parts[0] in ("Chain", "FreezeOut", "find_stages"):
            continue
        allowed = MAY_IMPORT[here]
        assert parts[0] in allowed or ".".join(parts[:2]) in allowed, f"{path.name} imports {name}"


@pytest.mark.parametrize("name", STANDARD_LIBRARY_ONLY)
def test_what_is_read_before_torch_is_standard_library_only(name: str) -> None:
    roots = {i.split(".")[0] for i in imports(ROOT / "freezeout" / f"{name}.py", late=False)}
    assert not roots & HEAVY


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("folder", ["freezeout", "analysis", "benchmarks"])
def test_no_module_is_imported_in_a_circle(folder: str) -> None:
    """Late imports count too: they hide a circle, and do not mend it."""
    sources = {module_name(path): path for path in (ROOT / folder).rglob("*.py")}

    def of_ours(name: str) -> str | None:
        while name and name not in sources:
            name = name.rpartition(".")[0]
        return name or None

    graph = {
        module: {other for name in imports(path) if (other := of_ours(name))} - {module, folder}
        for module, path in sources.items()
        if module != folder  # freezeout/__init__ lends names of rooms above it, when they are asked for
    }
    assert any(graph.values()), "nothing was scanned"
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("folder", ["freezeout", "analysis", "benchmarks", "hydra_plugins"])
def test_no_private_name_is_imported(folder: str) -> None:
    private = {
        f"{path.name}: {name}"
        for path in (ROOT / folder).rglob("*.py")
        for name in imports(path)
        if name.split(".")[0] in ("freezeout", "analysis", "benchmarks") and re.search(r"\._[a-z]", name)
    }
    assert not private


def test_only_config_and_the_command_line_know_omegaconf() -> None:
    knowing = {p.stem for p in SOURCES if any(i.startswith("omegaconf") for i in imports(p))}
    assert knowing == {"config", "messages", "sweeper", "composer", "launchers", "command", "predict"} & knowing
    assert "config" in knowing


@pytest.mark.parametrize("path", sorted((ROOT / "analysis").rglob("*.py")), ids=lambda p: p.name)
def test_analysis_reads_records_and_never_torch(path: Path) -> None:
    names = imports(path)
    assert not {n.split(".")[0] for n in names} & {"torch", "torchvision", "hydra", "omegaconf", "wandb"}
    ours = {n.split(".")[1] for n in names if n.startswith("freezeout.")}
    light = {
        "records",
        "packed",
        "holder",
        "schedule",
        "strategy",
        "strategies",
        "naming",
        "savings",
        "checks",
        "parser",
    }
    assert ours <= light


@pytest.mark.parametrize("folder", ["freezeout", "analysis", "benchmarks", "hydra_plugins", "tests"])
def test_the_analysis_has_one_name_in_a_checkout(folder: str) -> None:
    """An editable install knows it under two, whose classes differ; `freezeout.analysis` is the wheel's."""
    names = {name for path in (ROOT / folder).rglob("*.py") for name in imports(path)}
    assert not [name for name in names if name.startswith("freezeout.analysis")]


@pytest.mark.parametrize("path", sorted((ROOT / "analysis").rglob("*.py")), ids=lambda p: p.name)
def test_the_analysis_imports_itself_relatively_so_that_it_runs_under_both_names(path: Path) -> None:
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]
    absolute = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    absolute += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    assert not [name for name in absolute if name.split(".")[0] == "analysis"]


@pytest.mark.parametrize("folder", ["freezeout", "analysis"])
def test_nothing_rests_on_the_benchmarks(folder: str) -> None:
    names = {name for path in (ROOT / folder).rglob("*.py") for name in imports(path)}
    assert not [name for name in names if name.split(".")[0] == "benchmarks"]


def loaded_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*{{m.split('.')[0] for m in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_the_mechanism_loads_no_framework() -> None:
    loaded = loaded_after("from freezeout import FreezeOut, find_stages, Chain; import freezeout.models; FreezeOut")
    assert "torch" in loaded
    assert not loaded & {"hydra", "omegaconf", "wandb", "pandas", "matplotlib", "sklearn"}


def test_the_command_line_is_checked_before_torch_is_loaded() -> None:
    loaded = loaded_after("import freezeout.cli.command")
    assert "hydra" in loaded
    assert not loaded & {"torch", "wandb", "pandas", "matplotlib"}


@pytest.mark.parametrize(
    "statement",
    ["from analysis.__main__ import main", "from freezeout.data.fetch import main"],
    ids=["analysis", "fetch"],
)
def test_a_wrong_word_is_answered_before_anything_heavy_is_loaded(statement: str) -> None:
    wrong = f"{statement}\ntry: main(['--wrong'])\nexcept SystemExit as said: assert said.code == 2"
    assert not loaded_after(wrong) & {"torch", "numpy", "scipy", "pandas", "matplotlib"}


def test_a_plug_in_imports_one_framework_and_nobody_else_does() -> None:
    """Nobody imports upwards, so that no room imports plugins (`test_imports_run_one_way`)."""
    hosts = {"lightning": {"lightning"}, "huggingface": {"transformers", "accelerate"}, "composer": {"composer"}}
    every = set.union(*hosts.values()) | {"pytorch_lightning"}
    for path in SOURCES:
        allowed = hosts.get(path.stem, set()) if room(path) == "plugins" else set()
        assert {name.split(".")[0] for name in imports(path)} & every == allowed, path


@pytest.mark.parametrize(
    ("host", "plugin", "remedy"),
    [
        ("lightning", "lightning", "pip install 'freezeout[lightning]'"),
        ("transformers", "huggingface", "pip install 'freezeout[huggingface]'"),
        ("accelerate", "huggingface", "pip install 'freezeout[huggingface]'"),
        ("composer", "composer", "make composer-env"),
    ],
)
def test_a_framework_that_is_not_there_is_asked_for_in_one_line(host: str, plugin: str, remedy: str) -> None:
    code = f"import sys; sys.modules[{host!r}] = None; import freezeout.plugins.{plugin}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ImportError: freezeout.plugins.{plugin}: ")
    assert last.endswith(f": {remedy}")
    assert done.stderr.count("Traceback") == 1


def test_no_drawer_for_everything() -> None:
    drawers = {"utils", "util", "common", "helpers", "misc"}
    assert not [
        p for p in ROOT.glob("*/**/*.py") if p.stem in drawers and not p.parts[len(ROOT.parts)].startswith(".venv")
    ]


def test_nobody_imports_the_plug_in_that_hydra_finds_by_itself() -> None:
    sources = [path for folder in ("freezeout", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    names = {name for path in sources for name in imports(path)}
    assert not [name for name in names if name.split(".")[0] == "hydra_plugins"]
