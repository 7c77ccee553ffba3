"""Records for the tests of the paper's figures: each figure's sweep at the paper's size, made up and small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from made_records import BASELINE, freezeout, make_run, shortened, write_manifest

CIFAR = {"fingerprint": "f", "train": 45_000, "validation": 5_000, "test": 10_000, "synthetic": False}
MODELS: dict[str, dict[str, Any]] = {
    "figure2": {"name": "densenet_bc", "depth": 76, "growth": 12, "dropout": 0.0},
    "figure3": {"name": "densenet_bc", "depth": 76, "growth": 12, "dropout": 0.0},
    "figure4": {"name": "wide_resnet", "depth": 40, "widen": 4, "dropout": 0.0},
    "figure5": {"name": "vgg", "width": 1.0, "dropout": 0.5},
}


def make_figure(root: Path, sweep: str, *, small: bool = False) -> None:
    """The sweep of a figure, or with small=True what stands for it in the sweep quick (Figure 2 only)."""
    rng = np.random.default_rng(7)
    dataset = "digits" if small else "cifar10" if sweep == "figure3" else "cifar100"
    model = MODELS[sweep] | ({"depth": 16, "growth": 4} if small else {})
    ground = {"figure2": 23.0, "figure3": 6.3, "figure4": 22.0, "figure5": 28.0}[sweep]
    entries = []
    for seed in range(3):
        luck = rng.normal(0, 0.1)
        for strategy, epochs, saving, cost in arms(sweep):
            saved = saving if strategy["name"] == "shortened" else 0.8 * saving
            seconds = 4000 * (epochs / 100) * (1 - saved + rng.normal(0, 0.004))
            entry = make_run(
                root,
                strategy,
                seed,
                setting_id=f"{sweep}{'-small' if small else ''}",
                config={"epochs": epochs, "model": model, "dataset": {"name": dataset}, "strategy": strategy},
                data={**CIFAR, "name": dataset, **({"validation": 0, "test": 360} if small else {})},
                device={"type": "cuda", "model": "Made-up GPU"},
                error=ground + cost * ground / 25 + luck + rng.normal(0, 0.05),
                seconds={"train": seconds, "total": seconds},
                saving={"estimated": 0.75 * saving, "predicted": saving}
                if strategy["name"] == "freezeout"
                else {"predicted": 0.0},
                split="test" if small else "validation",
                steps_per_epoch=900,
                steps=round(900 * epochs * strategy.get("budget", 1.0)),
            )
            entry["label"]["epochs"] = epochs
            entries.append(entry)
    write_manifest(root, entries, "quick" if small else sweep)


def arms(sweep: str):
    """(strategy, epochs, predicted saving, points of error it costs) of each configuration."""
    if sweep == "figure4":
        for epochs in (10, 50, 100):
            late = 300 / (epochs + 20)
            yield BASELINE, epochs, 0.0, late
            yield freezeout(0.8), epochs, 0.21, late + 0.1
            yield freezeout(0.5, "linear", False), epochs, 0.24, late + 0.4
        return
    yield BASELINE, 100, 0.0, 0.0
    for budget in (0.5, 0.7, 0.9):
        yield shortened(budget), 100, 1 - budget, 6 * (1 - budget) ** 2
    for how_scale, worth in (("linear", 0.5), ("cubic", 0.85)):
        for scale_lr in (True, False):
            for t_0 in (0.3, 0.5, 0.8):
                saving = worth * (1 - t_0) * 1.3
                yield freezeout(t_0, how_scale, scale_lr), 100, saving, 5 * saving**2 + 0.3 * (not scale_lr)
