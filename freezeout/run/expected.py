"""What a run will save, before it is trained: by the paper's formula, by counted FLOPs, and by seconds timed here."""

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
    """The profile of this network and this kind of prefix here, as `predict --measure` timed it; None where it has not.

    Raises:
        ValueError: The file is damaged.
    """
    path = identity.profile_path(plan)
    return profiles.read(path) if path.exists() else None


def saving(
    plan: Plan, baseline_steps: int, profile: Profile | None = None, schedule: Schedule | None = None
) -> dict[str, float | None]:
    """Savings as fractions of the time of a baseline, None where they are not known.

    Args:
        plan: The run.
        baseline_steps: Steps of the baseline. With `plan.steps` the result is the run's alone, whoever asked for it;
            with `plan.full_steps` it is what the asker saves.
        profile: Of this network and of prefixes that normalise as this run's; None takes the stored one, if there is
            one.
        schedule: What an adaptive strategy has frozen, and when; None while that is not known, and with it no saving.

    Returns:
        "estimated": the paper's formula, for a DenseNet-BC under the paper's freeze times, at as many steps as the
        baseline's. "predicted": from counted FLOPs. "profiled": from seconds per step. The last two count what a run
        need not compute because it remembers the frozen prefix's outputs, as if there were memory for all of them.
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
    """FLOPs of a run's training steps. What is remembered costs none. Only for a network whose FLOPs are counted.

    schedule: What was frozen, and when; by default what the plan knows, which of an adaptive strategy is nothing.
    """
    schedule = schedule or plan.schedule
    assert plan.costs
    per_image = [stage.forward / plan.config.batch_size for stage in plan.costs]
    whole, frozen = cost.run_cost(plan.costs, schedule, plan.steps), Frozen(per_image, [1] * len(per_image))
    return whole + reestimation(plan, frozen, schedule) - remembered(plan, frozen)


def reestimation(plan: Plan, frozen: Frozen, schedule: Schedule) -> float:
    """What computing running statistics afresh costs, in the unit of `frozen`; 0 unless strategy.bn=reestimate."""
    if plan.strategy.bn != REESTIMATE:
        return 0.0
    forward = [plan.config.batch_size * one for one in frozen.forward]
    batches = reestimation_batches(plan.steps_per_epoch)
    return cost.reestimation_cost(forward, schedule.freeze_steps(plan.steps), batches)


def remembered(plan: Plan, frozen: Frozen, tier: Tier = caching.UNLIMITED) -> float:
    """What a run saves because the frozen prefix's outputs are kept for the next visit, in the unit of `frozen`."""
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
    """The saving to count on: profiled where it is known, else predicted."""
    return found["predicted"] if found["profiled"] is None else found["profiled"]


def estimated(plan: Plan) -> float | None:
    """The paper's estimate of the saving: for a DenseNet-BC under the paper's freeze times; None for all others."""
    model: Any = plan.config.model
    law = plan.strategy.power_law()
    if plan.config_dict["model"]["name"] != "densenet_bc" or law is None:
        return None
    return cost.estimated_saving(model.growth, (model.depth - 4) // 6, *law)
