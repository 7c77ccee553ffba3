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
