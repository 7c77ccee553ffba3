"""What is timed: prefixes that leave the head to train, arms and networks that exist."""

from __future__ import annotations

import pytest

from benchmarks import settings
from freezeout.naming import options


def test_prefixes_are_distinct_and_leave_the_head() -> None:
    assert settings.prefixes(40) == [0, 10, 20, 30, 38]
    assert settings.prefixes(5) == [0, 1, 2, 4]
    assert settings.prefixes(1) == [0]
    assert settings.prefixes(40, (0.5, 0.0, 0.99)) == [0, 20, 39]


@pytest.mark.parametrize("device", settings.SETTINGS)
def test_the_networks_of_a_device_are_options_of_the_configuration(device: str) -> None:
    chosen = settings.SETTINGS[device]
    assert chosen.device == device
    assert set(chosen.networks) <= set(options("model"))
    assert set(chosen.compiled) | set(chosen.cached) <= set(chosen.networks)
