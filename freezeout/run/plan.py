"""What a run will be, before anything is trained: its device, data, steps, cost and name."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from freezeout import compat, data, imports, models, records
from freezeout.data.source import Source
from freezeout.models.schema import DenseNetBC
from freezeout.run.config import Config, ConfigError, describe
from freezeout.run.provenance import device_model
from freezeout.savings import cost, flops
from freezeout.savings.cost import StageCost
from freezeout.schedule import Schedule
from freezeout.stages.chain import Chain
from freezeout.strategies import Baseline, FreezeOnly, FreezeOut, Shortened, Strategy
from freezeout.train.run_ahead import size_for

_sources: dict[str, Source] = {}
_counts: dict[str, tuple[int, flops.Counts | None]] = {}


def choose_device(wanted: str) -> torch.device:
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("machine=cuda: torch sees no CUDA device here; choose machine=auto or machine=cpu")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


@dataclass
class Plan:
    """A checked run. `effective` is everything that changes its result or its seconds; its hash names the run."""

    config: Config
    described: dict[str, Any]
    device: torch.device
    threads: int
    source: Source
    strategy: Strategy
    full_steps: int  # of the plain recipe
    steps: int  # of this run
    stages: int
    counts: flops.Counts | None  # None where the stages cannot be run one by one

    @property
    def costs(self) -> list[StageCost] | None:
        return self.counts.costs if self.counts else None

    @property
    def applied(self) -> Strategy:
        """The strategy as it is followed: by the original's clock under compat=original."""
        per_epoch = self.source.sizes["train"] // self.config.batch_size
        return compat.applied(self.config.compat, self.strategy, self.described["model"]["name"], per_epoch)

    @property
    def schedule(self) -> Schedule:
        return self.applied.schedule(self.stages)

    @property
    def split(self) -> str:
        """Where the error of each epoch is measured: validation where there is one, else the test set."""
        return self.source.evaluation_split

    @property
    def capture(self) -> bool:
        """Whether the steps are CUDA graphs."""
        return self.device.type == "cuda" if self.config.machine.capture is None else self.config.machine.capture

    @cached_property
    def run_ahead(self) -> int:
        """Steps whose frozen prefix runs as one batch."""
        given = self.config.machine.run_ahead
        if given is not None or self.device.type != "cuda" or self.counts is None:
            return given or 1
        return size_for(self.counts.bytes, torch.cuda.get_device_properties(self.device).total_memory)

    @cached_property
    def setting(self) -> dict[str, Any]:
        """What runs must have in common to be compared: all of `effective` but strategy, steps and seed."""
        machine = self.config.machine
        where = {
            "device": device_model(self.device),
            "precision": machine.precision,
            "channels_last": machine.channels_last,
            "fold": machine.fold,
            "run_ahead": self.run_ahead,
            "compile": machine.compile,
            "capture": self.capture,
        }
        if self.device.type == "cpu":
            where["threads"] = self.threads  # float32 sums depend on it
        else:
            where["deterministic"] = machine.deterministic
        model = dict(self.described["model"])
        if model["name"] == "python":
            model["source"] = _source_hash(model["target"])
        return {
            "model": model,
            "data": self.source.fingerprint,
            "batch_size": self.config.batch_size,
            "augment": self.config.augment.kind,
            "label_smoothing": self.config.label_smoothing,
            "optimizer": self.described["optimizer"],
            "machine": where,
            "compat": self.config.compat,
        }

    @cached_property
    def conditions(self) -> dict[str, Any]:
        """Everything that the seconds of a training step depend on, but for the prefix: what names a profile."""
        return {
            "model": self.described["model"],
            "classes": self.source.classes,
            "image": list(self.source.image),
            "batch_size": self.config.batch_size,
            "augment": self.config.augment.kind,
            "optimizer": self.described["optimizer"]["name"],
            "machine": self.setting["machine"] | {"threads": self.threads},
            "torch": torch.__version__,
        }

    @property
    def profile_path(self) -> Path:
        return Path(self.config.out) / "profiles" / f"{records.digest(self.conditions)}.json"

    @cached_property
    def profile(self) -> cost.Profile | None:
        """What training steps take here, as `predict --measure` timed them; None where it has not."""
        if not self.profile_path.exists():
            return None
        found = json.loads(self.profile_path.read_text())
        return cost.Profile(found["seconds"], found.get("switches", ()))

    @cached_property
    def name(self) -> str:
        plain = isinstance(self.strategy, Baseline)
        given = self.described["strategy"]
        # const_time is in the number of steps already, and a shortened run is the baseline with fewer.
        strategy = {"name": "baseline"} if plain else {k: v for k, v in given.items() if k != "const_time"}
        return records.digest({**self.setting, "strategy": strategy, "steps": self.steps})

    @cached_property
    def group(self) -> str:
        return records.digest(self.setting)

    @property
    def run_id(self) -> str:
        return records.run_id(self.name, self.config.seed)

    @property
    def folder(self) -> Path:
        return records.run_folder(Path(self.config.out), self.name, self.config.seed)

    @property
    def saving(self) -> dict[str, float | None]:
        """The paper's estimate, the prediction from counted FLOPs, and that from seconds per step timed here alone."""
        predicted = None
        if self.costs:
            predicted = cost.predicted_saving(self.costs, self.schedule, self.steps, self.full_steps)
        profiled = profiled_saving(self.profile, self.strategy, self.schedule, self.steps, self.full_steps)
        return {"estimated": estimated(self.config.model, self.strategy), "predicted": predicted, "profiled": profiled}

    @property
    def const_time(self) -> dict[str, Any] | None:
        """How far the expected time still is from the baseline's, as a fraction; None where it is not asked for."""
        if not (isinstance(self.strategy, FreezeOut) and self.strategy.const_time):
            return None
        by = "predicted" if self.saving["profiled"] is None else "profiled"
        saving = self.saving[by]
        return None if saving is None else {"by": by, "mismatch": -saving}

    def build(self) -> Chain:
        """The network with initial weights drawn from the seed, on the CPU."""
        torch.manual_seed(self.config.seed)
        return build_model(self.config, self.described, self.source)


