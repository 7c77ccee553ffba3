"""The benchmark's runs, planned like any user's: the same configuration, on random images."""

from __future__ import annotations

import dataclasses

from benchmarks.settings import Settings
from freezeout.run.overrides import compose_all
from freezeout.run.plan import Plan
from freezeout.run.resolve import make_plan
from freezeout.schedule import Schedule

LEARNING_RATE = 0.01  # low enough that no arm diverges on random labels: steps with NaN have another speed


def plan_of(settings: Settings, network: str, *, epoch: int, steps: int, views: int | None = None) -> Plan:
    """Plan a baseline run on random images.

    Args:
        settings: The device, precision, batch and image size.
        network: An option of conf/model.
        epoch: Training steps in an epoch.
        steps: Training steps of the run.
        views: Fixed views of an image that a strategy that freezes takes in turn; None for new crops.

    Raises:
        ConfigError: Something cannot be run here: an unknown network, a precision that the device lacks.
    """
    overrides = {
        "model": network,
        "dataset": "synthetic",
        "dataset.size": settings.image,
        "dataset.classes": settings.classes,
        "dataset.train": epoch * settings.batch,
        "dataset.test": 1,
        "batch_size": settings.batch,
        "epochs": 1,
        "augment.views": "null" if views is None else views,
        "optimizer": "sgd",
        "optimizer.lr": LEARNING_RATE,
        "strategy": "baseline",
        "tracker": "none",
        "machine": settings.device,
        "machine.precision": settings.precision,
        "machine.threads": "null" if settings.threads is None else settings.threads,
    }
    (config,) = compose_all([f"{key}={value}" for key, value in overrides.items()])
    return dataclasses.replace(make_plan(config), steps=steps)


def frozen_schedule(prefix: int, stages: int) -> Schedule:
    """The first `prefix` of `stages` stages frozen from the first step on; the learning rates of the baseline."""
    return Schedule(freeze=(0.0,) * prefix + (1.0,) * (stages - prefix), anneal=(1.0,) * stages)
