"""A sweep file of the user's own: what is wrong with one is said in one line, with its name, before anything starts."""

from __future__ import annotations

import json

import pytest

from freezeout.cli.sweep_file import SweepFile, checked
from freezeout.cli.sweep_list import grow
from freezeout.records import sweep_path
from freezeout.run.config import ConfigError

GOOD = "arms: [[strategy=baseline]]\nseeds: [0]\n"

# The file's text -> what the one line must say: the file, the arm, the value, what is allowed, the nearest match.
MISTAKES = {
    "": ("sweeps/mine.yaml is empty", "must hold arms and seeds"),
    "- strategy=baseline\n": ("sweeps/mine.yaml holds a list", "must hold arms and seeds"),
    "arms: [[strategy=baseline\n": ("sweeps/mine.yaml, line 2", "not YAML"),
    GOOD + "commn: [epochs=1]\n": (
        "sweeps/mine.yaml: unknown key commn",
        "did you mean common",
        "arms, seeds, common, packed",
    ),
    GOOD + "packed: 1\n": ("sweeps/mine.yaml: packed=1", "must be true or false"),
    GOOD + "packt: true\n": ("sweeps/mine.yaml: unknown key packt", "did you mean packed"),
    "arms: 3\nseeds: [0]\n": ("sweeps/mine.yaml: arms=3", "must be a list"),
    "arms: []\nseeds: [0]\n": ("sweeps/mine.yaml: arms=[]", "must be a list"),
    "arms: [[strategy=baseline]]\n": ("sweeps/mine.yaml: seeds is missing", "seeds: [0, 1, 2]"),
    "arms: [[strategy=baseline]]\nseeds: 3\n": ("sweeps/mine.yaml: seeds=3", "must be a list"),
    "arms: [[strategy=baseline]]\nseeds: [0, a]\n": ("sweeps/mine.yaml: seeds=[0, 'a']", "a is not a whole number"),
    "arms: [[strategy=baseline]]\nseeds: [true]\n": ("sweeps/mine.yaml", "True is not a whole number"),
    "arms: [strategy=baseline]\nseeds: [0]\n": ("sweeps/mine.yaml, arm 1: strategy=baseline", "must be a list"),
    GOOD + "common: epochs=1\n": ("sweeps/mine.yaml, common: epochs=1", "must be a list"),
    "arms: [[strategy=baseline], [strategy=freezeout, t_0=0.2,0.4]]\nseeds: [0]\n": (
        "sweeps/mine.yaml, arm 2: 0.4",
        "must be KEY=VALUE",
        "'t_0=0.2,0.4'",
    ),
    "arms: [[strategy=baseline], [stratgy=freezeout]]\nseeds: [0]\n": (
        "sweeps/mine.yaml, arm 2: stratgy=freezeout",
        "did you mean strategy",
    ),
    "arms: [[sweep=other]]\nseeds: [0]\n": ("sweeps/mine.yaml, arm 1: sweep=other", "leave it out"),
    "arms: [[strategy=baseline], [strategy=freezeout, strategy.how_scal=cubic]]\nseeds: [0]\n": (
        "sweeps/mine.yaml, arm 2: strategy.how_scal=cubic: strategy freezeout has no how_scal",
        "did you mean how_scale",
    ),
    "arms: [[strategy=baseline, strategy.budget=0.5], [strategy=shortened]]\nseeds: [0]\n": (
        "sweeps/mine.yaml, arm 1: strategy.budget=0.5: strategy baseline has no budget",
        "shortened has it",
    ),
    GOOD + "common: [strategy.budget=0.5]\n": ("sweeps/mine.yaml, common: strategy.budget=0.5", "shortened has it"),
    "arms: [[strategy=freezeout, strategy.how_scale=quartic]]\nseeds: [0]\n": (
        "sweeps/mine.yaml, arm 1: strategy.how_scale=quartic",
        "linear, squared, cubic",
    ),
    "arms: [[model=wrn_10_1, model.depth=many]]\nseeds: [0]\n": ("sweeps/mine.yaml, arm 1: ", "many", "whole number"),
    "arms: [['t_0=range(1,1)']]\nseeds: [0]\n": ("sweeps/mine.yaml, arm 1: t_0=range(1,1)", "nothing to sweep"),
    "arms: [['t_0=[0.1']]\nseeds: [0]\n": ("sweeps/mine.yaml, arm 1: ", "t_0=[0.1"),
    "arms: [['model=vgg16,wrn_1010']]\nseeds: [0]\n": (
        "sweeps/mine.yaml, arm 1: model=wrn_1010: unknown",
        "did you mean wrn_10_1",
    ),
    GOOD + "margin: 1.5%\n": ("sweeps/mine.yaml: margin=1.5%", "must be per cent of the error"),
    GOOD + "margin: 0\n": ("sweeps/mine.yaml: margin=0", "must be per cent of the error"),
    GOOD + "margin: true\n": ("sweeps/mine.yaml: margin=True", "must be per cent of the error"),
    "arms: [['model=glob(resnt*)']]\nseeds: [0]\n": ("sweeps/mine.yaml, arm 1: model=glob(resnt*)", "resnet"),
}


