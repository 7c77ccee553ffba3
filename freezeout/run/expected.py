"""What a run will save, before it is trained: by the paper's formula, by counted FLOPs, and by seconds timed here."""

from __future__ import annotations

from typing import Any

from freezeout.run import identity
from freezeout.run.plan import Plan
from freezeout.savings import cost
from freezeout.savings import profile as profiles
from freezeout.savings.profile import Profile


def stored_profile(plan: Plan) -> Profile | None:
    """The profile of this network and this kind of prefix here, as `predict --measure` timed it; None where it has not.

    Raises:
        ValueError: The file is damaged.
    """
    path = identity.profile_path(plan)
    return profiles.read(path) if path.exists() else None


def saving(plan: Plan, baseline_steps: int, profile: Profile | None = None) -> dict[str, float | None]:
    """Savings as fractions of the time of a baseline, None where they are not known.

    Args:
        plan: The run.
        baseline_steps: Steps of the baseline. With `plan.steps` the result is the run's alone, whoever asked for it;
            with `plan.full_steps` it is what the asker saves.
        profile: Of this network and of prefixes that normalise as this run's; None takes the stored one, if there is
            one.

    Returns:
        "estimated": the paper's formula, for a DenseNet-BC under the paper's freeze times, at as many steps as the
        baseline's. "predicted": from counted FLOPs. "profiled": from seconds per step.
    """
    predicted = profiled = None
    if plan.costs:
        predicted = cost.predicted_saving(plan.costs, plan.schedule, plan.steps, baseline_steps)
    profile = profile or stored_profile(plan)
    if profile is not None:
        profiled = profiles.profiled_saving(profile, plan.schedule, plan.steps, baseline_steps)
    return {"estimated": estimated(plan), "predicted": predicted, "profiled": profiled}


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
