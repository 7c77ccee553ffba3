"""Arms take turns in rounds, and what is compared is compared within a round."""

from __future__ import annotations

from made_benchmarks import plan, spread

from benchmarks import steps


def test_rounds_are_in_orders_of_their_own_and_end_with_the_budget() -> None:
    order: list[str] = []

    def visit(name: str):
        return lambda: order.append(name) or 1.0

    visits = {name: visit(name) for name in ("plain", "original", "eager")}
    found = steps.interleaved(visits, rounds=9, min_rounds=6, deadline=0.0)
    rounds = [tuple(order[i : i + 3]) for i in range(0, 18, 3)]
    assert all(set(one) == set(visits) for one in rounds)
    assert len(set(rounds)) > 2
    assert {name: len(values) for name, values in found.items()} == {"plain": 6, "original": 6, "eager": 6}


def test_the_order_of_a_round_is_always_the_same() -> None:
    names = list("0123456789")
    assert steps.shuffled(names, 3) == steps.shuffled(names, 3) != names


def test_ratios_are_of_the_same_round() -> None:
    # The machine is ten times slower in the second round: only ratios within rounds do not see it.
    found = steps.ratios({"plain": [1.0, 10.0, 1.0], "original": [2.0, 20.0, 2.0], "eager": [0.5, 5.0, 0.5]})
    assert found["original/plain"]["median"] == 2.0
    assert found["eager/plain"] == spread(0.5) | {"n": 3}
    assert found["eager/original"]["max"] == 0.25
    assert set(found) == {"original/plain", "eager/plain", "eager/original"}


def test_a_spread_has_quartiles_and_one_value_is_its_own() -> None:
    expected = {"median": 3.0, "low": 2.0, "high": 4.0, "min": 1.0, "max": 9.0, "n": 5}
    assert steps.spread([9.0, 1.0, 3.0, 2.0, 4.0]) == expected
    assert steps.spread([2.0]) == spread(2.0) | {"n": 1}


def test_the_first_epoch_of_an_arm_is_not_timed() -> None:
    planned, epochs = plan(), []

    class Counted:
        def epoch(self, on_step):
            epochs.append(on_step())

    times = steps.timed({"plain": Counted()}, planned, rounds=4, min_rounds=4, deadline=0.0)
    assert len(times["plain"]) == 4
    assert epochs == [False] * 5


def test_the_memory_format_is_that_in_which_the_plain_loop_was_faster() -> None:
    found = steps.fastest_format(plan(), rounds=1)
    assert found["seconds"][found["chosen"]] == min(found["seconds"].values())
    assert set(found["seconds"]) == {"channels_last", "contiguous"}
