"""From arms, seeds and swept values to jobs: composed as Hydra would, each field where there is one of its name."""

from __future__ import annotations

import random

import pytest
import yaml
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freezeout.cli.composer import MISTAKES, Composer
from freezeout.cli.expansion import expand, hold_back, typed
from freezeout.cli.sweep_file import SweepFile, checked
from freezeout.naming import folder
from freezeout.run import config as configuration
from freezeout.run.messages import one_line

# Overrides of one job, from all that a sweep may hold: options, fields, interpolations, lists, additions, deletions.
VARIED = [
    [],
    ["strategy=baseline", "seed=3"],
    ["strategy=freezeout", "strategy.how_scale=linear", "strategy.scale_lr=false", "t_0=0.3", "seed=0"],
    ["strategy=freezeout", "strategy.how_scale=linear", "strategy.scale_lr=false", "t_0=0.3", "seed=1"],
    ["strategy=layer_freezing", "epochs=7", "strategy.freeze_start=0.25"],
    ["strategy=layer_freezing", "epochs=7", "seed=0", "strategy.epochs=5"],
    ["t_0=${label_smoothing}", "label_smoothing=0.5", "strategy=lr_only"],
    ["epochs=${seed}", "seed=3", "strategy=geometric"],
    ["epochs=${seed}", "seed=4", "strategy=geometric"],
    ["dataset=cifar10", "data_dir=/elsewhere", "dataset.split=test"],
    ["dataset=npz", "dataset.train=[a.npz,'b c.npz']", "dataset.validation=7"],
    ["model=densenet_bc", "model.depth=16", "model.growth=4", "optimizer=adamw", "optimizer.lr=1e-4"],
    ["model=python", "model.target=package:build", "+model.options.width=64"],
    ["model=vgg", "model.width=${optimizer.lr}", "optimizer.lr=0.5"],
    ["machine=cpu", "machine.threads=null", "machine.run_ahead=2", "augment=none", "tracker=none"],
    ["out=some folder", "compat=original", "batch_size=${epochs}", "epochs=10"],
    ["++t_0=0.4", "sweep=mine"],
]


@pytest.fixture(scope="module")
def loader():
    configuration.register()
    with initialize_config_dir(str(folder("conf")), version_base="1.3"):
        return GlobalHydra.instance().config_loader()


@pytest.fixture(scope="module")
def master(loader):
    return loader.load_configuration("config", [], RunMode.MULTIRUN)


@pytest.fixture(scope="module")
def composer(loader, master):
    return Composer(loader, master)


@pytest.fixture(scope="module")
def by_hydra(loader):
    def compose(overrides: list[str]) -> configuration.Config:
        composed = loader.load_configuration("config", overrides, RunMode.RUN)
        return configuration.parse(configuration.without_hydra(composed))

    return compose


def test_a_job_is_composed_as_hydra_composes_it(composer, by_hydra) -> None:
    for overrides in VARIED:
        for _ in range(2):  # the second time from what was kept
            assert composer.config(overrides) == by_hydra(overrides), overrides


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.depth=many"],
        ["strategy.how_scal=cubic"],
        ["t_0=2"],
        ["seed=-1"],
        ["seed=0", "seed=1.5"],
        ["strategy=nothing"],
        ["+epochs=3"],
        ["dataset=npz"],
        ["t_0=${nothing}"],
    ],
)
def test_a_mistake_is_refused_in_hydras_words(composer, by_hydra, overrides: list[str]) -> None:
    with pytest.raises(MISTAKES) as ours:
        composer.config(overrides)
    with pytest.raises(MISTAKES) as theirs:
        by_hydra(overrides)
    assert one_line(ours.value) == one_line(theirs.value)


