"""What one run is: a checked configuration, resolved on this machine (named by `identity`, costed by `expected`)."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from freezeout import compat, data, models
from freezeout.data.augment import Views
from freezeout.data.schema import Outline
from freezeout.data.source import Source
from freezeout.run.config import Config, ConfigError, to_dict
from freezeout.savings.cost import StageCost
from freezeout.savings.flops import Counts
from freezeout.schedule import Schedule, progress
from freezeout.stages.chain import Chain
from freezeout.strategy import Adaptive, Strategy
from freezeout.train.run_ahead import size_for

_sources: dict[str, Source] = {}


@dataclass
class Plan:
    """One run, before anything is trained. Made by `freezeout.run.resolve.make_plan`.

    Attributes:
        config: The requested configuration, with measured choices filled in.
        config_dict: The same as plain data, each group with the name of its option.
        device: Where it trains.
        threads: CPU threads of torch.
        outline: Classes, image size and split sizes of the data.
        strategy: The strategy that training follows: that of a shortened run is the baseline.
        steps: Training steps of this run.
        stages: How many stages the network has.
        counts: FLOPs and bytes of a step, stage by stage; None if the stages cannot be run one by one.
        unmeasured: Whether the configuration asks for measured choices but none have been measured here.
    """

    config: Config
    config_dict: dict[str, Any]
    device: torch.device
    threads: int
    outline: Outline
    strategy: Strategy
    steps: int
    stages: int
    counts: Counts | None
    unmeasured: bool = False

    @property
    def steps_per_epoch(self) -> int:
        return self.outline.sizes["train"] // self.config.batch_size

    @property
    def full_steps(self) -> int:
        """Steps of the plain recipe at the requested epochs, with which this run is compared."""
        return self.config.epochs * self.steps_per_epoch

    @property
    def split(self) -> str:
        """Where the error of each epoch is measured: the validation split if there is one, else the test set."""
        return "validation" if self.outline.sizes["validation"] else "test"

    @property
    def costs(self) -> list[StageCost] | None:
        """FLOPs of each stage in a step; None if they cannot be counted."""
        return self.counts.costs if self.counts else None

    @property
    def applied(self) -> Strategy:
        """The strategy with the clock that training follows: the original's under compat=original."""
        costs = [c.whole for c in self.costs] if self.costs else None
        strategy = self.strategy.placed(costs)
        return compat.applied(self.config.compat, strategy, self.config_dict["model"]["name"], self.steps_per_epoch)

    @property
    def schedule(self) -> Schedule:
        """The schedule known beforehand; for an adaptive strategy only the learning rates, not what freezes."""
        return self.applied.schedule(self.stages)

    @property
    def is_adaptive(self) -> bool:
        """Whether what freezes, and when, depends on the data."""
        return isinstance(self.strategy, Adaptive)

    @cached_property
    def views(self) -> Views | None:
        """The fixed views of its later epochs; None if every epoch draws new crops, whatever was requested."""
        augment = self.config.augment
        if augment.views is None:
            return None
        schedule, from_t = self.schedule, augment.views_from
        for epoch, step in enumerate(range(0, self.steps, self.steps_per_epoch)):
            begun = schedule.prefix(step, self.steps) if from_t is None else progress(step, self.steps) >= from_t
            if begun:
                return Views(augment.views, epoch)
        return None

    @cached_property
    def remember(self) -> Views | None:
        """The views whose frozen-prefix outputs may be cached; None if no image is ever repeated."""
        if self.config.machine.cache is False or self.strategy.bn == "train" or self.counts is None:
            return None
        if self.is_adaptive:
            return None  # it is planned by the freeze steps
        once = self.config.augment.kind == "none"  # images without augmentation: every visit is the same
        views = Views(1, first_epoch=0) if once else self.views
        if views is None:
            return None
        schedule, epochs = self.schedule, -(-self.steps // self.steps_per_epoch)
        visited = range(views.first_epoch, epochs - views.count)  # epochs whose view is repeated later
        return views if any(schedule.prefix(e * self.steps_per_epoch, self.steps) for e in visited) else None

    @property
    def augment(self) -> dict[str, Any]:
        """The augmentation actually used: without views if no epoch uses them."""
        return self.config_dict["augment"] | ({} if self.views else {"views": None, "views_from": None})

    @property
    def precision(self) -> str:
        """The arithmetic of training: "fp32", "tf32" or "bf16"."""
        return self.config.machine.precision or ("tf32" if has_tf32(self.device) else "fp32")

    @property
    def channels_last(self) -> bool:
        """Whether images and network use channels_last; True if the configuration leaves it open."""
        return self.config.machine.channels_last is not False

    @property
    def fold(self) -> bool:
        """Whether frozen stages run from prepared weights; True if the configuration leaves it open."""
        return self.config.machine.fold is not False

    @property
    def capture(self) -> bool:
        """Whether the steps are CUDA graphs."""
        return self.device.type == "cuda" if self.config.machine.capture is None else self.config.machine.capture

    @cached_property
    def run_ahead(self) -> int:
        """Number of steps whose frozen prefix runs as one batch."""
        given = self.config.machine.run_ahead
        if given is not None or self.device.type != "cuda" or self.counts is None:
            return given or 1
        return size_for(self.counts.bytes, torch.cuda.get_device_properties(self.device).total_memory)

    @cached_property
    def source(self) -> Source:
        """The images and labels, read when first asked for. Raises ConfigError for data that cannot be used."""
        try:
            return load_data(self.config_dict["dataset"]["name"], self.config.dataset)
        except (ValueError, OSError) as error:
            raise ConfigError(str(error)) from error

    def build(self) -> Chain:
        """The network with initial weights drawn from the seed, on the CPU."""
        torch.manual_seed(self.config.seed)
        return build_model(self.config_dict["model"]["name"], self.config.model, self.outline)


def with_machine(plan: Plan, **fields: Any) -> Plan:
    """A copy of `plan` with these fields of its machine configuration changed."""
    config = dataclasses.replace(plan.config, machine=dataclasses.replace(plan.config.machine, **fields))
    return dataclasses.replace(plan, config=config, config_dict=to_dict(config))


def with_seed(plan: Plan, seed: int) -> Plan:
    """The plan of a replicate: only the seed differs."""
    config = dataclasses.replace(plan.config, seed=seed)
    return dataclasses.replace(plan, config=config, config_dict=plan.config_dict | {"seed": seed})


def has_tf32(device: torch.device) -> bool:
    """Whether the device multiplies in tf32: NVIDIA's from Ampere on. Older ones ignore the switch and stay in fp32."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def build_model(name: str, fields: Any, outline: Outline) -> Chain:
    """The network of these fields (an instance of MODELS[name]), its weights drawn from torch's random state."""
    given = {f.name: getattr(fields, f.name) for f in dataclasses.fields(fields)}
    return models.build(name, outline.classes, image=outline.image, **given)


def load_data(name: str, fields: Any) -> Source:
    """The data set of these fields (an instance of DATASETS[name]); the last one that was read is kept.

    Raises:
        ValueError: It is missing, damaged or contradicts itself.
    """
    key = json.dumps([name, dataclasses.asdict(fields)], sort_keys=True)
    if key not in _sources:
        _sources.clear()  # keep one data set at a time: a sweep over several must not hold them all
        try:
            _sources[key] = data.load(name, fields)
        except MemoryError as error:
            raise ValueError(f"dataset={name}: its images do not fit into memory ({error})") from error
    return _sources[key]
