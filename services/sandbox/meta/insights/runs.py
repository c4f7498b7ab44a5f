"""Asynchronous reports: ordered with POST, polled, read when they are done.

Steps, states and the thirty days O (marketing-api/insights/best-practices#asynchronous); what a run shows while it
goes on and the refusal to read it too early T (issues 288 and 293 of Meta's PHP and Python SDKs): a run stands at 100
percent for a while and still says `Job Running`. Error fields of a failed run since v25.0 and their codes O
(marketing-api/insights/error-codes).
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from services.sandbox.meta.errors import GraphError
from services.sandbox.meta.insights.ads_query import AdsQuery
from services.sandbox.meta.world import Node, World

LIFE = timedelta(days=30)  # O
MAX_RUNS = 10_000
"""Ours: the oldest are forgotten first."""
_NOT_STARTED, _STARTED, _RUNNING = "Job Not Started", "Job Started", "Job Running"
_STARTED_AT, _RUNNING_AT, _FULL_AT = 0.1, 0.2, 0.9
"""Ours: which part of the time is over when a run says that it has started, runs, and has all its rows."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run ends without a report."""

    status: str
    code: int | None = None
    subcode: int | None = None
    title: str = ""
    text: str = ""


TOO_LARGE = Failure(
    "Job Failed",
    -3,
    1504045,
    "Report Too Large",
    "Your report was too large. Check the documentation for guidance and try again. See Data Per Call Limits.",
)
FAILED = Failure("Job Failed", -2, 2490547, "Report Failed", "Generating the report failed. Please try again later.")
SKIPPED = Failure("Job Skipped")


@dataclass(frozen=True, slots=True)
class Run:
    """One report that was ordered."""

    node: Node
    target: Node
    query: AdsQuery
    ordered_at: datetime
    today: date
    """The day that it was in the account's zone: the report stays one of that day."""
    seconds: float
    failure: Failure | None
    keeps_old_reach: bool
    """Whether reach older than the limit of synchronous calls is in it."""

    @property
    def done_at(self) -> datetime:
        return self.ordered_at + timedelta(seconds=self.seconds)

    def is_complete(self, now: datetime) -> bool:
        return now >= self.done_at and self.failure is None

    def shown(self, now: datetime) -> dict[str, Any]:
        """What the object of the run says at a moment."""
        status, percent = self._state(now)
        shown: dict[str, Any] = {
            "id": self.node.id,
            "account_id": self.node.account.removeprefix("act_"),
            "time_ref": int(self.ordered_at.timestamp()),
            "async_status": status,
            "async_percent_completion": percent,
            "is_running": now < self.done_at,
            "date_start": self.query.since.isoformat(),
            "date_stop": self.query.until.isoformat(),
        }
        if now >= self.done_at:
            shown["time_completed"] = int(self.done_at.timestamp())
            if self.failure and self.failure.code is not None:
                shown |= {
                    "error_code": self.failure.code,
                    "error_message": self.failure.text,
                    "error_subcode": self.failure.subcode,
                    "error_user_title": self.failure.title,
                    "error_user_msg": self.failure.text,
                }
        return shown

    def _state(self, now: datetime) -> tuple[str, int]:
        if now >= self.done_at:
            return (self.failure.status, 0) if self.failure else ("Job Completed", 100)
        over = (now - self.ordered_at).total_seconds() / self.seconds
        if over < _STARTED_AT:
            return _NOT_STARTED, 0
        if over < _RUNNING_AT:
            return _STARTED, 0
        if self.failure:
            return _RUNNING, 0
        return _RUNNING, min(100, int((over - _RUNNING_AT) / (_FULL_AT - _RUNNING_AT) * 100))


class Runs:
    """The runs of one world."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, Run] = OrderedDict()

    def add(self, run: Run, world: World) -> None:
        self._runs[run.node.id] = run
        self._forget(world, run.ordered_at)

    def find(self, node: Node) -> Run | None:
        return self._runs.get(node.id)

    def count_old_reach(self, account: str, now: datetime) -> int:
        """How many reports of an account in the last day kept reach of long ago."""
        since = now - timedelta(days=1)
        recent = (run for run in self._runs.values() if run.ordered_at > since)
        return sum(run.keeps_old_reach and run.node.account == account for run in recent)

    def _forget(self, world: World, now: datetime) -> None:
        while self._runs:
            run_id, oldest = next(iter(self._runs.items()))
            if len(self._runs) <= MAX_RUNS and now - oldest.ordered_at < LIFE:
                return
            del self._runs[run_id]
            world.nodes.drop(run_id)


def not_loaded() -> GraphError:
    """Whole error T (issue 293 of facebook-python-business-sdk)."""
    text = (
        "Sorry, the report cannot be loaded successfully. Please check if your job status is completed instead of "
        "failed or running before fetching the data."
    )
    return GraphError(
        400,
        2601,
        "Error accessing adreport job.",
        subcode=1815107,
        transient=True,
        title="Loading Async Ads Report Failed",
        text=text,
    )
