"""A profile (seconds per step at each prefix, as `freezeout.predict --measure` times them) applied to records.

The record has the number of steps at each prefix; the profile has the cost of such a step on the user's device. Errors
from any machine can thus be plotted against the seconds of a device that trained none of the runs.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from freezeout.naming import network
from freezeout.records import digest
from freezeout.savings import caching, cost
from freezeout.savings import profile as profile_file
from freezeout.savings.profile import MADE_BY, Profile
from freezeout.schedule import Schedule
from freezeout.strategy import REESTIMATE, reestimation_batches

from .time_breakdown import seconds_a_step

CONDITIONS = ("model", "classes", "image", "batch_size", "augment", "optimizer")
BN = "eval"  # the normalisation of frozen stages in a profile without the key


@dataclass(frozen=True)
class Difference:
    """A condition in which a run differs from what the profile timed, in words."""

    what: str
    run: str
    profile: str

    def __str__(self) -> str:
        return f"{self.what} {self.run}, the profile's {self.profile}"


def read_profiles(paths: Sequence[Path]) -> list[Profile]:
    """The profiles in some files, all of one device and no two of the same steps.

    Raises:
        ValueError: In one line: a file is not a profile, is of a different device, or times the same steps as
            one before it, which would be ambiguous.
    """
    found: dict[Path, Profile] = {}
    for path in paths:
        try:
            profile = read_profile(path)
        except ValueError as error:
            raise ValueError(f"--profile {error}") from error
        for other, before in found.items():
            if profile.device != before.device:
                devices = f"is of {profile.device}, and {other} of {before.device}"
                raise ValueError(f"--profile {path}: {devices}: give profiles of one device")
            if _timed(profile) == _timed(before):
                raise ValueError(f"--profile {path}: times the same steps as {other}: give one of them")
        found[path] = profile
    return [*found.values()]


def read_profile(path: Path) -> Profile:
    """The profile in a file.

    Raises:
        ValueError: In one line: there is no such file, or it holds no profile that records can be compared with.
    """
    profile = profile_file.read(path)
    for key in CONDITIONS:
        if key not in profile.conditions:
            raise ValueError(f"{path}: is not a profile (no '{key}' in its conditions); {MADE_BY}")
    return profile


def conditions(record: dict[str, Any]) -> dict[str, Any]:
    """What the seconds of a run's steps depend on, apart from device and engine, with the keys of a profile."""
    config, data = record["config"], record.get("data") or {}
    return {
        "model": config.get("model"),
        "classes": data.get("classes"),
        "image": data.get("image"),
        "batch_size": config.get("batch_size"),
        "augment": (config.get("augment") or {}).get("kind"),
        "optimizer": (config.get("optimizer") or {}).get("name"),
    }


def steps_at(record: dict[str, Any]) -> Counter[int]:
    """The number of training steps of a run at each prefix, from the blocks of its record."""
    steps: Counter[int] = Counter()
    for block in record.get("prefixes") or []:
        steps[block["prefix"]] += block["step_to"] - block["step_from"]
    return steps


def differences(record: dict[str, Any], profile: Profile) -> list[Difference]:
    """Everything in which the run differs from what the profile timed; [] if the profile gives its seconds."""
    found = []
    for key, own in conditions(record).items():
        theirs = profile.conditions[key]
        # As in a run's name, a key at its neutral value counts as absent: older records lack newer keys.
        if digest({key: own}) != digest({key: theirs}):
            found.append(Difference(key.replace("_", " "), _words(own), _words(theirs)))
    stages, steps = len(record.get("stages") or []), steps_at(record)
    if stages != len(profile.seconds) and "model" not in [one.what for one in found]:
        found.append(Difference("stages", str(stages or "unknown"), str(len(profile.seconds))))
    if not steps or sum(steps.values()) != record.get("steps"):
        found.append(Difference("steps", "not told prefix by prefix", "need them"))
    strategy = record["config"].get("strategy") or {}
    bn, timed = strategy.get("bn", BN), profile.conditions.get("bn", BN)
    if max(steps, default=0) > 0 and (bn == "train") != (timed == "train"):
        found.append(Difference("bn", bn, timed))  # with batch statistics a prefix does more work
    if bn == REESTIMATE and profile.frozen is None:
        found.append(Difference("bn", bn, "without the passes for it"))
    if (record.get("effective") or {}).get("cache") and profile.frozen is None:
        found.append(Difference("cache", "of the prefix's outputs", "without one"))
    return found


def seconds_of(record: dict[str, Any], profile: Profile) -> float:
    """Training seconds of the run on the profile's device."""
    steps = steps_at(record)
    stepping = sum(n * profile.seconds[prefix] for prefix, n in steps.items())
    passes = reestimation_seconds(record, profile)
    return stepping + profile.switched(max(steps, default=0)) + passes - remembered_seconds(record, profile)


def reestimation_seconds(record: dict[str, Any], profile: Profile) -> float:
    """The seconds of re-estimating running statistics on the profile's device; 0 unless strategy.bn=reestimate."""
    frozen, config = profile.frozen, record["config"]
    if (config.get("strategy") or {}).get("bn") != REESTIMATE or frozen is None:
        return 0.0
    forward = [config["batch_size"] * one for one in frozen.forward]
    batches = reestimation_batches(record["steps_per_epoch"])
    return cost.reestimation_cost(forward, record["freeze_steps"], batches)