def test_hydra_composes_each_choice_of_options_once(loader, master, monkeypatch) -> None:
    asked = []
    real = loader.load_sweep_config
    monkeypatch.setattr(loader, "load_sweep_config", lambda *args: asked.append(args) or real(*args))
    fresh = Composer(loader, master)
    jobs, _ = expand(["strategy=freezeout,baseline", "t_0=0.1,0.2,0.3", "seed=range(0,5)"], None, fresh)
    assert len(jobs) == 30
    assert len(asked) == 2


def test_a_field_applies_to_the_options_that_have_it(composer, by_hydra) -> None:
    given = ["strategy=freezeout,baseline,shortened", "strategy.how_scale=cubic,linear", "epochs=1"]
    jobs, notes = expand(given, None, composer)
    assert notes == ["note: strategy.how_scale applies to freezeout; baseline, shortened have no such field"]
    scales = [getattr(job.config.strategy, "how_scale", None) for job in jobs]
    assert scales == ["cubic", "linear", None, None, None, None]
    for job in jobs:
        assert by_hydra(job.overrides) == job.config, "a launcher gets words that Hydra takes"


def test_a_field_of_models_and_data_sets_too(composer) -> None:
    given = ["model=wrn_10_1,vgg_small", "model.depth=16", "dataset=digits,synthetic", "dataset.train=100"]
    jobs, notes = expand([*given, "dataset.size=32"], None, composer)
    assert len(jobs) == 4
    assert notes == [
        "note: model.depth applies to wrn_10_1; vgg_small has no such field",
        "note: dataset.train applies to synthetic; digits has no such field",
    ]


def test_a_field_is_judged_over_the_whole_sweep_unless_an_arm_gives_it_itself(composer) -> None:
    arms = [["strategy=baseline"], ["strategy=freezeout"]]
    shared = SweepFile(name="mine", arms=arms, seeds=[0], common=["strategy.how_scale=linear"])
    jobs, notes = expand([], shared, composer)
    assert [type(job.config.strategy).__name__ for job in jobs] == ["Baseline", "FreezeOut"]
    assert notes == ["note: strategy.how_scale applies to freezeout; baseline has no such field"]
    own = SweepFile(name="mine", arms=[[*arms[0], "strategy.how_scale=linear"], arms[1]], seeds=[0])
    with pytest.raises(configuration.ConfigError, match=r"sweeps/mine\.yaml, arm 1: .*baseline has no how_scale"):
        expand([], own, composer)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (
            ["strategy=freezeout,baseline", "strategy.budget=0.5"],
            ("strategy.budget=0.5: strategy freezeout, baseline have no budget", "; shortened has it"),
        ),
        (
            ["strategy=freezeout,baseline", "strategy.how_scal=cubic"],
            ("strategy.how_scal=cubic: ", "did you mean how_scale (of freezeout)?"),
        ),
        (["strategy=baseline", "strategy.bn=eval"], ("strategy baseline has no bn; ", "freezeout", "have it")),
        (["machine.thread=1"], ("machine cpu has no thread; did you mean threads", "Available: device, precision")),
        (["seed=range(5,5)"], ("seed=range(5,5)", "nothing to sweep")),
        (["t_0=range(1,2,0)"], ("t_0=range(1,2,0)", "must not be zero")),
        (["t_0=interval(0,1)"], ("t_0=interval(0,1)", "write t_0=range(START,STOP)")),
        (["model=glob(resnt*)"], ("model=glob(resnt*): no option matches; did you mean resnet", "Available: densenet")),
        (["seed=glob(*)"], ("seed=glob(*): seed is not a config group", "write seed=VALUE,VALUE")),
    ],
)
def test_what_is_typed_and_cannot_be_is_one_line(freezeout, tmp_path, words: list[str], parts: tuple[str, ...]) -> None:
    said = freezeout("-m", *words)
    assert said.code == 2
    (line,) = said.err.splitlines()
    for part in parts:
        assert part in line
    assert not list(tmp_path.iterdir())