def profiled_saving(
    profile: cost.Profile | None, strategy: Strategy, schedule: Schedule, steps: int, full_steps: int
) -> float | None:
    """None without a profile, and for a prefix whose statistics still move: that is not what was timed."""
    if profile is None or strategy.bn != "eval":
        return None
    return cost.profiled_saving(profile, schedule, steps, full_steps)


def estimated(model: Any, strategy: Any) -> float | None:
    """The paper's estimate of the saving: for a DenseNet-BC under FreezeOut's times, at the plain number of epochs."""
    if not isinstance(model, DenseNetBC) or not isinstance(strategy, FreezeOut | FreezeOnly):
        return None
    if isinstance(strategy, FreezeOut) and strategy.const_time:
        return None
    return cost.estimated_saving(model.growth, (model.depth - 4) // 6, strategy.t_0, strategy.how_scale)


def build_model(config: Config, described: dict[str, Any], source: Source) -> Chain:
    name = described["model"]["name"]
    fields = {f.name: getattr(config.model, f.name) for f in dataclasses.fields(config.model)}
    return models.build(name, source.classes, image=source.image, **fields)


def make_plan(config: Config) -> Plan:
    """Resolve a checked configuration on this machine. Raises ConfigError, in one line, for what cannot be run."""
    try:
        return _make_plan(config)
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from error
    except (RuntimeError, MemoryError, OverflowError) as error:  # sizes that torch cannot make
        raise ConfigError(f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}") from error


def _make_plan(config: Config) -> Plan:
    described = describe(config)
    device = choose_device(config.machine.device)
    if config.machine.precision == "tf32" and device.type == "cpu":
        raise ConfigError("machine.precision=tf32: a CPU has no tf32; choose fp32 or bf16")
    if config.machine.capture and device.type == "cpu":
        raise ConfigError("machine.capture=true: a CPU has no CUDA graphs; leave it null or false")
    threads = config.machine.threads or len(os.sched_getaffinity(0))
    source = load_data(described["dataset"]["name"], config.dataset)
    per_epoch = source.sizes["train"] // config.batch_size
    if per_epoch < 1:
        raise ConfigError(
            f"batch_size={config.batch_size} is larger than the training set of {source.sizes['train']} images: "
            "choose a smaller one"
        )
    full = config.epochs * per_epoch
    stages, counts = counted(config, described, source)
    strategy: Strategy = config.strategy
    steps = full
    if isinstance(strategy, Shortened):
        steps = max(1, round(strategy.budget * full))
        strategy = Baseline()
    plan = Plan(config, described, device, threads, source, strategy, full, steps, stages, counts)
    if isinstance(strategy, FreezeOut) and strategy.const_time:
        if plan.const_time is None:
            raise ConfigError("strategy.const_time=true: this network's stages cannot be costed one by one")
        plan.steps = round(full / (1 + plan.const_time["mismatch"]))
    return plan


def load_data(name: str, fields: Any) -> Source:
    key = json.dumps([name, dataclasses.asdict(fields)], sort_keys=True)
    if key not in _sources:
        _sources.clear()  # one set at a time: a sweep over data sets must not hold them all
        _sources[key] = data.load(name, fields)
    return _sources[key]


def counted(config: Config, described: dict[str, Any], source: Source) -> tuple[int, flops.Counts | None]:
    """How many stages, and what a batch costs (None where they cannot be run one by one); counted once a network."""
    key = json.dumps([described["model"], source.classes, source.image, config.batch_size], sort_keys=True)
    if key not in _counts:
        with torch.random.fork_rng():
            chain = build_model(config, described, source)
        shape = (config.batch_size, 3, *source.image)
        _counts[key] = len(chain), flops.count(chain, shape) if chain.executable else None
    return _counts[key]


def _source_hash(target: str) -> str | None:
    """A hash of the file that holds a network of the user's own: editing it makes other runs."""
    module = imports.find_module("model.target", target)
    file = inspect.getsourcefile(module)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12] if file else None
