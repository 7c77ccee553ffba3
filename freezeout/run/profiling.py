"""Times a training step at each prefix, alone on this device, and stores the profile where every run finds it."""

from __future__ import annotations

import dataclasses
import math
import statistics
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tqdm import tqdm

from freezeout.data.augment import Views
from freezeout.run import identity
from freezeout.run.assemble import assemble, make_cache
from freezeout.run.neighbours import Neighbours, place_of
from freezeout.run.plan import Plan, with_machine
from freezeout.run.provenance import device_model
from freezeout.savings import profile as profiles
from freezeout.savings.caching import UNLIMITED, Frozen, Tier
from freezeout.savings.profile import Profile
from freezeout.schedule import Schedule
from freezeout.strategy import Strategy
from freezeout.train.captured import WORTH
from freezeout.train.loop import Training

ROUNDS = {"cpu": 45, "cuda": 5}  # a CPU is shared; on a GPU each round captures its graphs again
STEPS = 50  # timed steps of each prefix in each round, at most
WARM_UP = 4  # steps of each prefix that are not timed: the freeze switch, and a CUDA graph's eager steps and capture
BUDGET = 90.0  # approximate limit of a profile, in seconds


@dataclass(kw_only=True)
class EachPrefix(Strategy):
    """Not a user's strategy: each of some ascending prefixes is frozen for `each` steps."""

    prefixes: Sequence[int]
    each: int
    bn: str = "eval"

    def schedule(self, n: int) -> Schedule:
        levels = len(self.prefixes)
        first = [bisect_right(self.prefixes, i) for i in range(n)]  # for each stage, the first prefix that contains it
        return Schedule(freeze=tuple(k * self.each / (levels * self.each) for k in first), anneal=(1.0,) * n)


def measure(
    plan: Plan, *, rounds: int | None = None, steps: int | None = None, say: Callable[[str], None] = print
) -> Profile:
    """Time training steps at every prefix, in each of several rounds, and keep the medians in the profile's file.

    All prefixes are timed in every round, relative to the step with nothing frozen of the same round, so that a drift
    of the machine's speed does not affect the ratios.

    Args:
        plan: The plan of any run of the network with the `bn` of the frozen stages to time.
        rounds: Number of rounds; by default ROUNDS.
        steps: Timed steps of each visit; by default as many as fit into BUDGET, at least 3.
        say: Called with one line on where the profile is, and before it with a line if the device was shared.
    """
    rounds = rounds or ROUNDS[plan.device.type]
    if steps is None:
        first = time_prefixes(plan, 3, prefixes=(0,)).seconds[0]
        steps = max(3, min(STEPS, round(BUDGET / (first * rounds * plan.stages) - WARM_UP)))
    steps = whole_windows(plan, steps)
    found: list[Profile] = []
    with (
        Neighbours(place_of(plan.device)) as neighbours,
        tqdm(total=rounds * plan.stages, desc="profile", unit="prefix", disable=None, leave=False) as bar,
    ):
        for _ in range(rounds):
            found.append(time_prefixes(plan, steps, on_prefix=bar.update))
        shared = neighbours.shared
    shares = [*zip(*([second / one.seconds[0] for second in one.seconds] for one in found), strict=True)]
    profile = median(found)
    profile = dataclasses.replace(
        profile,
        seconds=[statistics.median(share) * profile.seconds[0] for share in shares],
        width=[width(share) for share in shares],
        device=device_model(plan.device),
        conditions=identity.profile_conditions(plan),
    )
    path = identity.profile_path(plan)
    profiles.write(path, profile, rounds=rounds, steps=steps, shared_device=shared)
    prefixes = "prefixes with bn=train" if plan.strategy.bn == "train" else "prefixes"
    if shared:
        say("note: something else used this device meanwhile; measure again when the machine is quiet")
    say(f"profile: {path} ({rounds} rounds of {steps} steps at each of {plan.stages} {prefixes})")
    return profile


