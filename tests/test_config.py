"""A composed configuration becomes checked dataclasses, or one line that says why it cannot."""

from __future__ import annotations

import pytest
import yaml
from hydra import compose, initialize_config_dir

from freezeout.naming import folder, options
from freezeout.run.config import Config, ConfigError, parse, register, to_dict
from freezeout.train.schema import CHOICES


@pytest.fixture(scope="module", autouse=True)
def conf():
    register()
    with initialize_config_dir(str(folder("conf")), version_base="1.3"):
        yield


def parsed(*words: str) -> Config:
    return parse(compose("config", [*words]))


def test_the_folder_of_options_is_found_from_where_the_package_lies() -> None:
    for name in ("conf", "sweeps"):
        assert list(folder(name).glob("*.yaml"))
    assert (folder("conf") / "config.yaml").exists()


def test_machines_differ_in_their_device_alone_or_in_what_is_measured() -> None:
    machines = {name: to_dict(parsed(f"machine={name}"))["machine"] for name in options("machine")}
    measured = machines.pop("measured")
    assert measured == machines["auto"] | {**dict.fromkeys(CHOICES), "measured": True}
    assert {name: machine.pop("device") for name, machine in machines.items()} == {
        n: n for n in ("auto", "cpu", "cuda")
    }
    assert machines["cpu"] == machines["cuda"] == machines["auto"]
    assert machines["auto"]["name"] == "machine"


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_a_machine_repeats_nothing_of_the_one_that_it_is_derived_from(name: str) -> None:
    written = yaml.safe_load((folder("conf") / f"machine/{name}.yaml").read_text())
    assert written == {"defaults": ["auto", "_self_"], "device": name}


def test_plain_data_names_the_dataclass_of_each_group_and_leaves_out_who_asked() -> None:
    plain = to_dict(parsed("model=resnet8", "sweep=mine", "limit=25m", "retry_failed=true"))
    assert plain["model"] == {"name": "resnet_cifar", "depth": 8, "width": 16}
    assert not {"sweep", "sweeps", "limit", "retry_failed", "planned"} & plain.keys()


def test_threads_beyond_the_cores_of_this_process_are_refused_with_their_number(monkeypatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {3, 5, 7})
    assert parsed("machine.threads=3").machine.threads == 3
    with pytest.raises(
        ConfigError, match=r"^machine.threads=4: must be at most 3, the cores that this process may use$"
    ):
        parsed("machine.threads=4")


@pytest.mark.parametrize(
    ("option", "key", "most"),
    [
        ("model=densenet_bc_16_4", "model.growth", 10_000),
        ("model=densenet_bc", "model.depth", 10_000),
        ("model=wrn_10_1", "model.widen", 10_000),
        ("model=wide_resnet", "model.depth", 10_000),
        ("model=resnet8", "model.width", 10_000),
        ("model=resnet_cifar", "model.depth", 10_000),
        ("dataset=synthetic", "dataset.classes", 1_000_000_000),
        ("dataset=synthetic", "dataset.train", 1_000_000_000),
        ("dataset=synthetic", "dataset.size", 4096),
        ("machine=cpu", "machine.threads", 1024),
        ("machine=cpu", "epochs", 1_000_000),
    ],
)
def test_a_count_to_which_nothing_could_be_built_is_refused_with_the_largest(option: str, key: str, most: int) -> None:
    step = 2 if option == "model=resnet_cifar" else 4  # networks have 6 n + 2 or 6 n + 4 layers
    for count in (6 * most + step, 6 * 2**63 + step, 6 * 10**23 + step):
        with pytest.raises(ConfigError, match=rf"^{key}={count}: must be at most {most}$"):
            parsed(option, f"{key}={count}")


@pytest.mark.parametrize("name", ["mine", "a.b-c_1", "1", "x" * 100])
def test_a_sweep_can_be_called(name: str) -> None:
    assert parsed(f"sweep={name}").sweep == name


@pytest.mark.parametrize("name", ["../evil", "a/b", ".hidden", "..", "''", "'a b'", "'é'", "x" * 101])
def test_a_sweep_cannot_be_called(name: str) -> None:
    with pytest.raises(ConfigError, match="letters, digits"):
        parsed(f"sweep={name}")


@pytest.mark.parametrize("word", ["out=", "data_dir=", "out='~/runs'"])
def test_a_folder_has_a_name_and_no_tilde(word: str) -> None:
    with pytest.raises(ConfigError, match=f"^{word.partition('=')[0]}="):
        parsed(word)


@pytest.mark.parametrize("word", ["+model.dept=16", "++model.dept=16", "+strategy.budget=0.5", "+machine.x={a:1}"])
def test_a_plus_adds_no_field_that_nothing_reads(word: str) -> None:
    with pytest.raises(ConfigError, match="has no field"):
        parsed(word)


def test_a_plus_adds_arguments_of_a_network() -> None:
    config = parsed("model=torchvision", "+model.options.dropout=0.3")
    assert config.model.options == {"dropout": 0.3}


def test_what_must_be_given_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^dataset.train: must be given, as in dataset.train=VALUE$"):
        parsed("dataset=npz")
