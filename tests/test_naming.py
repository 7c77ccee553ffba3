"""How runs are called: in a legend, and as the command that makes them again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from analysis.collect import todays
from freezeout.naming import command, data_set, option_of, series
from freezeout.run.config import to_dict
from freezeout.run.overrides import compose_all

RECORDS = Path(__file__).parent.parent / "analysis" / "records" / "quick.jsonl"


def test_the_command_of_an_old_record_composes_to_its_configuration(freezeout) -> None:
    lines = RECORDS.read_text().splitlines()
    for line in (lines[0], lines[2], lines[-1]):
        record = json.loads(line)
        del record["command"]  # as some versions left it out
        config = record["config"]
        words = shlex.split(todays(record)["command"])
        assert words == shlex.split(command(config))
        assert words[:3] == ["python", "-m", "freezeout"]
        said = freezeout("--cfg", "job", "--resolve", *words[3:], quick=False)
        assert said.code == 0, said.err
        for key in ("seed", "epochs", "batch_size"):
            assert f"\n{key}: {config[key]}\n" in said.out
        for key, value in {**config["strategy"], **config["model"]}.items():
            written = str(value).lower() if isinstance(value, bool) else value
            assert key == "name" or f"  {key}: {written}\n" in said.out
        assert f"strategy={config['strategy']['name']}" in words


@pytest.mark.parametrize(
    ("rest", "name"),
    [
        ({}, "FreezeOut cubic scaled"),
        ({"batch_size": 100}, "FreezeOut cubic scaled batch_size=100"),
        ({"augment": {"kind": "none", "pad": [4, 4]}}, "FreezeOut cubic scaled augment={kind:none,pad:[4,4]}"),
        ({"compat": None}, "FreezeOut cubic scaled compat=null"),
    ],
)
def test_a_series_is_called_by_what_tells_it_apart_and_never_by_pythons_brackets(rest, name) -> None:
    strategy = {"name": "freezeout", "t_0": 0.5, "how_scale": "cubic", "scale_lr": True}
    assert series({"strategy": strategy, "epochs": 20, **rest}) == name


# Not of the run: where it writes, and who watches.
APART = ("out", "tracker")


def asked(words: list[str]) -> dict:
    """The configuration that these words amount to, as a run's record keeps it."""
    (config,) = compose_all(words)
    return {key: value for key, value in to_dict(config).items() if key not in APART}


@pytest.mark.parametrize(
    "words",
    [
        "",
        "model=wide_resnet model.depth=16 model.widen=2 seed=3 epochs=7",
        "model=vgg16 dataset=cifar100 data_dir=/data dataset.split=test t_0=0.5",
        "dataset=cifar10 dataset.root=/elsewhere dataset.validation=100",
        "dataset=npz 'dataset.train=[a b.npz]' 'dataset.test=[c.npz]' dataset.validation=9",
        "strategy=layer_freezing strategy.epochs=50 epochs=100",
        "strategy=geometric strategy.bn=train",
        "strategy=shortened strategy.budget=0.55 optimizer=adamw optimizer.lr=0.0001",
        "model=torchvision model.network=resnet18 +model.options.zero_init_residual=true augment=none",
        "machine=cpu machine.precision=bf16 machine.run_ahead=5 label_smoothing=0.1 compat=original",
    ],
)
def test_a_runs_command_amounts_to_its_configuration(words: str) -> None:
    config = asked(shlex.split(words))
    assert asked(shlex.split(command(config))[3:]) == config


def test_the_folder_of_data_is_compared_with_what_the_environment_says(monkeypatch) -> None:
    monkeypatch.setenv("FREEZEOUT_DATA", "/data")
    assert "data_dir" not in command(asked([]))
    assert "data_dir=/other" in command(asked(["data_dir=/other"]))


def test_an_exact_fit_has_a_name_of_its_own_and_others_are_sized_by_their_fields() -> None:
    section = {"name": "wide_resnet", "depth": 40, "widen": 4, "dropout": 0.0}
    assert option_of("model", {"model": section}) == ("wrn_40_4", {})
    assert option_of("model", {"model": section | {"depth": 16}}) == ("wide_resnet", {"depth": 16})
    assert option_of("model", {"model": {"name": "mine", "depth": 3}}) == ("mine", {"depth": 3})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("model=wide_resnet model.depth=16 model.widen=1", "model=wide_resnet model.depth=16 model.widen=1"),
        ("model=wrn_10_1 model.widen=2", "model=wide_resnet model.depth=10 model.widen=2"),
        ("model=densenet_bc model.depth=16 model.growth=8", "model=densenet_bc model.depth=16 model.growth=8"),
        ("model=resnet8 model.depth=14", "model=resnet_cifar model.depth=14"),
        ("model=vgg_small model.width=0.25", "model=vgg model.width=0.25"),
        ("model=wrn_10_1 model.dropout=0.3", "model=wrn_10_1 model.dropout=0.3"),
        ("model=densenet_bc_16_4 model.dropout=0.2", "model=densenet_bc_16_4 model.dropout=0.2"),
        ("model=resnet8 model.width=8", "model=resnet8 model.width=8"),
    ],
)
def test_a_network_is_called_by_a_size_only_where_it_has_it(words: str, said: str) -> None:
    asked_for = asked(words.split())
    assert command(asked_for).startswith(f"python -m freezeout {said} dataset=")
    assert asked(shlex.split(command(asked_for))[3:]) == asked_for


@pytest.mark.parametrize(
    ("words", "recorded"),
    [
        ("model=wide_resnet model.depth=16 model.widen=1", "model=wrn_10_1 model.depth=16"),
        ("model=wrn_10_1", "model=wrn_10_1"),
        ("model=timm +model.options.drop_path_rate=0.1", "model=timm +model.options.drop_path_rate=0.1"),
    ],
)
def test_a_recorded_command_calls_the_network_as_it_is_called_today(words: str, recorded: str) -> None:
    rest = "dataset=npz 'dataset.train=[a b.npz]' machine=auto data_dir=data"
    record = {"config": asked(words.split()), "command": f"python -m freezeout {recorded} {rest}"}
    assert todays(record)["command"] == f"python -m freezeout {words} {rest}"


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ({"name": "npz", "train": ["data/cifar10_train.npz"]}, "cifar10 (npz)"),
        ({"name": "npz", "train": ["own.training.npz", "more.npz"]}, "own (npz)"),
        ({"name": "npz", "train": ["train.npz"]}, "npz"),
        ({"name": "npz"}, "npz"),
        ({"name": "cifar10", "size": None}, "cifar10"),
        (None, None),
    ],
)
def test_a_data_set_in_files_is_called_by_the_first_of_them(dataset, name) -> None:
    assert data_set(dataset) == name