def median(found: Sequence[Profile]) -> Profile:
    """The median over several profiles, for each prefix."""
    frozen, tier = None, found[0].tier
    if all(one.frozen is not None for one in found):
        parts = [one.frozen for one in found if one.frozen is not None]
        frozen = Frozen(medians([part.forward for part in parts]), parts[0].bytes)
        read, write = medians([(one.tier.read, one.tier.write) for one in found])
        tier = Tier(read=read, write=write)
    return Profile(medians([one.seconds for one in found]), medians([one.switches for one in found]), frozen, tier)


def medians(rounds: Sequence[Sequence[float]]) -> list[float]:
    """The median over the rounds, for each position."""
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def width(values: Sequence[float]) -> float:
    """The width of a distribution-free interval for the median, of at least 90 % coverage.

    Its ends are two order statistics, equally far from both ends; with fewer than 5 values, the smallest and the
    largest (3 values: 75 %).
    """
    n, ordered = len(values), sorted(values)
    outside, cut = 2.0 ** (1 - n), 0  # probability that the median lies beyond the ordered values `cut` from the ends
    while cut + 1 < n // 2 and (more := outside + 2.0 ** (1 - n) * math.comb(n, cut + 1)) <= 0.1:
        outside, cut = more, cut + 1
    return ordered[n - 1 - cut] - ordered[cut]


def whole_windows(plan: Plan, steps: int) -> int:
    """`steps` rounded up to whole run-ahead windows, and to the number from which a CUDA graph is captured."""
    steps = max(steps, WORTH if plan.capture else 1)
    return -(-steps // plan.run_ahead) * plan.run_ahead


def time_prefixes(
    plan: Plan, steps: int, *, prefixes: Sequence[int] = (), on_prefix: Callable[[], object] = lambda: None
) -> Profile:
    """Seconds of a training step at each prefix, each the mean of `steps` steps.

    A single training freezes as it goes, so compilation and set-up are paid once. The first WARM_UP steps of
    each prefix are left out. Both numbers of steps are rounded up to whole windows.

    Args:
        plan: Of any run of the network whose frozen stages normalise as those to be timed.
        steps: Timed steps of each prefix.
        prefixes: Those that are timed, ascending; all unless given.
        on_prefix: Called after each prefix.
    """
    warm_up = -(-WARM_UP // plan.run_ahead) * plan.run_ahead
    steps = whole_windows(plan, steps)
    each = warm_up + steps
    prefixes = prefixes or range(plan.stages)
    total = len(prefixes) * each
    strategy = EachPrefix(prefixes=prefixes, each=each, bn=identity.bn_of(plan))
    plan = with_machine(plan, cache=False)  # a step without a cache: cached outputs are accounted for separately
    training = assemble(dataclasses.replace(plan, strategy=strategy, steps=total))
    clock = training.clock
    seconds: list[float] = []
    switches: list[float] = []

    def on_step() -> bool:
        done = training.step % each
        if done == warm_up:
            clock.stop()
            switches.append(sum(block.get("switch", 0.0) for block in clock.blocks))
            clock.blocks.clear()
        elif done == 0:
            clock.stop()
            seconds.append(clock.seconds / steps)
            clock.blocks.clear()
            on_prefix()
        return False

    while training.step < total:
        training.train_epoch(on_step)
    return Profile(seconds, switches, *time_frozen(plan, training))


def time_frozen(plan: Plan, training: Training) -> tuple[Frozen | None, Tier]:
    """Seconds of frozen stages per image, and of memory per byte, after a training; None if no stage is frozen."""
    if not training.freezeout.prefix or not training.freezeout.pure or not training.chain.executable:
        return None, UNLIMITED
    cache = make_cache(plan, training, Views(1, first_epoch=0))
    tier = cache.room.tiers(1).get("device", UNLIMITED)
    return cache.frozen(training.freezeout.prefix), Tier(read=tier.read, write=tier.write)