def remembered_seconds(record: dict[str, Any], profile: Profile) -> float:
    """The seconds that caching the frozen prefix's outputs saves on the profile's device, if memory holds all."""
    effective, frozen = record.get("effective") or {}, profile.frozen
    if not effective.get("cache") or frozen is None:
        return 0.0
    views = effective.get("views") or {"count": 1, "first_epoch": 0}  # unaugmented images have one view from the start
    times = tuple(record["freeze_times"])
    return caching.remembered(
        Schedule(freeze=times, anneal=times),
        record["steps"],
        record["steps_per_epoch"],
        batch=record["config"]["batch_size"],
        first=views["first_epoch"],
        views=views["count"],
        images=record["data"]["train"],
        frozen=frozen,
        tiers=[profile.tier],
    )


def saving_of(record: dict[str, Any], profile: Profile) -> float:
    """The share of a baseline's seconds that the run saves; the baseline has as many steps as the run."""
    return 1 - seconds_of(record, profile) / (record["steps"] * profile.seconds[0])


def columns(record: dict[str, Any], profiles: Sequence[Profile], own: Profile | None = None) -> dict[str, Any]:
    """The columns of a row from profiles: saving, seconds, their device, and the differences if no profile fits.

    Args:
        record: The run's.
        profiles: Those that the user named. The nearest is used, or the first of those that fit (both kinds fit a run
            that freezes nothing).
        own: A profile beside the record that fits it. Without any profile the saving is the one in the record, from a
            profile found when the run was trained.
    """
    row = dict.fromkeys(("profiled_saving", "profiled_seconds", "timed_on", "timed_to", "timed_off"))
    row |= {"differences": ()}
    if not isinstance(record.get("config"), dict):
        return row
    profile = min(profiles, key=lambda one: len(differences(record, one))) if profiles else own
    if profile is None:
        saving = (record.get("saving") or {}).get("profiled")
        device = (record.get("device") or {}).get("model")
        return row | {"profiled_saving": saving, "timed_on": None if saving is None else device}
    if profiles and (found := tuple(differences(record, profile))):
        return row | {"differences": found}
    return row | {
        "profiled_saving": saving_of(record, profile),
        "profiled_seconds": seconds_of(record, profile),
        "timed_on": profile.device,
        # If nothing freezes, the saving is a share of steps and does not depend on the profile.
        "timed_to": trusted_to(profile) if max(steps_at(record), default=0) else 0.0,
        "timed_off": off_profile(record, profile),
    }


def trusted_to(profile: Profile) -> float:
    """The error of profiled savings by the scatter of the profile's rounds: half the median width of its intervals."""
    return statistics.median(profile.width[1:]) / 2 if profile.width[1:] else 0.0


def off_profile(record: dict[str, Any], profile: Profile) -> float | None:
    """A run's saving by its own step times minus that by the profile, a fraction of the full time.

    Its own step times are the median seconds of a step at each prefix divided by those with nothing frozen in the same
    run, a ratio that a slower hour does not change. None if they cannot be compared with the profile: nothing or
    everything was frozen, the run was on another device, shared it or stood still, or read outputs from a cache, whose
    hits and misses are blocks of one prefix.
    """
    if (record.get("device") or {}).get("model") != profile.device or record.get("shared_device"):
        return None
    if (record.get("effective") or {}).get("cache"):
        return None
    blocks: dict[int, list[float]] = {}
    for block in record["prefixes"]:
        blocks.setdefault(block["prefix"], []).append(seconds_a_step(block))
    if 0 not in blocks or len(blocks) == 1:
        return None
    own = {prefix: statistics.median(seconds) for prefix, seconds in blocks.items()}
    more = sum(n * (profile.seconds[k] / profile.seconds[0] - own[k] / own[0]) for k, n in steps_at(record).items())
    return more / record["steps"]


def nearest(found: Sequence[tuple[Difference, ...]]) -> str:
    """The differences between the profile and the nearest unfit runs: the most common of the shortest lists."""
    fewest = min(map(len, found))
    closest = Counter("; ".join(map(str, one)) for one in found if len(one) == fewest)
    return closest.most_common(1)[0][0]


def without_unfit(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out the runs that the profile does not fit, all with one reason, which names the nearest."""
    unfit = table["left_out"].isna() & table["differences"].map(lambda found: isinstance(found, tuple) and bool(found))
    if unfit.any():
        table.loc[unfit, "left_out"] = (
            f"not what the profile timed (nearest: {nearest([*table['differences'][unfit]])})"
        )
    return table.drop(columns="differences")


def _timed(profile: Profile) -> str:
    """A key that identifies the steps that a profile times."""
    return digest({key: profile.conditions[key] for key in CONDITIONS} | {"bn": profile.conditions.get("bn", BN)})


def _words(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, list):
        return " x ".join(map(str, value))
    return str(network(value) if isinstance(value, dict) else value)
