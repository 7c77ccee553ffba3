"""A profile: seconds of a training step at each prefix, timed alone on one device, and the resulting profiled saving.

A step's time depends on network, batch, precision, engine, device and prefix, but not on strategy, t_0 or seed. So one
profile times every schedule of that network. Profiles are measured by `freezeout.run.profiling`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from freezeout.records import write_json_atomic
from freezeout.savings.caching import UNLIMITED, Frozen, Tier
from freezeout.schedule import Schedule

MADE_BY = "python -m freezeout.predict --measure model=... dataset=... writes one"


@dataclass(frozen=True)
class Profile:
    """Times of training steps on one device, with no other program using it.

    Attributes:
        seconds: seconds[k]: seconds per training step with k stages frozen; one entry per stage, as the last never
            freezes.
        switches: switches[k]: seconds, spent once, to freeze stage k - 1; () if not timed.
        frozen: Seconds per image of each frozen stage's forward pass; None if not timed.
        tier: Seconds per byte read from and written to the memory for outputs of frozen stages.
        device: Model of the device, as in records.
        conditions: What else the seconds depend on: network, classes, image size, batch, augmentation, optimizer, ...
        width: width[k]: width of an interval of at least 90 % confidence for seconds[k], as a fraction of seconds[0];
            () if unknown.
    """

    seconds: Sequence[float]
    switches: Sequence[float] = ()
    frozen: Frozen | None = None
    tier: Tier = UNLIMITED
    device: str = ""
    conditions: Mapping[str, Any] = field(default_factory=dict)
    width: Sequence[float] = ()

    def switched(self, prefix: int) -> float:
        """Total seconds of all switches up to `prefix` frozen stages."""
        return sum(self.switches[1 : prefix + 1])


def write(path: Path, profile: Profile, **how: Any) -> None:
    """Write a profile to a file.

    Args:
        path: The file.
        profile: The profile.
        **how: Further entries on how it was measured (rounds, steps).
    """
    document = {
        "conditions": dict(profile.conditions),
        "device": {"model": profile.device},
        "stages": len(profile.seconds),
        "seconds": list(profile.seconds),
        "switches": list(profile.switches),
        "width": list(profile.width),
        "cache": _cache(profile),
        **how,
    }
    write_json_atomic(path, document)


def _cache(profile: Profile) -> dict[str, Any] | None:
    if profile.frozen is None:
        return None
    frozen, tier = profile.frozen, profile.tier
    return {"forward": list(frozen.forward), "bytes": list(frozen.bytes), "read": tier.read, "write": tier.write}


def _frozen(found: dict[str, Any] | None) -> tuple[Frozen | None, Tier]:
    if found is None:
        return None, UNLIMITED
    frozen = Frozen([float(s) for s in found["forward"]], [int(n) for n in found["bytes"]])
    return frozen, Tier(read=float(found["read"]), write=float(found["write"]))


def read(path: Path) -> Profile:
    """The profile in a file.

    Raises:
        ValueError: In one line that begins with the path: there is no such file, or it is not a profile.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"{path}: there is no such file; {MADE_BY}") from error
    except (ValueError, OSError) as error:
        said = getattr(error, "strerror", None) or "not JSON"
        raise ValueError(f"{path}: cannot be read ({said}); {MADE_BY}") from error
    try:
        seconds, switches, width = ([float(s) for s in found.get(k, ())] for k in ("seconds", "switches", "width"))
        frozen, tier = _frozen(found.get("cache"))
        device, conditions = found["device"]["model"], dict(found["conditions"])
        profile = Profile(seconds, switches, frozen, tier, device, conditions, width)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{path}: not a profile ({what}); {MADE_BY}") from error
    if not seconds or not all(0 < s < float("inf") for s in seconds):
        raise ValueError(f"{path}: needs seconds above 0 at every prefix; {MADE_BY}")
    return profile


def profiled_seconds(profile: Profile, schedule: Schedule, total_steps: int) -> float:
    """Training seconds of a run of `total_steps` steps, from a profile.

    Raises:
        ValueError: The profile is of a network with another number of stages than the schedule's.
    """
    n, segments = len(profile.seconds), schedule.segments(total_steps)
    if n != len(schedule.freeze):
        raise ValueError(f"a profile of {n} prefixes and a schedule for {len(schedule.freeze)} stages")
    stepping = sum((end - start) * profile.seconds[prefix] for prefix, start, end in segments)
    return stepping + profile.switched(segments[-1][0])


def profiled_saving(profile: Profile, schedule: Schedule, total_steps: int, baseline_steps: int | None = None) -> float:
    """1 - profiled seconds / those of a baseline of `baseline_steps` steps; None takes the run's number of steps."""
    steps = total_steps if baseline_steps is None else baseline_steps
    return 1.0 - profiled_seconds(profile, schedule, total_steps) / (steps * profile.seconds[0])
