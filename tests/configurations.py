"""Small configurations for tests over every field of every schema, and another value of each field."""

from __future__ import annotations

import dataclasses
from typing import Any

from freezeout.run.config import Config
from freezeout.run.groups import TABLES
from freezeout.run.plan import Plan
from freezeout.run.resolve import make_plan


def section(group: str, given: dict[str, Any]) -> Any:
    return TABLES[group][given["name"]](**{k: v for k, v in given.items() if k != "name"})


def plan_of(config: dict[str, Any]) -> Plan:
    """The plan of a configuration as a record keeps it."""
    groups = {group: section(group, config[group]) for group in TABLES}
    rest = {k: v for k, v in config.items() if k not in TABLES}
    return make_plan(Config(**groups, **rest))


# Another value of each field that the program can run with here.
OTHER = {
    "strategy.t_0": 0.7,
    "strategy.how_scale": "linear",
    "strategy.scale_lr": False,
    "strategy.bn": {
        "freezeout": "train",
        "freeze_only": "train",
        "geometric": "train",
        "layer_freezing": "eval",
        "autofreeze": "train",
        "weight_delta": "train",
    },
    "strategy.intervals": 28,
    "strategy.percentile": 100.0,
    "strategy.threshold": 100.0,
    "strategy.const_time": True,
    "strategy.depth": "cost",
    "strategy.budget": 0.5,
    "strategy.epochs": 5,
    "strategy.freeze_start": 0.7,
    "strategy.freeze_level": 0.5,
    "strategy.start": 0.2,
    "strategy.share": 0.4,
    "optimizer.nesterov": False,
    "optimizer.warmup": 0.5,
    "machine.precision": "bf16",
    "machine.threads": 2,
    "machine.channels_last": False,
    "machine.fold": False,
    "machine.run_ahead": 5,
    "machine.compile": True,
    "machine.cache": False,
    "augment.kind": "none",
    "augment.views": 2,
    "augment.views_from": 0.7,
    "batch_size": 30,
    "label_smoothing": 0.1,
    "compat": "original",
    "epochs": 4,
    "seed": 7,
    "model.depth": {"densenet_bc": 22, "wide_resnet": 16, "resnet_cifar": 14},
    "model.network": {"torchvision": "resnet34", "timm": "lcnet_050"},
    "model.options": {"torchvision": {"zero_init_residual": True}, "timm": {"drop_rate": 0.5}, "python": {"width": 5}},
    "model.target": "other_network:build",
}


def start(group: str, name: str) -> dict[str, Any]:
    """A configuration of small runs with the option `name` of `group`."""
    chosen: dict[str, Any] = {
        "model": {"name": "wide_resnet", "depth": 10, "widen": 1},
        "dataset": {"name": "digits"},
        "strategy": {"name": "baseline"},
        "optimizer": {"name": "sgd"},
        "augment": {"name": "augment"},
        "machine": {"name": "machine", "device": "cpu", "threads": 1},
        "tracker": {"name": "none"},
        "epochs": 2,
    }
    fields: dict[tuple[str, str], dict[str, Any]] = {
        ("model", "densenet_bc"): {"depth": 10, "growth": 4},
        ("model", "resnet_cifar"): {"depth": 8, "width": 4},
        ("model", "wide_resnet"): {"depth": 10, "widen": 1},
        ("model", "vgg"): {"width": 0.125},
        ("model", "torchvision"): {"network": "resnet18"},
        ("model", "timm"): {"network": "lcnet_035"},
        ("model", "python"): {"target": "first_network:build"},
        ("strategy", "freezeout"): {"t_0": 0.5},
        ("strategy", "lr_only"): {"t_0": 0.5},
        ("strategy", "freeze_only"): {"t_0": 0.5},
        ("strategy", "layer_freezing"): {"epochs": 4, "freeze_start": 0.1},
        ("strategy", "geometric"): {"epochs": 4, "share": 0.6},
        ("strategy", "autofreeze"): {"intervals": 56},  # a decision a step
        ("strategy", "weight_delta"): {"intervals": 56},
    }
    if group == "augment":  # views are taken by epochs that begin with a frozen stage
        chosen |= {"strategy": {"name": "freezeout", "t_0": 0.5}, "epochs": 4}
    chosen[group] = chosen[group] | {"name": name} if chosen[group].get("name") == name else {"name": name}
    chosen[group] |= fields.get((group, name), {})
    if chosen["model"]["name"] == "vgg":
        chosen["dataset"] = {"name": "digits", "size": 32}
    return chosen


def fields_of(group: str) -> list[tuple[str, str]]:
    return [(name, f.name) for name, schema in TABLES[group].items() for f in dataclasses.fields(schema)]


def other_value(config: dict[str, Any], group: str, name: str, field: str) -> Any:
    """Another value of a field than the one that `config` has, from OTHER or, for a number, the next."""
    if (given := OTHER.get(f"{group}.{field}")) is not None:
        return given[name] if isinstance(given, dict) and name in given else given
    now = getattr(section(group, config[group]), field)
    assert isinstance(now, int | float), f"{group}.{field}: give another value of it in OTHER, or exempt it"
    return now + 1 if isinstance(now, int) else now - 0.01 if now > 0.5 else now + 0.01
