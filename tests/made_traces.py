"""What a run's record tells of its steps, made without training: stages, prefixes, learning rates."""

from __future__ import annotations

from typing import Any

from freezeout.strategies import STRATEGIES

STAGES = ("stem", "group1_0", "group2_0", "group3_0", "head")
STEPS, PER_EPOCH, BASE = 560, 28, 0.1
MILLISECONDS = (10.0, 9.0, 7.0, 4.0, 2.0)  # of a step, by the number of frozen stages


def traced(strategy: dict[str, Any], *, steps: int = STEPS, slower: float = 1.0) -> dict[str, Any]:
    """Keys of a record, for `make_run(..., **traced(strategy))`.

    Args:
        strategy: A section, with its name.
        steps: Of the run.
        slower: What its steps take, over MILLISECONDS.
    """
    fields = {key: value for key, value in strategy.items() if key != "name"}
    schedule = STRATEGIES[strategy["name"]](**fields).schedule(len(STAGES))
    ends = range(PER_EPOCH, steps + 1, PER_EPOCH)
    return {
        "stages": [{"name": name, "parameters": 1, "forward": 1, "backward": 2} for name in STAGES],
        "freeze_times": list(schedule.freeze),
        "freeze_steps": schedule.freeze_steps(steps),
        "prefixes": [
            {"prefix": k, "step_from": a, "step_to": b, "seconds": (b - a) * MILLISECONDS[k] * slower / 1000}
            for k, a, b in schedule.segments(steps)
        ],
        "epochs": [
            {
                "epoch": i + 1,
                "step": end,
                "error": 5.0,
                "learning_rates": [BASE * factor for factor in schedule.factors(end - 1, steps)],
            }
            for i, end in enumerate(ends)
        ],
        "wandb": {"id": "log-1", "dir": "wandb/run-log-1"},
        "commit": "0123456789abcdef",
        "dirty": False,
        "started": "2026-01-01T00:00:00+00:00",
    }
