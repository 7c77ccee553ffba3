"""What a training step costs at each prefix, and what a schedule therefore saves: arithmetic on numbers given.

Costs may be in any unit, as long as it is one: FLOPs (`freezeout.savings.flops`) give the *predicted* saving.
The *estimated* saving is the paper's own formula, kept apart and under its own name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from freezeout.schedule import POWERS, Schedule, freeze_times


@dataclass(frozen=True)
class StageCost:
    """One stage's share of a training step, in any one unit.

    Attributes:
        forward: Paid at every step, frozen or not.
        backward_own: Its backward pass when its input needs no gradient; saved from the step it freezes itself.
        backward_input: The rest of its full backward pass; saved from the step the stage *before* it freezes, since
            nothing below then asks for a gradient. Stage 0, which only images precede, never pays it: 0 there.
    """

    forward: float
    backward_own: float
    backward_input: float

    @property
    def backward(self) -> float:
        """Its full backward pass."""
        return self.backward_own + self.backward_input

    @property
    def whole(self) -> float:
        """Its share of a step in which nothing is frozen."""
        return self.forward + self.backward


def step_cost(costs: Sequence[StageCost], prefix: int) -> float:
    """Cost of one training step with the first `prefix` stages frozen.

    Raises:
        ValueError: Outside 0 <= prefix <= len(costs).
    """
    if not 0 <= prefix <= len(costs):
        raise ValueError(f"prefix={prefix}: must lie in 0 to {len(costs)}, the number of stages")
    forward = sum(c.forward for c in costs)
    own = sum(c.backward_own for c in costs[prefix:])
    # The first active stage has nothing trainable below it, so it hands no gradient on.
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
    """Cost of computing running statistics afresh before each freeze event (strategy.bn=reestimate).

    Args:
        forward: Of each stage, for one batch.
        freeze_steps: When each stage freezes; None for never.
        batches: That go through all stages up to those that freeze, at each event.
    """
    steps = [step for step in freeze_steps if step is not None]
    return batches * sum(sum(forward[: sum(s <= event for s in steps)]) for event in {*steps})


def predicted_saving(
    costs: Sequence[StageCost], schedule: Schedule, total_steps: int, baseline_steps: int | None = None
) -> float:
    """1 - cost / baseline's cost: a fraction of the baseline's time, negative when the run costs more.

    Args:
        costs: Of each stage.
        schedule: Of the run.
        total_steps: Of the run.
        baseline_steps: Of the baseline, which freezes nothing; as many as the run's unless given.
    """
    steps = total_steps if baseline_steps is None else baseline_steps
    return 1.0 - run_cost(costs, schedule, total_steps) / (steps * step_cost(costs, 0))


def estimated_saving(growth: int, layers_per_block: int, t_0: float, how_scale: str) -> float:
    """The paper's estimate for a DenseNet-BC, as its released code computes it: a fraction, not a measurement.

    There are three blocks, which work on 32 x 32, 16 x 16 and 8 x 8 pixels. A dense layer with m k input channels costs
    m k * 4 k for its 1 x 1 convolution plus 9 * 4 k * k, times its pixels; the first convolution 9 * 3 * 2 k times
    32 * 32. Transitions and the head cost nothing. m starts at 2, grows by 1 with each layer, and is halved and rounded
    *down* after a block.
    Backward is taken to cost as much as forward (it is nearer twice), so the saving stays below one half:
    1/2 (1 - sum(c_i t_i) / sum(c_i)). The last layer's t_i is short of 1 by one position, as if a head followed.
    The saving of linear schedules is then multiplied by 1.3, which the code does without explanation.

    Args:
        growth: k, the channels that a dense layer adds.
        layers_per_block: (depth - 4) / 6.
        t_0: When stage 0 freezes, before the power is applied; in (0, 1].
        how_scale: "linear", "squared" or "cubic".

    Raises:
        ValueError: An argument lies outside these ranges.

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