@pytest.fixture
def mine(freezeout, tmp_path):
    """Run the sweep of a file with this text, found through --config-dir."""
    path = tmp_path / "own/sweeps/mine.yaml"
    path.parent.mkdir(parents=True)

    def run(text: str, *words: str):
        path.write_text(text)
        return freezeout("-m", f"--config-dir={tmp_path / 'own'}", "sweeps=mine", *words)

    return run


@pytest.mark.parametrize("text", MISTAKES, ids=lambda text: " ".join(text.split())[:50])
def test_a_mistake_in_a_sweep_file_is_one_line_and_starts_nothing(mine, tmp_path, text: str) -> None:
    said = mine(text)
    assert said.code == 2, said
    assert len(said.err.splitlines()) == 1, said.err
    assert "Traceback" not in said.err
    for part in MISTAKES[text]:
        assert part in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


def test_a_mistake_that_was_typed_is_not_blamed_on_the_file(mine) -> None:
    assert mine(GOOD, "epochs=0").err == "freezeout: epochs=0: must be at least 1\n"


def test_a_users_own_option_may_stand_in_a_users_own_sweep_file(mine, tmp_path) -> None:
    (tmp_path / "own/model").mkdir()
    (tmp_path / "own/model/tiny.yaml").write_text(
        "defaults: [/schema/model/densenet_bc@_here_, _self_]\ndepth: 10\ngrowth: 2\n"
    )
    said = mine("arms: [[model=tiny, strategy=baseline]]\nseeds: [0]\nmargin: 1.5\n", "epochs=1")
    assert said.code == 0, said.err
    (manifest,) = tmp_path.rglob("sweeps/mine*.json")
    assert json.loads(manifest.read_text())["margin"] == 1.5
    assert "1 run, 0 done before, 1 to do" in said.err


def test_what_a_sweep_file_holds_is_typed() -> None:
    content = {"arms": [["strategy=baseline"]], "seeds": [0, 1], "common": ["epochs=1"]}
    found = checked("mine", content, lambda group: ["baseline"])
    assert found == SweepFile(name="mine", arms=[["strategy=baseline"]], seeds=[0, 1], common=["epochs=1"])
    assert found.shared == ["epochs=1", "seed=0,1"]
    assert not found.packed
    assert checked("mine", content | {"packed": True}, lambda group: ["baseline"]).packed


def test_the_margin_is_written_down_before_the_first_run_and_stays(tmp_path) -> None:
    run = {"run_id": "a-0", "seed": 0, "label": {"strategy": {"name": "baseline"}, "epochs": 1}}
    grow(tmp_path, "mine", [run], 1.5)
    assert json.loads(sweep_path(tmp_path, "mine").read_text())["margin"] == 1.5
    assert grow(tmp_path, "mine", [run], 1.5) == [run]
    for other in (2.0, None):
        with pytest.raises(ConfigError, match=rf"margin={other}: must stay 1\.5, as set before the first run"):
            grow(tmp_path, "mine", [run], other)


def test_a_margin_is_not_thought_of_after_the_first_run(tmp_path) -> None:
    run = {"run_id": "a-0", "seed": 0, "label": {"strategy": {"name": "baseline"}, "epochs": 1}}
    grow(tmp_path, "mine", [run])
    assert "margin" not in json.loads(sweep_path(tmp_path, "mine").read_text())
    with pytest.raises(ConfigError, match="must stay none"):
        grow(tmp_path, "mine", [run], 1.5)
