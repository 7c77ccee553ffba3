"""Words typed are answered before Hydra meets them, where it would say less or something else."""

from __future__ import annotations

import pytest

from freezeout.run.config import ConfigError
from freezeout.run.overrides import HABITS, check_overrides, compose_all

MISTAKES = [
    (["model"], "model: must be KEY=VALUE, as in model=VALUE"),
    (["seed=1", "frozen"], 'frozen: must be KEY=VALUE; quote a value with spaces, as in "seed=1 frozen"'),
    (["out=my", "runs"], 'runs: must be KEY=VALUE; quote a value with spaces, as in "out=my runs"'),
    ([""], "an empty word: must be KEY=VALUE"),
    (["=5"], "=5: must be KEY=VALUE"),
    ([".=5"], ".=5: must be KEY=VALUE"),
    (["x" * 500], f"{'x' * 120}...: must be KEY=VALUE"),
    (["epochz=5"], "epochz=5: unknown key epochz; did you mean epochs? Available: model, dataset"),
    (["+new.x=1"], "+new.x=1: unknown key new"),
    (["model@x=vgg16"], "model@x=vgg16: model is set without @, as in model=VALUE"),
    (["model/x=vgg16"], "model/x=vgg16: model is set without /, as in model=VALUE"),
    (["hydra=1"], "hydra=1: a group of fields"),
    (["~seed"], "~seed: a key cannot be removed; set another value, as in seed=VALUE"),
    (["~model.depth"], "~model.depth: a key cannot be removed"),
    (["model="], "model=: unknown. Available: densenet_bc"),
    (["model=1"], "model=1: unknown"),
    (["model=null"], "model=null: unknown"),
    (["model='wrn 10 1'"], "model=wrn 10 1: unknown; did you mean wrn_10_1?"),
    (["model={depth:10}"], "model={depth:10}: must be one option, as in model=densenet_bc"),
    (["model=[wrn_10_1]"], "model=[wrn_10_1]: must be one option"),
    (["sweep=mine"], "sweep=mine: names a sweep: add -m"),
    (["sweep=quick"], "sweep=quick: names a grid of your own; run that file with -m sweeps=quick"),
    (["sweeps=[quick]"], "sweeps=[quick] names many runs: add -m"),
    (["machine.fold=-1"], "machine.fold=-1: must be true or false"),
    (["strategy.scale_lr=7"], "strategy.scale_lr=7: must be true or false"),
    (["++retry_failed=2"], "retry_failed=2: must be true or false"),
    (["seed=" + "9" * 5000], f"seed={'9' * 115}...: cannot be read"),
    (["out=a=b"], "out=a=b: cannot be parsed"),
    (["out=\n("], "out= (: cannot be parsed"),
]


@pytest.mark.parametrize(("words", "line"), MISTAKES)
def test_a_mistake_is_answered_in_one_line(words: list[str], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_overrides(words, multirun=False)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("habit", HABITS)
def test_a_habit_is_answered_with_what_it_is_called_here(habit: str) -> None:
    with pytest.raises(ConfigError, match=f"^{habit}=1: here it is called {HABITS[habit]}"):
        check_overrides([f"{habit}=1"], multirun=False)


def test_each_option_of_a_sweep_is_looked_up() -> None:
    for words in (["model=wrn_10_1,vgg61"], ["model=choice(wrn_10_1,vgg61)"]):
        with pytest.raises(ConfigError, match=r"^model=vgg61: unknown; did you mean vgg16"):
            check_overrides(words, multirun=True)
    check_overrides(["model=wrn_10_1,vgg16", "dataset=glob(*)", "seed=range(3)", "sweep=mine"], multirun=True)


def test_each_value_of_a_switch_in_a_sweep_is_looked_at() -> None:
    with pytest.raises(ConfigError, match=r"^machine.fold=7: must be true or false"):
        check_overrides(["machine.fold=true,7"], multirun=True)
    check_overrides(["machine.fold=true,0", "strategy.scale_lr=glob(*)"], multirun=True)


def test_right_words_pass() -> None:
    words = [
        "machine.fold=0",
        "machine.compile=null",
        "retry_failed=1",
        "model=vgg16",
        "model.width=0.5",
        "+model.options.a=1",
        "~model.options.a",
        "out='my runs'",
        "seed=3",
    ]
    check_overrides([*words, "hydra/launcher=basic", "hydra.verbose=true", "compat=null"], multirun=False)


def test_an_option_may_lie_in_a_folder_of_the_users_own() -> None:
    check_overrides(["model=mine"], multirun=False, searchpath=True)


def test_lists_of_values_become_one_configuration_for_each_combination() -> None:
    found = compose_all(["model=resnet8", "t_0=0.3,0.5", "seed=range(2)"])
    assert [(config.t_0, config.seed) for config in found] == [(0.3, 0), (0.3, 1), (0.5, 0), (0.5, 1)]


@pytest.mark.parametrize("word", ["seed=range(5,5)", "model=glob(res*)", "t_0=interval(0,1)"])
def test_what_lists_no_values_is_refused(word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose_all([word])
    assert str(caught.value) == f"{word}: has no list of values; write KEY=VALUE,VALUE"
