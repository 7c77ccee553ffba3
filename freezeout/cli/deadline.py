"""`limit=25m` of a sweep: which runs can end in time, and the report on those that are left."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from freezeout.cli.expansion import Job
from freezeout.naming import counted, duration, run_title
from freezeout.run import limit
from freezeout.run.config import ConfigError

if TYPE_CHECKING:
    from freezeout.cli.forecast import Rates
    from freezeout.run.plan import Plan

Given = TypeVar("Given")


def one_limit(jobs: Sequence[Job]) -> str | None:
    """The limit of a sweep. Raises ConfigError if its runs have several."""
    return one_for_all("limit", [job.config.limit for job in jobs])


def one_for_all(key: str, given: Sequence[Given]) -> Given:
    """The single value that all runs of a sweep have. Raises ConfigError if there are several."""
    values = list(dict.fromkeys(given))
    if len(values) > 1:
        words = ",".join("null" if value is None else str(value).lower() for value in values)
        raise ConfigError(f"{key}={words}: must be the same in all runs")
    return values[0]


class Deadline:
    """The deadline of a sweep.

    Args:
        given: The limit as written; None for no limit.
        began: When the sweep began, in seconds since the epoch.
        plans: The plans of its runs, by run id.
        rates: Known step times of its runs; updated as runs end.
    """

    def __init__(self, given: str | None, began: float, plans: Mapping[str, Plan], rates: Rates) -> None:
        self._given, self._plans, self._rates = given, plans, rates
        self._end = limit.end_of(given, began)
        self._longest = 0.0  # seconds that a run could have: the limit without what the command itself took by then

    @property
    def handed_on(self) -> list[str]:
        """The overrides that tell a run the deadline."""
        return [] if self._given is None else [limit.handed_on(self._end)]

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline."""
        return self._end - limit.now()

    def lets_begin(self, job: Job) -> bool:
        """Whether a run may begin: it should end in time, or its duration is not known yet. Sets its `left`."""
        self._longest = max(self._longest, self.seconds_left)
        if self._end < math.inf:
            job.left = self.seconds_left <= (self._expected(job) or 0.0)
        return not job.left

    @contextlib.contextmanager
    def mended(self, job: Job) -> Iterator[None]:
        """Update the forecast from the run that is done inside the `with` block."""
        done, began = steps_done(job), limit.now()
        yield
        if (record := job.record) is not None and record["status"] == "done":
            self._rates.mend(self._plans[job.run_id], limit.now() - began, done)

    def work(self, job: Job) -> float:
        """The cost of the rest of a run, in training steps with nothing frozen."""
        return self._rates.work(self._plans[job.run_id], steps_done(job))

    def left(self, jobs: Sequence[Job]) -> str | None:
        """One line on the runs left of a sweep, and the time they need; None if none is left."""
        left = [job for job in jobs if job.left]
        if not left:
            return None
        halves = [self._half(job) for job in left if steps_done(job)]
        words = [f"{len(left) - len(halves)} not begun"] if len(left) > len(halves) else []
        words += [f"{len(halves)} started ({', '.join(halves)})"] if halves else []
        expected = [self._expected(job) for job in left]
        known = [seconds for seconds in expected if seconds is not None]
        need = f"about {duration(sum(known))} by the forecast" if len(known) == len(left) else "no forecast yet"
        advice = "the same command resumes"
        if known and max(known) >= self._longest:
            need += f"; one run alone needs about {duration(max(known))}, more than the limit leaves for it"
            if len(known) == len(left) and min(known) >= self._longest:
                advice = "none of them fits: give a longer limit"
        runs = f"{len(left)} of {counted(len(jobs), 'run')}"
        return f"limit={self._given}: {runs} left, {', '.join(words)}: {need}; {advice}"

    def _expected(self, job: Job) -> float | None:
        """Seconds that the rest of a run needs."""
        return self._rates.seconds(self._plans[job.run_id], steps_done(job))

    def _half(self, job: Job) -> str:
        plan = self._plans[job.run_id]
        return f"{job.label}{run_title(plan.config_dict)} at step {steps_done(job)} of {plan.steps}"


def steps_done(job: Job) -> int:
    """The steps that a run has done, by its record."""
    record = job.record
    return int(record["segments"][-1]["step_to"]) if record is not None else 0
