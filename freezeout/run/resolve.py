"""A configuration resolved on this machine: device, data's outline, network's costs and number of steps."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

import torch

from freezeout.data.schema import Outline
from freezeout.run import choices, expected
from freezeout.run.config import Config, ConfigError, to_dict
from freezeout.run.plan import Plan, build_model, has_tf32, load_data
from freezeout.run.provenance import device_model
from freezeout.savings import flops
from freezeout.strategy import REESTIMATE

_counts: dict[str, tuple[int, flops.Counts | None]] = {}


def make_plan(config: Config) -> Plan:
    """Resolve a checked configuration.

    Data are not read yet if the configuration gives their outline.

    Raises:
        ConfigError: It cannot be run here. One line.
    """
    try:
        return _make_plan(config)
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from error
    except (RuntimeError, MemoryError, OverflowError) as error:  # sizes that torch cannot make
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(f"model: this network cannot be built here, choose a smaller one ({reason})") from error


def _make_plan(config: Config) -> Plan:
    device = choose_device(config.machine.device)
    if config.machine.precision == "tf32" and not has_tf32(device):
        where = "a CPU" if device.type == "cpu" else device_model(device)
        raise ConfigError(f"machine.precision=tf32: {where} has no tf32; choose fp32 or bf16")
    if config.machine.capture and device.type == "cpu":
        raise ConfigError("machine.capture=true: a CPU has no CUDA graphs; leave it null or false")
    config_dict = to_dict(config)
    outline = outline_of(config_dict["dataset"]["name"], config.dataset)
    train = outline.sizes["train"]
    if train < config.batch_size:
        raise ConfigError(
            f"batch_size={config.batch_size} is larger than the training set of {train} images: choose a smaller one"
        )
    stages, counts = counted(config_dict["model"]["name"], config.model, outline, config.batch_size)
    plan = Plan(
        config=config,
        config_dict=config_dict,
        device=device,
        threads=config.machine.threads or len(os.sched_getaffinity(0)),
        outline=outline,
        strategy=config.strategy.followed(),
        steps=0,
        stages=stages,
        counts=counts,
    )
    plan = choices.filled_in(plan)
    if counts is None and plan.strategy.bn == REESTIMATE:
        raise ConfigError("strategy.bn=reestimate: this network does not run stage by stage; choose eval or train")
    if plan.is_adaptive and config.augment.views is not None and config.augment.views_from is None:
        raise ConfigError(
            f"augment.views={config.augment.views}: views begin at the first freeze, which for strategy "
            f"{config_dict['strategy']['name']} depends on the data; give augment.views_from=T"
        )
    plan.applied.schedule(stages)  # refuse an impossible schedule before computing any cost from it
    plan.steps = full = plan.full_steps
    plan.steps = config.strategy.steps(full, expected.best_saving(expected.saving(plan, full)))
    return plan


def choose_device(wanted: str) -> torch.device:
    """The device of machine.device=auto, cpu or cuda. Raises ConfigError for cuda if there is none."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("machine=cuda: torch sees no CUDA device here; choose machine=auto or machine=cpu")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def outline_of(name: str, fields: Any) -> Outline:
    """Classes, image size and split sizes of a data set; it is read only if its fields do not give them."""
    if (known := getattr(fields, "outline", None)) is not None:
        return known
    return load_data(name, fields).outline


def counted(name: str, fields: Any, outline: Outline, batch_size: int) -> tuple[int, flops.Counts | None]:
    """The number of stages of the network, and the cost of a batch (None if the stages cannot be run one by one).

    Counted once for each network, size and batch.
    """
    key = json.dumps([name, dataclasses.asdict(fields), outline.classes, outline.image, batch_size], sort_keys=True)
    if key not in _counts:
        with torch.random.fork_rng(devices=[]):
            chain = build_model(name, fields, outline)
        shape = (batch_size, 3, *outline.image)
        _counts[key] = len(chain), flops.count(chain, shape) if chain.executable else None
    return _counts[key]
