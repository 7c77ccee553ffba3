"""An adaptive strategy at work in a plain loop: when it decides and from what, and a loop that is stopped."""

from __future__ import annotations

import copy
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from made_adapting import RULES, SMALL, Planned, every, make
from test_freeze import FACTS, train

from freezeout import FreezeOut
from freezeout.schedule import Schedule


def test_it_decides_at_the_end_of_every_interval_but_the_last_from_what_was_seen_in_it() -> None:
    chain, optimizer, freezeout = make(Planned(0, 2, 3))
    prefixes = []
    for step in range(SMALL):
        train(chain, optimizer, freezeout, 1, first=step)
        prefixes.append(freezeout.prefix)
    assert prefixes == [0] * 20 + [2] * 10 + [3] * 10
    assert freezeout.times == (0.5, 0.5, 0.75, 1.0, 1.0)
    assert freezeout.events == [20, 30]
    seen = freezeout.state_dict()["adaptive"]["state"]["seen"]
    assert [t for t, _ in seen] == [0.25, 0.5, 0.75]
    assert [[moved > 0 for moved in one] for _, one in seen] == [
        [True] * 5,
        [True] * 5,
        [False, False, True, True, True],
    ]


def test_a_strategy_that_would_thaw_or_freeze_the_head_does_neither() -> None:
    chain, optimizer, freezeout = make(Planned(3, 1, 5))
    train(chain, optimizer, freezeout, SMALL)
    assert freezeout.times == (0.25, 0.25, 0.25, 0.75, 1.0)


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.__name__)
def test_what_it_freezes_obeys_the_freeze_contract(fact, monkeypatch) -> None:
    """The facts are those of a schedule with one more stage frozen from t = 0.3, 0.475, 0.65 and 0.825 on."""

    class Scheduled(Planned):
        intervals = 40

        def frozen_prefix(self, state, t: float) -> int:
            return Schedule(freeze=(0.3, 0.475, 0.65, 0.825, 1.0), anneal=(1.0,) * 5).prefix(round(40 * t), 40)

    class Adapted(FreezeOut):
        def __init__(self, stages, optimizer, strategy, total_steps) -> None:
            super().__init__(stages, optimizer, Scheduled(), total_steps)

    fact(Adapted)


@every
@pytest.mark.parametrize("stop", [1, 7, 15, 16, 38])
@pytest.mark.parametrize("order", [(0, 2, 1), (2, 0, 1)], ids=str)
def test_a_resumed_loop_is_the_loop_that_was_never_stopped(name: str, stop: int, order) -> None:
    through = make(RULES[name])
    train(*through, SMALL)
    assert 0 < through[2].prefix < 5
    first = make(RULES[name])
    train(*first, stop)
    saved = copy.deepcopy([part.state_dict() for part in first])
    json.dumps(saved[2]["adaptive"]["state"])
    again = make(RULES[name])
    for i in order:
        again[i].load_state_dict(copy.deepcopy(saved[i]))
    train(*again, SMALL - stop, first=stop)
    assert again[2].times == through[2].times
    for a, b in zip(again[0].state_dict().values(), through[0].state_dict().values(), strict=True):
        assert torch.equal(a, b)


@every
def test_a_state_between_the_decision_and_its_step_decides_once(name: str) -> None:
    through = make(RULES[name])
    train(*through, SMALL)
    first = make(RULES[name])
    train(*first, 10)
    first[2].settle()
    saved = copy.deepcopy([part.state_dict() for part in first])
    again = make(RULES[name])
    for part, state in zip(again, saved, strict=True):
        part.load_state_dict(state)
    train(*again, SMALL - 10, first=10)
    assert again[2].times == through[2].times
    assert all(torch.equal(a, b) for a, b in zip(again[0].parameters(), through[0].parameters(), strict=True))


@every
@pytest.mark.parametrize("named", [False, True], ids=["positional", "named"])
def test_a_step_that_is_given_a_closure_decides_as_one_that_is_not(name: str, named: bool) -> None:
    """Lightning and Composer give one: the gradients of a step are computed after it has begun."""
    plain = make(RULES[name])
    train(*plain, SMALL)
    chain, optimizer, freezeout = make(RULES[name])
    for step in range(SMALL):
        torch.manual_seed(step)
        chain.train()
        freezeout.step()

        def closure():
            loss = chain(torch.randn(4, 3, 4, 4)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            return loss

        loss = optimizer.step(closure=closure) if named else optimizer.step(closure)
        assert loss.item() >= 0
    assert freezeout.times == plain[2].times
    assert 0 < freezeout.prefix < 5
    assert all(torch.equal(a, b) for a, b in zip(chain.parameters(), plain[0].parameters(), strict=True))


def test_without_its_state_it_does_not_go_on() -> None:
    freezeout = make(RULES["autofreeze"])[2]
    freezeout.load_state_dict({"step": 0})
    with pytest.raises(
        ValueError, match=r"^step 7: the state lacks the adaptive strategy's observations and decisions$"
    ):
        freezeout.load_state_dict({"step": 7})


def test_events_that_are_not_known_cannot_be_limited() -> None:
    with pytest.raises(ValueError, match=r"^max_events=3: unknown to an adaptive strategy; set its intervals"):
        make(RULES["autofreeze"], max_events=3)


def test_the_strategy_of_the_page_on_strategies_freezes_one_stage_at_a_time() -> None:
    page = (Path(__file__).parent.parent / "docs" / "strategies.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    made: dict[str, Any] = {}
    exec(compile(code, "docs/strategies.md", "exec"), made)
    chain, optimizer, freezeout = make(made["OneByOne"]())
    prefixes = []
    for step in range(SMALL):
        train(chain, optimizer, freezeout, 1, first=step)
        prefixes.append(freezeout.prefix)
    assert max(prefixes) > 1
    assert all(b - a <= 1 for a, b in pairwise(prefixes))
