"""The cost of a training step at each prefix, and a schedule's saving that follows from it: pure arithmetic.

Costs may be in any unit, if it is the same for all: FLOPs (`freezeout.savings.flops`) give the *predicted* saving.
The *estimated* saving is the paper's own formula, a separate function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from freezeout.schedule import POWERS, Schedule, freeze_times


@dataclass(frozen=True)
class StageCost:
    """One stage's share of a training step, in any unit.

    Attributes:
        forward: Cost of its forward pass; paid in every step, frozen or not.
        backward_own: Cost of its backward pass if its input needs no gradient; saved from the step at which it freezes.
        backward_input: Cost of the rest of its full backward pass, the gradient of its input; saved from the step at
            which the stage *before* it freezes. 0 for stage 0, whose input is images.
    """

    forward: float
    backward_own: float
    backward_input: float

    @property
    def backward(self) -> float:
        """Cost of its full backward pass."""
        return self.backward_own + self.backward_input

    @property
    def whole(self) -> float:
        """Its cost in a step in which nothing is frozen."""
        return self.forward + self.backward


def step_cost(costs: Sequence[StageCost], prefix: int) -> float:
    """Cost of one training step with the first `prefix` stages frozen.

    Raises:
        ValueError: `prefix` is outside 0 to len(costs).
    """
    if not 0 <= prefix <= len(costs):
        raise ValueError(f"prefix={prefix}: must lie in 0 to {len(costs)}, the number of stages")
    forward = sum(c.forward for c in costs)
    own = sum(c.backward_own for c in costs[prefix:])
    # No trainable stage precedes the first active one, so its input needs no gradient.
    handed_on = sum(c.backward_input for c in costs[prefix + 1 :])
    return forward + own + handed_on


def run_cost(costs: Sequence[StageCost], schedule: Schedule, total_steps: int, done: int = 0) -> float:
    """Cost of a run of `total_steps` steps under a schedule, without its first `done` steps.

    Raises:
        ValueError: The schedule is for another number of stages.
    """
    if len(costs) != len(schedule.freeze):
        raise ValueError(f"{len(costs)} stage costs and a schedule for {len(schedule.freeze)} stages: need one each")
    segments = [(prefix, max(start, done), end) for prefix, start, end in schedule.segments(total_steps) if end > done]
    return sum((end - start) * step_cost(costs, prefix) for prefix, start, end in segments)


def reestimation_cost(forward: Sequence[float], freeze_steps: Sequence[int | None], batches: int) -> float:
    """Cost of recomputing running statistics before each freeze event (strategy.bn=reestimate).

    Args:
        forward: Cost of each stage's forward pass for one batch.
        freeze_steps: The step at which each stage freezes; None for never.
        batches: Number of batches that pass, at each event, through all stages up to those that freeze.
    """
    steps = [step for step in freeze_steps if step is not None]
    return batches * sum(sum(forward[: sum(s <= event for s in steps)]) for event in {*steps})


def predicted_saving(
    costs: Sequence[StageCost], schedule: Schedule, total_steps: int, baseline_steps: int | None = None
) -> float:
    """1 - cost / baseline's cost: a fraction of the baseline's time, negative if the run costs more.

    Args:
        costs: Cost of each stage.
        schedule: The run's schedule.
        total_steps: The run's number of steps.
        baseline_steps: Number of steps of the baseline, which freezes nothing; None takes the run's.
    """
    steps = total_steps if baseline_steps is None else baseline_steps
    return 1.0 - run_cost(costs, schedule, total_steps) / (steps * step_cost(costs, 0))


def estimated_saving(growth: int, layers_per_block: int, t_0: float, how_scale: str) -> float:
    """The paper's estimated saving for a DenseNet-BC, as its released code computes it: a fraction, not a measurement.

    Three blocks work on 32 x 32, 16 x 16 and 8 x 8 pixels. A dense layer with m k input channels costs m k * 4 k for
    its 1 x 1 convolution plus 9 * 4 k * k for its 3 x 3 convolution, times its number of pixels; the first convolution
    costs 9 * 3 * 2 k times 32 * 32. Transitions and the head cost nothing. m starts at 2, grows by 1 with each layer,
    and is halved and rounded *down* after a block.
    The backward pass is assumed to cost as much as the forward pass (it is nearer twice), so the saving stays below one
    half: 1/2 (1 - sum(c_i t_i) / sum(c_i)). The last layer's t_i is below 1 by one position, as if a head followed.
    For linear schedules the code then multiplies the saving by 1.3, without explanation.

    Args:
        growth: k, the number of channels that a dense layer adds.
        layers_per_block: (depth - 4) / 6.
        t_0: When stage 0 freezes, before the power is applied; in (0, 1].
        how_scale: "linear", "squared" or "cubic".

    Raises:
        ValueError: An argument is outside its range.

    Source: Brock et al. 2017, the code's calc_speedup; equal to tests/golden/speedup_estimates.json.
    """
    if how_scale not in POWERS:
        raise ValueError(f"how_scale={how_scale}: must be one of {', '.join(POWERS)}")
    if growth < 1 or layers_per_block < 1:
        raise ValueError(f"growth={growth}, layers_per_block={layers_per_block}: both must be at least 1")
    costs = [9 * 3 * 2 * growth * 32**2]
    width = 2  # input channels of the next layer, in units of growth
    for side in (32, 16, 8):
        for _ in range(layers_per_block):
            costs.append((width + 9) * 4 * growth**2 * side**2)
            width += 1
        width //= 2
    times = freeze_times(len(costs) + 1, t_0, POWERS[how_scale])[:-1]
    trained = sum(c * t for c, t in zip(costs, times, strict=True)) / sum(costs)
    return 0.5 * (1.0 - trained) * (1.3 if how_scale == "linear" else 1.0)
