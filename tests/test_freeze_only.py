"""FreezeOnly in a loop of one's own: layers freeze at the paper's times, and each rate stays the user's, to the bit."""

from __future__ import annotations

import doctest

import pytest
import torch
from made_chains import equal, small_chain
from torch import nn, optim
from torch.optim import lr_scheduler

from freezeout import FreezeOut, find_stages, freeze_layers, strategies
from freezeout.strategies import FreezeOnly, Strategy
from freezeout.strategies import FreezeOut as Schedule

STEPS = 40
MEASURED = FreezeOnly(t_0=0.8)  # cubic: what README.md's first table has at the top
FIRST = 21  # the step at which its first stage freezes: t = 0.512

OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adamw": lambda p: optim.AdamW(p, lr=0.01),
    "two groups": lambda p: optim.AdamW([{"params": [*p][::2]}, {"params": [*p][1::2], "lr": 0.02}], lr=0.01),
}


def linear_warm_up(optimizer):
    transformers = pytest.importorskip("transformers", reason="pip install 'freezeout[huggingface]'")
    return transformers.get_linear_schedule_with_warmup(optimizer, 6, STEPS)


SCHEDULERS = {
    "none": lambda o: None,
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=STEPS),
    "one cycle": lambda o: lr_scheduler.OneCycleLR(o, max_lr=0.05, total_steps=STEPS + 1),
    "linear warm-up": linear_warm_up,
}
optimizers = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
schedulers = pytest.mark.parametrize("scheduler", SCHEDULERS.values(), ids=SCHEDULERS)


class Loop:
    """What anybody would write, with a line more where there is a strategy."""

    def __init__(self, optimizer, scheduler, strategy: Strategy | None = None) -> None:
        self.chain = small_chain()
        params = list(self.chain.parameters())
        self.optimizer = optimizer(params)
        self.scheduler = scheduler(self.optimizer)
        self.freezer = strategy and FreezeOut(self.chain, self.optimizer, strategy, STEPS, rates="scale")
        self.number = {id(p): n for n, p in enumerate(params)}
        self.stepped: dict[int, dict] = {}
        self.optimizer.register_step_pre_hook(lambda optimizer, *_: self.look(optimizer.param_groups))

    def look(self, groups: list[dict]) -> None:
        for group in groups:
            settings = {key: value for key, value in group.items() if key != "params"}
            self.stepped |= {self.number[id(p)]: settings for p in group["params"]}

    def step(self, number: int) -> dict[int, dict]:
        """The settings of the optimizer, its rate first, for each parameter that it holds in this step."""
        torch.manual_seed(number)
        self.chain.train()
        self.stepped.clear()
        if self.freezer:
            self.freezer.step()
        self.chain(torch.randn(8, 3, 4, 4)).square().mean().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.scheduler:
            self.scheduler.step()
        return dict(self.stepped)


def follows(optimizer, scheduler, strategy) -> None:
    plain, ours = Loop(optimizer, scheduler), Loop(optimizer, scheduler, strategy)
    for number in range(STEPS):
        right, found = plain.step(number), ours.step(number)
        frozen = sum(len([*stage.parameters()]) for stage in ours.freezer.stages[: ours.freezer.prefix])
        assert found == {n: settings for n, settings in right.items() if n >= frozen}
        assert [g["lr"] for g in ours.optimizer.param_groups] == [g["lr"] for g in plain.optimizer.param_groups]
        assert ours.freezer.factors[ours.freezer.prefix :] == [1.0] * (5 - ours.freezer.prefix)
        assert equal(ours.chain, plain.chain) == (number < FIRST)
    assert ours.freezer.prefix == 4


@optimizers
@schedulers
def test_it_is_the_plain_loop_to_the_bit_until_the_first_freeze_and_its_rates_to_the_end(optimizer, scheduler) -> None:
    follows(optimizer, scheduler, MEASURED)


@schedulers
def test_under_freezeouts_own_rates_it_would_be_another_loop(scheduler) -> None:
    with pytest.raises(AssertionError):
        follows(OPTIMIZERS["sgd"], scheduler, Schedule(t_0=0.8))


