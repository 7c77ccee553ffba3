"""What a run's name is made from: everything that changes its result or its seconds, and nothing else."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
from pathlib import Path
from typing import Any

import torch

from freezeout import records
from freezeout.imports import find_module, imported_beside
from freezeout.naming import name_of
from freezeout.run.plan import Plan
from freezeout.run.provenance import device_model
from freezeout.strategies import STRATEGIES
from freezeout.train.schema import CHOICES

# Fields of a configuration that do not enter a run's name by themselves, each with the reason. Every other field does.
EXEMPT = {
    "dataset": "the fingerprint of its pixels, labels and split stands for it",
    "strategy": "named as it is followed",
    "t_0": "in the fields of the strategies that read it",
    "epochs": "in the number of steps",
    "seed": "a replicate lies beside the others, under the same name",
    "tracker": "a window on the run",
    "augment.views": "named as it is followed: a run without a frozen stage has none",
    "augment.views_from": "in the epoch from which on views are taken",
    "out": "where the record lies",
    "data_dir": "where data lie",
    "limit": "when the run pauses, to go on bitwise",
    "retry_failed": "which runs a sweep begins",
    "sweep": "who asked for the run",
    "sweeps": "who asked for the run",
    "planned": "who asked for the run",
    "machine.device": "the device's model stands for it",
    "machine.threads": "counts on a CPU only, where float32 sums depend on it",
    "machine.measured": "the values that were chosen stand for it",
    "machine.cache": "named as it is followed: where nothing comes again, nothing is kept",
    "machine.cache_device": "counts only where memory is short; the record says what was taken",
    "machine.cache_host": "likewise",
    "machine.cache_disk": "likewise",
    "machine.deterministic": "counts on CUDA only: a CPU run is repeatable anyway",
}


def machine(plan: Plan) -> dict[str, Any]:
    """Where and how the steps are executed, with what was left to the program (null) resolved."""
    found = dataclasses.asdict(plan.config.machine)
    found |= {"device": device_model(plan.device), "precision": plan.precision, "capture": plan.capture}
    found |= {field: getattr(plan, field) for field in CHOICES}
    del found["measured"]
    found = {key: value for key, value in found.items() if not key.startswith("cache")}
    if plan.device.type == "cpu":
        found["threads"] = plan.threads
        del found["deterministic"]
    else:
        del found["threads"]
    return found


def setting(plan: Plan) -> dict[str, Any]:
    """What runs must have in common to be compared: everything in their names except strategy, steps and seed."""
    found = {k: v for k, v in plan.config_dict.items() if k not in EXEMPT}
    model = dict(found["model"])
    if model["name"] == "python":
        model["source"] = source_hash(model["target"])
    augment = {k: v for k, v in found["augment"].items() if k not in ("name", "kind", "views", "views_from")}
    return {
        **found,
        "model": model,
        "data": plan.source.fingerprint,
        "augment": plan.config.augment.kind,
        **{f"augment_{k}": v for k, v in augment.items()},
        "machine": machine(plan),
    }


def effective(plan: Plan) -> dict[str, Any]:
    """The effective configuration of a run, whose hash is its name."""
    strategy = {"name": name_of(STRATEGIES, plan.strategy), **dataclasses.asdict(plan.strategy)}  # type: ignore[call-overload]
    views = dataclasses.asdict(plan.views) if plan.views else None
    cache = "all" if plan.config.machine.cache else "what pays"
    return {
        **setting(plan),
        "strategy": strategy,
        "steps": plan.steps,
        "views": views,
        "cache": cache if plan.remember else None,
    }


def conditions(plan: Plan) -> dict[str, Any]:
    """Everything that the seconds of a training step with nothing frozen depend on."""
    return {
        "model": plan.config_dict["model"],
        "classes": plan.outline.classes,
        "image": list(plan.outline.image),
        "batch_size": plan.config.batch_size,
        "augment": plan.config.augment.kind,
        "optimizer": plan.config_dict["optimizer"]["name"],
        "machine": machine(plan) | {"threads": plan.threads},
        "torch": torch.__version__,
    }


def profile_conditions(plan: Plan) -> dict[str, Any]:
    """Everything that the seconds of a step depend on except the prefix; names a profile.

    A prefix that normalises with the statistics of the batch does more work than one that does not.
    """
    return conditions(plan) | {"bn": bn_of(plan)}


def bn_of(plan: Plan) -> str:
    """How frozen stages normalise in a step; re-estimated statistics stay fixed like any others."""
    return "train" if plan.strategy.bn == "train" else "eval"


def profile_path(plan: Plan) -> Path:
    """The path of the profile of this network, with frozen stages as in this run, on this machine, if measured."""
    return Path(plan.config.out) / "profiles" / f"{records.digest(profile_conditions(plan))}.json"


def choices_path(plan: Plan) -> Path:
    """The path of the measured choices for this network on this machine.

    Like a run's name, it does not depend on the version of torch: an update must not change a run's identity.
    """
    found = {key: value for key, value in conditions(plan).items() if key != "torch"}
    found["machine"] = {key: value for key, value in machine(plan).items() if key not in CHOICES}
    return Path(plan.config.out) / "profiles" / f"choices-{records.digest(found)}.json"


def name(plan: Plan) -> str:
    """Twelve hex digits: the name that all replicates of the run share."""
    return records.digest(effective(plan))


def anywhere(plan: Plan) -> str:
    """Twelve hex digits, the same for this run on another device or with other threads."""
    return records.digest(records.anywhere(effective(plan)))


def setting_id(plan: Plan) -> str:
    """Twelve hex digits of the setting; runs with equal ones may be compared."""
    return records.digest(setting(plan))


def run_id(plan: Plan) -> str:
    return records.run_id(name(plan), plan.config.seed)


def folder(plan: Plan) -> Path:
    """The run's own folder."""
    return records.run_folder(Path(plan.config.out), name(plan), plan.config.seed)


def source_hash(target: str) -> str | None:
    """A hash of the file of a user's own network, and of the files beside it that it imports.

    Editing any of them makes different runs.
    """
    module = find_module("model.target", target)
    file = inspect.getsourcefile(module)
    if file is None:
        return None
    digest = hashlib.sha256(Path(file).read_bytes())
    for other in imported_beside(Path(file), module.__name__):
        digest.update(other.read_bytes())
    return digest.hexdigest()[:12]
