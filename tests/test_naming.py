"""How runs are called: in a legend, and as the command that makes them again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from analysis.collect import todays
from freezeout.naming import command, series

RECORDS = Path(__file__).parent.parent / "analysis" / "records" / "quick.jsonl"


def test_the_command_of_an_old_record_composes_to_its_configuration(freezeout) -> None:
    lines = RECORDS.read_text().splitlines()
    for line in (lines[0], lines[2], lines[-1]):
        record = json.loads(line)
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
