"""Views: from the first epoch with a frozen stage on, each image has a few fixed versions that epochs take in turn."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from configurations import plan_of, start

from freezeout.data.augment import Table, Views, epoch_table
from freezeout.data.schema import Augment
from freezeout.naming import label_of, series
from freezeout.run import identity
from freezeout.run.assemble import assemble
from freezeout.run.notes import notes
from freezeout.run.record import own_config
from freezeout.train import loop

N, BATCH, PAD = 103, 10, 2


def table(epoch: int, view: int | None, seed: int = 0) -> Table:
    return epoch_table(seed, epoch, N, BATCH, PAD, "crop_flip", view)


def by_image(drawn: Table) -> dict[int, tuple[int, int, bool]]:
    columns = (drawn.order, drawn.top, drawn.left, drawn.flip)
    return {i: crop for i, *crop in zip(*(column.flatten().tolist() for column in columns), strict=True)}


def freezing(views: int | None, t_0: float = 0.5, epochs: int = 8, **fields: Any) -> dict[str, Any]:
    config = start("strategy", "freezeout") | {"epochs": epochs}
    config["strategy"]["t_0"] = t_0
    config["augment"] |= {"views": views, **fields}
    return config


def test_a_view_of_an_image_is_the_same_in_every_epoch() -> None:
    first, second = by_image(table(3, view=1)), by_image(table(7, view=1))
    both = first.keys() & second.keys()
    assert len(both) > 90
    assert all(first[i] == second[i] for i in both)
    assert list(first) != list(second), "the order is drawn anew"


@pytest.mark.parametrize(("view", "seed"), [(0, 0), (2, 0), (1, 1)])
def test_views_and_seeds_differ(view: int, seed: int) -> None:
    one, other = by_image(table(3, view=1)), by_image(table(3, view=view, seed=seed))
    same = [one[i] == other[i] for i in one.keys() & other.keys()]
    assert sum(same) < len(same) / 5


def test_the_order_of_an_epoch_does_not_depend_on_views() -> None:
    assert torch.equal(table(4, view=None).order, table(4, view=0).order)


def test_epochs_take_the_views_in_turn() -> None:
    assert [Views(3, first_epoch=2).of(epoch) for epoch in range(7)] == [None, None, 2, 0, 1, 2, 0]


@pytest.fixture
def drawn(monkeypatch) -> list[int | None]:
    """The view of each epoch that is trained."""
    seen: list[int | None] = []

    def spy(*arguments: Any) -> Table:
        seen.append(arguments[6])
        return epoch_table(*arguments)

    monkeypatch.setattr(loop, "epoch_table", spy)
    return seen


def trained(config: dict[str, Any], epochs: int) -> list[torch.Tensor]:
    """The weights after each of the first epochs."""
    training = assemble(plan_of(config))
    weights = []
    for _ in range(epochs):
        training.train_epoch(lambda: False)
        weights.append(torch.cat([p.detach().flatten() for p in training.chain.parameters()]))
    return weights


def test_views_begin_with_the_first_epoch_that_begins_with_a_frozen_stage(drawn) -> None:
    """Cubic t_0 = 0.5: stage 0 freezes at t = 0.125, where the second of eight epochs begins."""
    plain, viewed = trained(freezing(None), 3), trained(freezing(2), 3)
    assert drawn == [None, None, None, None, 1, 0]
    assert torch.equal(plain[0], viewed[0])
    assert not torch.equal(plain[1], viewed[1])


def test_an_epoch_within_which_a_stage_freezes_is_not_the_first(drawn) -> None:
    trained(freezing(2, t_0=0.6), 3)  # t = 0.216, within the second epoch
    assert drawn == [None, None, 0]


def test_the_twin_takes_the_same_views_at_the_same_times(drawn) -> None:
    """lr_only freezes nothing: what differs between it and the strategy is the freezing alone."""
    twin = freezing(2, views_from=0.125)
    twin["strategy"] = {"name": "lr_only", "t_0": 0.5}
    trained(twin, 3)
    trained(freezing(2), 3)
    assert drawn[:3] == drawn[3:] == [None, 1, 0]


@pytest.mark.parametrize("strategy", [{"name": "baseline"}, {"name": "shortened", "budget": 0.5}, {"name": "lr_only"}])
def test_a_run_that_freezes_nothing_has_no_views_and_keeps_its_name(strategy: dict[str, Any]) -> None:
    strategy = strategy | ({"t_0": 0.5} if strategy["name"] == "lr_only" else {})
    plain, viewed = (plan_of(freezing(views) | {"strategy": strategy}) for views in (None, 3))
    assert viewed.views is None
    assert identity.run_id(plain) == identity.run_id(viewed)
    assert own_config(plain) == own_config(viewed)
    assert any("augment.views=3 has no effect" in note for note in notes(viewed, assemble(viewed)))


def test_where_no_epoch_begins_so_late_the_note_says_so() -> None:
    late = plan_of(freezing(3, views_from=0.99))
    assert any(
        note.endswith("no epoch begins at augment.views_from=0.99 or later") for note in notes(late, assemble(late))
    )


def test_runs_with_and_without_views_may_be_compared() -> None:
    plain, viewed = plan_of(freezing(None)), plan_of(freezing(3))
    assert identity.name(plain) != identity.name(viewed)
    assert identity.setting_id(plain) == identity.setting_id(viewed)


def test_the_same_views_from_the_same_epoch_are_one_run() -> None:
    asked, told = plan_of(freezing(3)), plan_of(freezing(3, views_from=0.1))
    assert asked.views == told.views == Views(3, first_epoch=1)
    assert identity.name(asked) == identity.name(told)


def test_tables_and_plots_name_them() -> None:
    label = label_of(own_config(plan_of(freezing(3))))
    assert series(label) == "FreezeOut cubic scaled views=3"
    assert "views" not in label_of(own_config(plan_of(freezing(None))))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"views": 0}, "augment.views=0: must be at least 1"),
        ({"views": 2, "kind": "none"}, "augment=none has one view of each image"),
        ({"views_from": 0.5}, "give augment.views too"),
        ({"views": 2, "views_from": 1.0}, "augment.views_from=1"),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Augment(**fields)
