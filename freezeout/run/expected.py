"""The saving expected of a run before training: by the paper's formula, counted FLOPs, and seconds timed here."""

from __future__ import annotations

from typing import Any

from freezeout.run import identity
from freezeout.run.plan import Plan
from freezeout.savings import caching, cost
from freezeout.savings import profile as profiles
from freezeout.savings.caching import Frozen, Tier
from freezeout.savings.profile import Profile
from freezeout.schedule import Schedule
from freezeout.strategy import REESTIMATE, reestimation_batches


def stored_profile(plan: Plan) -> Profile | None:
    """The profile of this network and this kind of prefix here, as timed by `predict --measure`; None if not timed.

    Raises:
        ValueError: The file is damaged.
    """
    path = identity.profile_path(plan)
    return profiles.read(path) if path.exists() else None


def saving(
    plan: Plan, baseline_steps: int, profile: Profile | None = None, schedule: Schedule | None = None
) -> dict[str, float | None]:
    """Savings as fractions of the time of a baseline, None if not known.

    Args:
        plan: The run.
        baseline_steps: Steps of the baseline. With `plan.steps` the result depends on the run alone; with
            `plan.full_steps` it is the saving relative to the requested length.
        profile: Of this network, with frozen stages normalising as in this run; None takes the stored one, if any.
        schedule: What an adaptive strategy has frozen, and when; None while it is not known, and neither is the saving.

    Returns:
        "estimated": the paper's formula, for a DenseNet-BC under the paper's freeze times, at as many steps as the
        baseline's. "predicted": from counted FLOPs. "profiled": from seconds per step. The last two include what a run
        saves by caching the frozen prefix's outputs, assuming memory for all of them.
    """
    predicted = profiled = None
    if schedule is None:
        if plan.is_adaptive:
            return {"estimated": None, "predicted": None, "profiled": None}
        schedule = plan.schedule
    if plan.costs:
        predicted = 1 - run_flops(plan, schedule) / (baseline_steps * cost.step_cost(plan.costs, 0))
    profile = profile or stored_profile(plan)
    needs_frozen = plan.remember is not None or plan.strategy.bn == REESTIMATE
    if profile is not None and (profile.frozen is not None or not needs_frozen):
        profiled = profiles.profiled_saving(profile, schedule, plan.steps, baseline_steps)
        if profile.frozen is not None:
            seconds = remembered(plan, profile.frozen, profile.tier) - reestimation(plan, profile.frozen, schedule)
            profiled += seconds / (baseline_steps * profile.seconds[0])
    return {"estimated": estimated(plan), "predicted": predicted, "profiled": profiled}


def run_flops(plan: Plan, schedule: Schedule | None = None) -> float:
    """FLOPs of a run's training steps; cached outputs cost none. Only for a network whose FLOPs are counted.

    schedule: What was frozen, and when; by default the plan's schedule, which for an adaptive strategy freezes nothing.
    """
    schedule = schedule or plan.schedule
    assert plan.costs
    per_image = [stage.forward / plan.config.batch_size for stage in plan.costs]
    whole, frozen = cost.run_cost(plan.costs, schedule, plan.steps), Frozen(per_image, [1] * len(per_image))
    return whole + reestimation(plan, frozen, schedule) - remembered(plan, frozen)


def reestimation(plan: Plan, frozen: Frozen, schedule: Schedule) -> float:
    """The cost of re-estimating running statistics, in the unit of `frozen`; 0 unless strategy.bn=reestimate."""
    if plan.strategy.bn != REESTIMATE:
        return 0.0
    forward = [plan.config.batch_size * one for one in frozen.forward]
    batches = reestimation_batches(plan.steps_per_epoch)
    return cost.reestimation_cost(forward, schedule.freeze_steps(plan.steps), batches)


def remembered(plan: Plan, frozen: Frozen, tier: Tier = caching.UNLIMITED) -> float:
    """What a run saves by caching the frozen prefix's outputs for the next visit, in the unit of `frozen`."""
    if plan.remember is None:
        return 0.0
    return caching.remembered(
        plan.schedule,
        plan.steps,
        plan.steps_per_epoch,
        batch=plan.config.batch_size,
        first=plan.remember.first_epoch,
        views=plan.remember.count,
        images=plan.outline.sizes["train"],
        frozen=frozen,
        tiers=[tier],
    )


def best_saving(found: dict[str, float | None]) -> float | None:
    """The best known saving: profiled if known, else predicted."""
    return found["predicted"] if found["profiled"] is None else found["profiled"]


def estimated(plan: Plan) -> float | None:
    """The paper's estimate of the saving: for a DenseNet-BC under the paper's freeze times; None for all others."""
    model: Any = plan.config.model
    law = plan.strategy.power_law()
    if plan.config_dict["model"]["name"] != "densenet_bc" or law is None:
        return None
    return cost.estimated_saving(model.growth, (model.depth - 4) // 6, *law)
