"""The training clock: blocks of constant prefix, stopped while anything else happens."""

from __future__ import annotations

from freezeout.train.clock import BLOCK, Clock


class Time:
    """A clock under the test's control, and a count of how often the device was waited for."""

    def __init__(self) -> None:
        self.now, self.waits = 0.0, 0

    def read(self) -> float:
        return self.now

    def wait(self) -> None:
        self.waits += 1


def run(prefixes: list[int], epoch: int, cut: int | None = None) -> Clock:
    """Steps of one second each, two seconds of evaluation after each epoch; `cut`: save and load before that step."""
    time = Time()
    clock = Clock(time.wait, time.read)
    for step, prefix in enumerate(prefixes):
        if step == cut:
            clock.stop()
            saved = clock.state_dict()
            clock = Clock(time.wait, time.read)
            clock.load_state_dict(saved)
            time.now += 100
            clock.start()
        elif step % epoch == 0:
            clock.start()
        clock.mark(step, prefix)
        time.now += 1
        if (step + 1) % epoch == 0 or step + 1 == len(prefixes):
            clock.stop()
            time.now += 2
    return clock


def test_every_step_counts_once_and_evaluation_not_at_all() -> None:
    assert run([0] * 120, epoch=30).seconds == 120


def test_blocks_partition_the_steps_and_have_one_prefix_each() -> None:
    prefixes = [0] * 70 + [1] * 20 + [3] * 60
    clock = run(prefixes, epoch=30)
    assert clock.blocks[0]["step_from"] == 0
    assert clock.blocks[-1]["step_to"] == len(prefixes)
    for before, after in zip(clock.blocks, clock.blocks[1:], strict=False):
        assert before["step_to"] == after["step_from"]
    for block in clock.blocks:
        steps = prefixes[block["step_from"] : block["step_to"]]
        assert set(steps) == {block["prefix"]}
        assert len(steps) <= BLOCK
        assert block["seconds"] == len(steps)


def test_a_resumed_clock_has_the_blocks_of_one_that_never_stopped() -> None:
    prefixes = [0] * 70 + [1] * 20 + [3] * 60
    through = run(prefixes, epoch=30).blocks
    for cut in (1, 33, 50, 70, 71, 149):
        assert run(prefixes, epoch=30, cut=cut).blocks == through


def test_the_device_is_not_waited_for_at_every_step() -> None:
    time = Time()
    clock = Clock(time.wait, time.read)
    clock.start()
    for step in range(1000):
        clock.mark(step, 0)
    clock.stop()
    assert time.waits <= 1000 / BLOCK + 2


def test_laps_say_what_the_seconds_of_a_block_went_to() -> None:
    time = Time()
    clock = Clock(time.wait, time.read)
    clock.start()
    for step in range(60):
        clock.mark(step, 0)
        for part, seconds in (("input", 1), ("forward", 2), ("backward", 4)):
            time.now += seconds
            clock.lap(part)
        time.now += 8  # what nobody claims
    clock.stop()
    first, second = clock.blocks
    assert first == {"prefix": 0, "step_from": 0, "step_to": 50, "seconds": 750, "input": 50, "forward": 100} | {
        "backward": 200
    }
    assert (second["seconds"], second["backward"]) == (150, 40)


def test_a_step_in_which_something_was_left_out_claims_no_more_parts() -> None:
    time = Time()
    clock = Clock(time.wait, time.read)
    clock.start()
    clock.mark(0, 0)
    time.now += 3
    clock.lap("input")
    time.now += 100
    clock.exclude(100)
    clock.lap("forward")
    clock.mark(1, 0)
    time.now += 5
    clock.lap("forward")
    clock.stop()
    assert clock.blocks == [{"prefix": 0, "step_from": 0, "step_to": 2, "seconds": 8, "input": 3, "forward": 5}]


def test_moments_of_the_device_are_read_only_after_it_was_waited_for() -> None:
    time, moments = Time(), []

    def stamp() -> int:
        moments.append(time.waits)
        return len(moments)

    def between(a: int, b: int) -> float:
        assert time.waits > moments[b - 1], "the device has not got there yet"
        return 0.5 * (b - a)

    clock = Clock(time.wait, time.read, stamp=stamp, between=between)
    clock.start()
    for step in range(120):
        clock.mark(step, 0)
        clock.lap("forward")
    clock.stop()
    assert [block["forward"] for block in clock.blocks] == [25, 25, 10]
