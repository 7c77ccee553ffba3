"""compat=original: quirks of the original code that change its results, for comparison with it. Off by default.

Read from the original implementation (github.com/ajbrock/FreezeOut, commit 73beea1). Reproduced by `Original`:

| quirk | its effect on the result |
| --- | --- |
| an epoch counts 1,000 iterations, whatever the data | the schedule spans 1,000 x epochs steps, not the run. With 45,000 images in batches of 50 (900 steps an epoch) stage 0 of cubic t_0 = 0.8 freezes at 56.9 % of the run, not 51.2 %, the last stages never freeze and the final rate is not 0. With more than 1,000 steps an epoch every rate, the head's too, is 0 before the end |
| a stage freezes when its iteration is *past* t_i | if t_i falls on a whole step, that step still trains, at rate 0: weights do not change, running statistics are updated once more. Otherwise no effect |
| t_i keeps the float error of its formula | if t_i falls on a whole step and the error is downwards, the extra step of the row above is missing. Its rate is 0, so weights are the same |
| VGG's counter is never advanced | every stage of a VGG trains to the end at its initial rate: nothing anneals, freezes or is saved |

Not reproduced, because the numbers are the same without it:

| quirk | its effect |
| --- | --- |
| outputs are detached at the end of a block, but never that of DenseNet's and WRN's stem | the frozen stem still computes a gradient that no optimizer reads, until the next stage freezes: seconds only |
| a frozen block still builds its graph (it detaches its output afterwards) | memory and seconds only |
| final BatchNorm and classifier are two modules with one index | its log counts one active layer more than there are stages |
| a frozen parameter's gradient is never cleared | memory only: its group has been removed from the optimizer |
| a last, partial batch trains too | nothing at its batch size of 50, which divides 45,000 and 50,000; at others, steps that this program drops |
| `--dropout` is read and not passed on | no dropout in DenseNet and WRN, as here by default |
| `const_time` divides the epochs by 1 - estimate in DenseNet, and does nothing in the others | a fractional number of epochs, for which its loop raises an error: refused here |
"""  # noqa: E501

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from freezeout.checks import check_choice
from freezeout.schedule import POWERS, Schedule, lr_factor
from freezeout.strategy import INDEX, Strategy

MODES = ("original",)
KNOWN = ("baseline", "shortened", "freezeout")  # the strategies that the original has, by their names here
STILL = ("vgg",)  # the networks whose iteration counter the original's training loop never advances
EPOCH = 1000  # iterations that the original counts per epoch


@dataclass(frozen=True)
class OriginalSchedule(Schedule):
    """A schedule by the original's clock: `freeze` and `anneal` are fractions of its count, not of the run.

    Attributes:
        steps_per_epoch: Actual number of training steps per epoch.
        advances: Whether the clock advances at all (VGG's does not).
    """

    steps_per_epoch: int = EPOCH
    advances: bool = True

    def iterations(self, total_steps: int) -> float:
        """The original's count for a run of `total_steps` steps: 1,000 per epoch."""
        return total_steps * EPOCH / self.steps_per_epoch

    def prefix(self, step: int, total_steps: int) -> int:
        ends = [t_i * self.iterations(total_steps) for t_i in self.freeze]
        # Stages whose end is *past*. The head would be removed from the optimizer, but continues at rate 0.
        return min(bisect_left(ends, step), len(ends) - 1) if self.advances else 0

    def factors(self, step: int, total_steps: int) -> list[float]:
        t = step / self.iterations(total_steps) if self.advances else 0.0
        return [lr_factor(t, t_i, scaled=self.scaled) for t_i in self.anneal]

    def freeze_step(self, i: int, total_steps: int) -> int | None:
        if not self.advances or i == len(self.freeze) - 1:
            return None
        after = int(self.freeze[i] * self.iterations(total_steps)) + 1
        return after if after < total_steps else None


@dataclass(kw_only=True)
class Original(Strategy):
    """`strategy` by the original's clock; the freezing mechanism is unchanged."""

    strategy: Strategy
    steps_per_epoch: int
    advances: bool = True

    def __post_init__(self) -> None:
        self.bn = self.strategy.bn

    def schedule(self, n: int) -> Schedule:
        ours = self.strategy.schedule(n)
        freeze, anneal = ours.freeze, ours.anneal
        if law := self.strategy.power_law():
            t_0, power = law[0], POWERS[law[1]]
            # In the original's order of operations, to reproduce its float error, which decides `past` on a whole step.
            freeze = anneal = (*((t_0 + (1 - t_0) * i / (n - 1)) ** power for i in range(n - 1)), 1.0)
        return OriginalSchedule(
            freeze, anneal, ours.scaled, steps_per_epoch=self.steps_per_epoch, advances=self.advances
        )


def check_compat(compat: str | None, name: str, strategy: Strategy) -> None:
    """Refuse an unknown mode, or a strategy that the original does not have.

    Args:
        compat: The mode, or None.
        name: The strategy's option.
        strategy: The strategy.

    Raises:
        ValueError: In one line.
    """
    if compat is None:
        return
    check_choice("compat", compat, MODES)
    if name not in KNOWN:
        raise ValueError(f"compat=original: the original has no {name}; choose {', '.join(KNOWN)}")
    if getattr(strategy, "const_time", False):
        raise ValueError("compat=original: the original's const_time does not run; set strategy.const_time=false")
    if strategy.depth != INDEX:
        raise ValueError(f"compat=original: its stage depths are indices; set strategy.depth={INDEX}")


def applied(compat: str | None, strategy: Strategy, model: str, steps_per_epoch: int) -> Strategy:
    """The strategy that training follows.

    Args:
        compat: None, or "original" for the original's clock.
        strategy: The configured strategy.
        model: The name of the network in `freezeout.models.MODELS`: for some, the original's clock never advances.
        steps_per_epoch: Training steps per epoch.
    """
    if compat is None:
        return strategy
    return Original(strategy=strategy, steps_per_epoch=steps_per_epoch, advances=model not in STILL)
