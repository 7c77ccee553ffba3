"""What people type: right words run, wrong words get one line, an exit code and no folder."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

ROOT = Path(__file__).parent.parent

# What is typed -> what the one line must say: the value, and the rule or the nearest right word.
MISTAKES = {
    "model=wrn_4040": ("wrn_4040", "did you mean wrn_40_4"),
    "dataset=cifar": ("dataset=cifar:", "cifar10"),
    "strategy=freezout": ("freezout", "did you mean freezeout"),
    "-m sweeps=digit": ("sweeps=digit:", "did you mean digits"),
    "sweeps=digits": ("sweeps=digits", "add -m"),
    "modle=vgg16": ("modle", "did you mean model"),
    "model.dept=16": ("model.dept=16: model wide_resnet has no field dept; did you mean depth? It has: depth, widen,",),
    "strategy=baseline strategy.how_scale=cubic": (
        "strategy.how_scale=cubic: strategy baseline has no field how_scale; it has none; freezeout, lr_only, ",
    ),
    "-m +model.dept=16 strategy=baseline": ("model.dept: ", "has no field dept; did you mean depth?"),
    "+model.dept=16": ("model.dept: ", "has no field dept; did you mean depth?"),
    "model.depth=abc": ("model.depth=abc: must be a whole number",),
    "model.widen=10000": ("cannot be built here", "choose a smaller one"),
    "model.widen=99999999999999999999999": ("model.widen=9", "at most 10000"),
    "model.depth=11": ("model.depth=11", "6 n + 4"),
    "model=null": ("model=null", "Available: densenet_bc"),
    "-m model=null,wrn_10_1": ("model=null", "Available"),
    "-m sweeps=digits,quick": ("sweeps=digits,quick", "one file at a time"),
    "-m sweeps=": ("sweeps=", "Available: cpu_adaptive_confirm, cpu_adaptive_screen"),
    "new=1": ("unknown key new", "Available: model"),
    "machine.thread=1": ("machine has no field thread; did you mean threads?",),
    "seed=99999999999999999999": ("seed=99999999999999999999", "2 ** 63"),
    "machine.threads=100000": ("machine.threads=100000", "1024"),
    "out=": ("out=", "folder"),
    "limit=25x": ("limit=25x: must be a time above 0: 90s, 25m, 1.5h or plain seconds",),
    "t_0=0": ("t_0=0", "(0, 1]"),
    "t_0=1.5": ("t_0=1.5", "(0, 1]"),
    "t_0=nan": ("t_0=nan", "(0, 1]"),
    "t_0=0.5,0.8": ("0.5,0.8", "--multirun"),
    "seed=range(5,5)": ("seed=range(5,5)", "add -m"),
    "model=glob(resnt*)": ("model=glob(resnt*)", "add -m"),
    "model=[wrn_10_1,vgg16]": ("model=[wrn_10_1,vgg16]", "must be one option"),
    "out=my runs": ('runs: must be KEY=VALUE; quote a value with spaces, as in "out=my runs"',),
    "~seed": ("~seed", "a key cannot be removed"),
    "sweep=mine": ("sweep=mine: names a sweep", "add -m"),
    "-m sweep=../evil": ("sweep=../evil", "letters, digits"),
    "-m sweep=digits": ("sweep=digits: names a grid of your own", "-m sweeps=digits"),
    "--config-path=X --config-name=config": ("--config-path", "--config-dir FOLDER"),
    "--config-name=nope": ("--config-name", "--config-dir FOLDER"),
    "--config-dir=missing": ("--config-dir missing: there is no such folder",),
    "--experimental-rerun=old": ("--experimental-rerun is not supported",),
    "--cfg=job --package=modle": ("--package modle: unknown; did you mean model?",),
    "--shell-completion": ("query=SHELL",),
    "--mutlirun": ("did you mean --multirun?",),
    "batch_size=5000": ("batch_size=5000", "1437 images: choose a smaller one"),
    "batch_size=0": ("batch_size=0", "at least 1"),
    "epochs=0": ("epochs=0", "at least 1"),
    "epochs=100000000": ("epochs=100000000", "at most 1000000"),
    "strategy=geometric strategy.epochs=0": ("epochs=0", "at least 1"),
    "strategy=layer_freezing strategy.epochs=-3": ("epochs=-3", "at least 1"),
    "strategy=geometric strategy.epochs=99999999999999999999999": ("at most 1000000",),
    "strategy=autofreeze strategy.intervals=1000000000": ("intervals=1000000000", "at most 1000000"),
    "strategy=weight_delta strategy.intervals=1000000000": ("intervals=1000000000", "at most 1000000"),
    "seed=-1": ("seed=-1", "at least 0"),
    "strategy.how_scale=quartic": ("quartic", "linear, squared, cubic"),
    "strategy=shortened strategy.budget=0": ("strategy.budget=0", "(0, 2]"),
    "strategy=layer_freezing strategy.freeze_start=1": ("freeze_start=1", "[0, 1)"),
    "optimizer.lr=-1": ("optimizer.lr=-1", "at least 0"),
    "machine=cpu machine.precision=tf32": ("tf32", "fp32 or bf16"),
    "machine.precision=fp64": ("fp64", "fp32, tf32, bf16"),
    "machine=cpu machine.capture=true": ("a CPU has no CUDA graphs",),
    "machine.run_ahead=3": ("run_ahead=3", "1, 2, 5, 10"),
    "model=vgg16": ("32 x 32", "dataset.size=32"),
    "model=torchvision model.network=resnet51": ("resnet51", "resnet50"),
    "model=timm model.network=resnet51": ("resnet51", "did you mean resnet51q"),
    "model=python model.target=nowhere": ("nowhere", "module:function"),
    "dataset=npz": ("dataset.train", "must be given"),
    "dataset=npz dataset.train=[missing.npz]": ("missing.npz",),
    "dataset=image_folder dataset.root=nowhere": ("nowhere",),
    "dataset=synthetic dataset.train=1000000000": ("dataset=synthetic", "do not fit into memory"),
    "out=/proc/nowhere": ("/proc/nowhere", "choose another folder"),
    "experiment=digits": ("experiment", "sweeps"),
    "logger=none": ("logger", "tracker"),
    "trainer=cpu": ("trainer", "machine"),
    "strategy.t_0=0.5": ("strategy.t_0", "t_0=..."),
    "lr=0.1": ("lr", "optimizer.lr"),
}


@pytest.mark.skipif(torch.cuda.is_available(), reason="machine=auto finds a GPU here")
def test_graphs_are_refused_where_auto_finds_no_gpu(freezeout) -> None:
    said = freezeout("machine=auto", "machine.capture=true")
    assert said.code == 2
    assert "a CPU has no CUDA graphs" in said.err


def test_a_flag_between_the_words_is_said_to_be_there(freezeout) -> None:
    said = freezeout("seed=1", "-m", "t_0=0.5,0.8", quick=False)
    assert (said.code, said.out) == (2, "")
    assert said.err == "freezeout: t_0=0.5,0.8: flags go before or after all KEY=VALUE, not in between\n"


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_no_folder(freezeout, tmp_path, words: str) -> None:
    said = freezeout(*words.split())
    assert said.code == 2
    lines = [line for line in said.err.splitlines() if not line.startswith("W&B")]
    assert len(lines) == 1, said.err
    assert "Traceback" not in said.err
    assert not re.search(r"Could not|Error merging|Key '|full_key|object_type|https:", lines[0]), "Hydra's own words"
    for part in MISTAKES[words]:
        assert part in lines[0]
    assert not list(tmp_path.iterdir())


def test_cuda_is_refused_where_there_is_none(freezeout, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    said = freezeout("machine=cuda")
    assert said.code == 2
    assert "no CUDA device" in said.err


def test_a_mistake_is_answered_within_seconds_before_torch(tmp_path) -> None:
    start = time.monotonic()
    command = [sys.executable, "-X", "importtime", "-m", "freezeout", "t_0=2"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "t_0=2.0: must lie in (0, 1]" in done.stderr
    assert "| torch\n" not in done.stderr
    assert time.monotonic() - start < 10


def test_truncated_and_mislabelled_archives_are_named(freezeout, tmp_path) -> None:
    good = {"x": np.zeros((60, 8, 8, 3), np.uint8), "y": np.arange(60) % 3}
    np.savez(tmp_path / "good.npz", **good)
    np.savez(tmp_path / "short.npz", x=good["x"], y=good["y"][:50])
    (tmp_path / "cut.npz").write_bytes((tmp_path / "good.npz").read_bytes()[:500])
    for name in ("short", "cut"):
        said = freezeout("dataset=npz", f"dataset.train=[{name}.npz]", "dataset.test=[good.npz]", "dataset.split=test")
        assert said.code == 2
        assert f"{name}.npz" in said.err
        assert len(said.err.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_t_0_without_effect_is_said(freezeout) -> None:
    said = freezeout("strategy=baseline", "t_0=0.5", "epochs=1")
    assert said.code == 0
    assert "t_0=0.5 has no effect: strategy baseline does not read it" in said.err
    assert "no effect" not in freezeout("strategy=freezeout", "t_0=0.5", "epochs=1").err


def test_one_run_leaves_its_record_and_the_second_time_only_reads_it(freezeout, tmp_path) -> None:
    said = freezeout("strategy=freezeout", "t_0=0.5", "epochs=1")
    assert said.code == 0
    assert "error" in said.out
    (folder,) = (tmp_path / "runs").glob("*/0")
    assert {"record.json", "metrics.jsonl", "config.yaml", "checkpoint.pt", "predictions.npz"} <= {
        p.name for p in folder.iterdir()
    }
    record = json.loads((folder / "record.json").read_text())
    assert record["status"] == "done"
    assert record["config"]["strategy"] == {
        "name": "freezeout",
        "t_0": 0.5,
        "how_scale": "cubic",
        "scale_lr": True,
        "bn": "eval",
        "const_time": False,
        "depth": "index",
    }
    before = (folder / "record.json").read_bytes()
    again = freezeout("strategy=freezeout", "t_0=0.5", "epochs=1")
    assert again.out == f"done before: {said.out}"
    assert (folder / "record.json").read_bytes() == before


@pytest.mark.parametrize("path", sorted((ROOT / "conf").glob("*/*.yaml")), ids=lambda p: f"{p.parent.name}={p.stem}")
def test_every_option_opens_with_a_comment_and_composes(freezeout, path: Path) -> None:
    assert path.read_text().startswith("# ")
    given = {
        "model=python": ["model.target=package:build"],
        "dataset=npz": ["dataset.train=[a.npz]"],
        "dataset=python": ["dataset.target=package:build"],
        "dataset=image_folder": ["dataset.root=images"],
    }
    choice = f"{path.parent.name}={path.stem}"
    said = freezeout("--cfg", "job", "--resolve", choice, *given.get(choice, []), quick=False)
    assert said.code == 0, said.err
    assert yaml.safe_load(said.out)[path.parent.name] is not None


def test_help_is_a_page_of_ours(freezeout) -> None:
    said = freezeout("--help", quick=False)
    assert said.code == 0
    for words in (
        "python -m freezeout -m sweeps=NAME",
        "strategy   autofreeze, baseline, freeze_only, freezeout",
        "sweeps     cpu_adaptive_confirm, cpu_adaptive_screen",
        "Examples",
        "t_0: 0.8",
    ):
        assert words in said.out
    assert "schema" not in said.out
    both = freezeout("-m", "--cfg", "job", quick=False)
    assert (both.code, both.err) == (2, "freezeout: --cfg and --info show one run: leave out -m\n")


@pytest.mark.parametrize(
    ("words", "typed", "said"),
    [
        (["--info", "defaults"], "", "wrn_10_1"),
        (["-sc", "query=bash"], "freezeout strategy=fr", "strategy=freeze_only strategy=freezeout"),
        (["-sc", "query=bash"], "freezeout -m sweeps=", "sweeps=digits"),
    ],
)
def test_hydras_own_features_work(words: list[str], typed: str, said: str) -> None:
    # In a process of its own: --info leaves Hydra's handlers on the root logger.
    environment = {**os.environ, "COMP_LINE": typed, "COMP_POINT": str(len(typed))}
    command = [sys.executable, "-m", "freezeout", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert said in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    "command",
    [
        ["freezeout", "--help"],
        ["freezeout", "--cfg", "job"],
        ["freezeout", "--info", "defaults"],
        ["freezeout.predict", "--help"],
        ["analysis", "--help"],
    ],
    ids=" ".join,
)
def test_a_reader_that_has_gone_ends_the_program_without_a_word(command: list[str], tmp_path) -> None:
    reader, writer = os.pipe()
    os.close(reader)  # as `| head -1` does after its line
    where = {**os.environ, "PYTHONPATH": str(ROOT)}
    where.pop("PYTHONUNBUFFERED", None)  # with a buffer the pipe breaks late, and again when Python ends
    done = subprocess.run(
        [sys.executable, "-m", *command], stdout=writer, stderr=subprocess.PIPE, cwd=tmp_path, env=where
    )
    os.close(writer)
    assert done.stderr == b""
    assert done.returncode in (128 + signal.SIGPIPE, -signal.SIGPIPE)


OWN = {
    "model/own.yaml": "defaults: [/schema/model/wide_resnet@_here_, _self_]\ndepth: 10\nwiden: 1",
    "strategy/own.yaml": "defaults: [/schema/strategy/shortened@_here_, _self_]\nbudget: 0.5",
    "strategy/later.yaml": "defaults: [freezeout, _self_]\nt_0: 0.9",
}


@pytest.fixture
def own_options(tmp_path_factory) -> Path:
    """A folder for --config-dir with options of the user's own."""
    folder = tmp_path_factory.mktemp("own")
    for name, text in OWN.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_options_of_ones_own_are_found_in_the_folder_of_config_dir(freezeout, own_options, tmp_path) -> None:
    said = freezeout(f"--config-dir={own_options}", "model=own", "strategy=own", "epochs=2")
    assert said.code == 0, said.err
    (path,) = (tmp_path / "runs").glob("*/0/record.json")
    record = json.loads(path.read_text())
    assert record["config"]["model"] == {"name": "wide_resnet", "depth": 10, "widen": 1, "dropout": 0.0}
    assert len(record["epochs"]) == 1, "half of two epochs"
    composed = freezeout(f"--config-dir={own_options}", "--cfg", "job", "strategy=later", quick=False)
    assert yaml.safe_load(composed.out)["strategy"]["t_0"] == 0.9


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "defaults: [/schema/strategy/freezeout@_here_, _self_]\nfoo: 1",
            "strategy/bad.yaml: strategy.foo: strategy free",
        ),
        ("defaults: [freezeout, _self_]\nt_0: abc", "strategy/bad.yaml: strategy.t_0=abc: must be a number"),
        (
            "defaults: [/schema/strategy/frezeout@_here_]",
            "strategy/bad.yaml: schema/strategy/frezeout: unknown; did you",
        ),
        ("defaults: [freezout]", "strategy/bad.yaml: strategy/freezout: unknown; did you mean freezeout?"),
        ("t_0: 0.5", "strategy: the option chosen has no schema; begin its file with the defaults [/schema/strategy/"),
        ("", "strategy: the option chosen has no schema"),
        ("t_0: [1", "strategy/bad.yaml, line 1: not YAML"),
    ],
)
def test_a_mistake_in_an_option_of_ones_own_names_its_file(freezeout, own_options, text: str, line: str) -> None:
    (own_options / "strategy/bad.yaml").write_text(text)
    said = freezeout(f"--config-dir={own_options}", "strategy=bad")
    assert said.code == 2
    assert len(said.err.splitlines()) == 1
    assert line in said.err


def test_a_misspelt_option_is_looked_for_among_ones_own(freezeout, own_options) -> None:
    said = freezeout(f"--config-dir={own_options}", "strategy=owm")
    assert (said.code, len(said.err.splitlines())) == (2, 1)
    assert "strategy=owm: unknown; did you mean own?" in said.err


def test_a_folder_that_cannot_be_written_to_is_refused_before_anything_else_is_said(freezeout) -> None:
    line = "freezeout: out=/dev/null/runs: cannot write there (/dev/null is not a folder); choose another folder\n"
    for words in (["epochs=1"], ["-m", "epochs=1,2"]):
        said = freezeout(*words, "out=/dev/null/runs", quick=False)
        assert (said.code, said.err) == (2, line)


def test_its_version_is_its_own() -> None:
    import freezeout

    said = subprocess.run([sys.executable, "-m", "freezeout", "--version"], capture_output=True, text=True, check=True)
    assert said.stdout.startswith(f"freezeout {freezeout.__version__} (Hydra ")