def test_the_lines_of_the_docstring_freeze_under_the_users_rate() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    names = {"find_stages": find_stages, "FreezeOut": FreezeOut, "network": network, "images": torch.randn(2, 3)}
    names |= {"optimizer": lambda model: optim.SGD(model.parameters(), lr=0.1)}
    (example,) = doctest.DocTestFinder(recurse=False).find(FreezeOnly, globs=names | {"FreezeOnly": FreezeOnly})
    assert len(example.examples) == 3
    doctest.DebugRunner().run(example, clear_globs=False)
    assert example.globs["freezer"].factors == [1.0, 1.0, 1.0]


def in_epochs(model, epochs=10) -> list[int]:
    """Calls the functional form once an epoch, as its docstring says."""
    optimizer, depths = optim.AdamW(model.parameters(), lr=0.01), []
    for epoch in range(epochs):
        names = {"model": model, "optimizer": optimizer, "epoch": epoch, "epochs": epochs}
        names |= {"freeze_layers": freeze_layers, "FreezeOnly": FreezeOnly, "depths": depths}
        (example,) = doctest.DocTestFinder(recurse=False).find(freeze_layers, globs=names)
        for line in example.examples:
            exec(line.source.replace("freeze_layers(", "found = freeze_layers("), names)
        depths.append(names["found"][0])
        assert names["found"][1] == depths[-1] / 4
        model(torch.randn(8, 3, 4, 4)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert {group["lr"] for group in optimizer.param_groups} == {0.01}
    assert not {id(p) for layer in [*model][:4] for p in layer.parameters()} & {id(p) for p in optimizer.state}
    return depths


def test_the_functional_form_freezes_at_the_same_times_and_leaves_rates_alone() -> None:
    chain = small_chain()
    times = MEASURED.schedule(5).freeze
    assert in_epochs(chain) == [sum(epoch / 10 >= t for t in times) for epoch in range(10)]
    assert [stage.training for stage in chain] == [False] * 4 + [True], "their statistics stand still"
    optimizer = optim.SGD(chain.parameters(), lr=0.1)
    assert freeze_layers(chain.train(), optimizer, 1.0, strategy=FreezeOnly(t_0=0.8, bn="train")) == (4, 1.0)
    assert all(stage.training for stage in chain), "the head trains to the end, and statistics as they were"


@pytest.mark.parametrize("strategy", [Schedule(t_0=0.8), strategies.AutoFreeze(), FreezeOnly(t_0=0.8, bn="reestimate")])
def test_what_the_functional_form_cannot_do_is_refused_in_one_line(strategy) -> None:
    chain = small_chain()
    with pytest.raises(ValueError, match=r"^strategy=\w+: freeze_layers only freezes; FreezeOut\("):
        freeze_layers(chain, optim.SGD(chain.parameters(), lr=0.1), 0.5, strategy=strategy)


def test_two_ways_of_saying_when_layers_freeze_are_refused_in_one_line() -> None:
    chain = small_chain()
    line = r"^freeze_start=0\.3, freeze_level=1\.0: strategy=FreezeOnly says when layers freeze: give only one$"
    with pytest.raises(ValueError, match=line):
        freeze_layers(chain, optim.SGD(chain.parameters(), lr=0.1), 0.9, freeze_start=0.3, strategy=MEASURED)
    assert all(p.requires_grad for p in chain.parameters())


@pytest.mark.parametrize(
    ("given", "said"), [("freeze_only", "'freeze_only'"), (FreezeOnly, "FreezeOnly"), (0.8, "0.8"), (None, "None")]
)
def test_what_is_no_strategy_is_refused_in_one_line(given, said) -> None:
    chain = small_chain()
    optimizer = optim.SGD(chain.parameters(), lr=0.1)
    line = rf"^strategy={said}: must be a strategy instance, such as FreezeOnly\(t_0=0\.8\)$"
    with pytest.raises(ValueError, match=line):
        FreezeOut(chain, optimizer, given, STEPS)
    if given is not None:
        with pytest.raises(ValueError, match=line):
            freeze_layers(chain, optimizer, 0.5, strategy=given)


def test_every_strategy_is_where_a_user_looks_for_it() -> None:
    for kind in strategies.STRATEGIES.values():
        assert getattr(strategies, kind.__name__) is kind