def test_glob_takes_the_options_that_match(composer) -> None:
    jobs, _ = expand(["model=glob(resnet*,exclude=resnet_cifar)"], None, composer)
    assert [job.overrides[0] for job in jobs] == [f"model=resnet{n}" for n in (20, 50, 56, 8)]


@pytest.mark.parametrize("value", ["cubic", "null", "[1,2]", "{a:1}", "'a, b'", "${t_0}", "1e-3", "int(3)", "true"])
def test_a_field_that_hydra_must_not_see_yet_is_held_back_and_given_back(composer, value: str) -> None:
    (held,) = hold_back([f"strategy.x={value}"])
    assert composer.parse(held).is_sweep_override()
    (back,) = typed([held], composer)
    assert composer.parse(back).value() == composer.parse(f"strategy.x={value}").value()


def test_only_a_field_of_a_group_is_held_back() -> None:
    words = [
        "-m",
        "epochs=1",
        "strategy=baseline",
        "strategy.how_scale=a,b",
        "+model.options.x=1",
        "hydra.verbose=true",
    ]
    assert hold_back(words) == words


def test_the_comparison_that_everyone_tries_first_runs(freezeout, tmp_path) -> None:
    said = freezeout("-m", "strategy=freezeout,baseline", "strategy.how_scale=linear", "epochs=1")
    assert said.code == 0, said.err
    assert "note: strategy.how_scale applies to freezeout; baseline has no such field" in said.err
    assert "2 runs, 0 done before, 2 to do" in said.err
    assert len(list((tmp_path / "runs").glob("*/0/record.json"))) == 2
    # The default strategy has no budget: what Hydra composes before the sweep must not stumble over it.
    said = freezeout("-m", "strategy=baseline,shortened", "strategy.budget=0.5", "epochs=2")
    assert said.code == 0, said.err


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.stem for path in sorted(folder("sweeps").glob("*.yaml"))])
def test_the_jobs_of_a_sweep_file_are_composed_as_hydra_composes_them(composer, by_hydra, name: str) -> None:
    content = yaml.safe_load((folder("sweeps") / f"{name}.yaml").read_text())
    jobs, _ = expand(["data_dir=elsewhere"], checked(name, content, composer.options), composer)
    chosen = random.Random(0).sample(jobs, min(len(jobs), 8))
    for job in chosen:
        assert job.config == by_hydra(job.overrides), job.overrides


# Values of every kind for keys that others are made from, or that have none, or that only some options have.
POOL = {
    "model": ["wrn_10_1", "vgg_small", "densenet_bc_16_4"],
    "dataset": ["digits", "cifar10", "synthetic"],
    "strategy": ["baseline", "freezeout", "shortened", "layer_freezing", "geometric"],
    "optimizer": ["sgd", "adamw"],
    "augment": ["none", "crop_flip"],
    "t_0": ["0.3", "1", "${label_smoothing}", "2", "many"],
    "label_smoothing": ["0.1", "0.25"],
    "seed": ["0", "7", "-1", "1.5"],
    "epochs": ["3", "${seed}", "null"],
    "batch_size": ["20", "${epochs}"],
    "strategy.how_scale": ["linear", "cubic", "quartic"],
    "strategy.epochs": ["5", "${epochs}"],
    "strategy.t_0": ["0.9"],
    "dataset.size": ["4", "null"],
    "optimizer.lr": ["1e-3", "${t_0}"],
    "augment.views": ["2", "null"],
    "machine.threads": ["1", "null"],
    "out": ["some folder", "'1'", "null"],
    "compat": ["original", "null"],
}


@pytest.mark.slow
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([f"{key}={value}" for key in POOL for value in POOL[key]]), max_size=7, unique=True))
def test_whatever_is_given_is_composed_or_refused_as_by_hydra(composer, by_hydra, overrides: list[str]) -> None:
    def outcome(compose) -> object:
        try:
            return compose(overrides)
        except MISTAKES as error:
            return one_line(error)

    assert outcome(composer.config) == outcome(by_hydra)
