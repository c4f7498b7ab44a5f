"""What a job is: a name, when it runs, for how long at most, and what it does."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from croniter import croniter

from libs.postgres import Database

Counts = Mapping[str, int]
"""What a run did, in numbers, e.g. `{"calls_made_due": 12}`."""


@dataclass(frozen=True, slots=True)
class Job:
    """A declared periodic job; exactly one of `interval_seconds` and `cron` (five fields, UTC) says when.

    `run` gets the worker's database and opens its own transactions. It must be safe to run again after being cut off
    anywhere: a killed run is marked as abandoned, and the next one starts from what is in the tables. Runs of one job
    never overlap; times missed meanwhile are not made up for.
    """

    name: str
    run: Callable[[Database], Awaitable[Counts]]
    interval_seconds: float | None = None
    cron: str | None = None
    time_limit_seconds: float = 300.0

    def __post_init__(self) -> None:
        if (self.interval_seconds is None) == (self.cron is None):
            raise ValueError(f"job {self.name}: give either interval_seconds or cron")
        if self.interval_seconds is not None and self.interval_seconds <= 0:
            raise ValueError(f"job {self.name}: interval_seconds must be above 0")
        if self.cron is not None and not croniter.is_valid(self.cron):
            raise ValueError(f"job {self.name}: {self.cron!r} is not a cron expression")
        if self.time_limit_seconds <= 0:
            raise ValueError(f"job {self.name}: time_limit_seconds must be above 0")

    def next_after(self, now: datetime, due_at: datetime | None = None) -> datetime:
        """The first planned time after `now` (aware, UTC).

        An interval counts on from `due_at`, so that the rhythm does not drift by the length of the runs; slots that lie
        in the past are left out.
        """
        if self.cron is not None:
            following: datetime = croniter(self.cron, now).get_next(datetime)
            return following
        interval = timedelta(seconds=self.interval_seconds or 0)
        start = due_at if due_at is not None and due_at <= now else now
        missed = (now - start) // interval
        return start + interval * (missed + 1)


LEASE_SECONDS: Final = 30.0
"""How long a killed replica's job stays taken; the holder renews it three times as often."""
