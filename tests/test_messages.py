"""What Hydra and OmegaConf refuse is said in the words of the command line."""

from __future__ import annotations

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from freezeout.naming import folder
from freezeout.run.config import ConfigError, parse, register
from freezeout.run.groups import no_such_field
from freezeout.run.messages import LONGEST, one_line, shown

SAID = {
    "model.depth=1.5": "model.depth=1.5: must be a whole number",
    "model.depth=[1,2]": "model.depth=[1,2]: must be a whole number",
    "model.depth=null": "model.depth=null: must not be null",
    "model.depth.x=1": "model.depth.x=1: model.depth is one value and has no fields",
    "t_0=": "t_0=: must be a number",
    "t_0=${nope}": "strategy.t_0: there is no nope to take its value from",
    "t_0=${t_0}": "strategy.t_0: takes its value from itself",
    "optimizer.lr=${out}": "optimizer.lr=runs: must be a number",
    "strategy.scale_lr=maybe": "strategy.scale_lr=maybe: must be true or false",
    "out=[a]": "out=[a]: must be text",
    "out=a,b": "out=a,b: several values; add -m (--multirun) to run each",
    "seed=sort(3,1)": "seed=sort(3,1): several values; add -m (--multirun) to run each",
    "+seed=1": "+seed=1: it already exists; leave out the plus",
    "+model=vgg16": "model: an option is chosen without a plus",
    "++model=vgg16": "++model=vgg16: an option is chosen without a plus",
    "hydra.nope=1": "hydra.nope=1: unknown key hydra.nope; --cfg hydra --package hydra prints what there is",
    "hydra.run=1": "hydra.run=1: has the wrong type",
    "hydra/sweeper=arm": "hydra/sweeper=arm: unknown; did you mean arms? Available: arms, basic",
    "optimizer.momentun=0": "optimizer.momentun=0: optimizer sgd has no field momentun; did you mean momentum? It has: "
    "lr, momentum, nesterov, weight_decay, warmup",
    "out=(": "out=(: cannot be parsed; quote special characters twice: \"out='('\"",
    "out='a": "out='a: its quotes do not match",
    "out=~/a": "out=~/a: ~ is not expanded here; write the path in full",
    "model..depth=1": "model..depth=1: must be KEY=VALUE, as in seed=1 or model.depth=16",
    "seed=cast(1)": "seed=cast(1): Unknown function 'cast'",
}


@pytest.fixture(scope="module", autouse=True)
def conf():
    register()
    with initialize_config_dir(str(folder("conf")), version_base="1.3"):
        yield


@pytest.mark.parametrize("word", SAID)
def test_the_line_says_the_word_and_the_rule(word: str) -> None:
    with pytest.raises((ConfigError, HydraException, OmegaConfBaseException)) as caught:
        parse(compose("config", [word]))
    assert one_line(caught.value) == SAID[word]


def test_a_new_argument_of_a_network_needs_a_plus() -> None:
    with pytest.raises(HydraException) as caught:
        compose("config", ["model=torchvision", "model.options.dropout=0.3"])
    line = "model.options.dropout=0.3: a new entry needs a plus: +model.options.dropout=0.3"
    assert one_line(caught.value) == line


def test_other_errors_are_joined_to_one_line_without_advice() -> None:
    assert one_line(ConfigError("out=a\n  b: not here")) == "out=a b: not here"
    given = "Something else\n    full_key: model.depth\n    object_type=WideResNet\nSet the environment variable X"
    assert one_line(HydraException(given)) == "model.depth: Something else"


def test_a_very_long_word_is_cut_and_a_broken_one_joined() -> None:
    assert shown("out=" + 1000 * "x") == f"out={(LONGEST - 4) * 'x'}..."
    assert shown("out=a\nb") == "out=a b"


def test_a_field_that_is_lacking_is_looked_for_in_the_group() -> None:
    assert no_such_field("strategy", "baseline", "budget") == (
        "strategy baseline has no field budget; it has none; shortened has it"
    )
    assert "did you mean budget (of shortened)? It has none" in no_such_field("strategy", "baseline", "budgt")
    assert no_such_field("machine", "machine", "xyz").startswith("machine has no field xyz; it has: device, precision")
