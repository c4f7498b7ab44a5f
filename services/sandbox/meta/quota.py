"""Quotas in rolling windows, the headers that show them, and what refuses when one is used up.

How large they are: `budgets.py`. Meta counts CPU and total time too but publishes no unit: they are shown as fixed
shares of the call count. Every item of a batch and every id of `ids=` is one call (O). Refused calls count as well:
"further calls prolong the block" (O).
"""

import json
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.sandbox.clock import Clock
from services.sandbox.meta.errors import GraphError, throttled

MINUTE = 60
HOUR = 3600
DAY = 86_400
CPU_SHARE, TIME_SHARE = 0.4, 0.7
MAX_SHOWN = 32  # O: at most so many objects in one header
ERRORS_PER_CALL = 1_000  # O: the budget of insights shrinks by 0.001 for each user error
_USE_CASES = {
    "ads_management": "ads_management", "ads_insights": "ads_insights", "pages": "pages", "instagram": "instagram",
    "leadgen": "leadgen",
    # The page lists no word for these (M).
    "threads": "threads", "whatsapp": "whatsapp", "catalog": "catalog_management", "catalog_batch": "catalog_batch",
}  # fmt: skip
"""Scope -> `type` in X-Business-Use-Case-Usage (O)."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """One budget: whose it is, how much one window holds."""

    scope: str
    """How it refuses: a key of THROTTLES."""
    subject: str
    limit: int
    window_seconds: int
    tier: str | None = None
    is_shown: bool = True
    """In headers and in the costs that the log shows; others only refuse."""
    refuses_as: str | None = None
    """A key of THROTTLES; None: the scope."""

    @property
    def key(self) -> str:
        return f"{self.scope}:{self.subject}"


class _Window:
    """Calls of the last window, summed by second."""

    def __init__(self) -> None:
        self.used = 0
        self._seconds: deque[list[int]] = deque()

    def add(self, now: int, units: int) -> None:
        if self._seconds and self._seconds[-1][0] == now:
            self._seconds[-1][1] += units
        else:
            self._seconds.append([now, units])
        self.used += units

    def forget_before(self, moment: int) -> None:
        while self._seconds and self._seconds[0][0] <= moment:
            self.used -= self._seconds.popleft()[1]

    def free_at(self, limit: int, window_seconds: int) -> int:
        """The second at which fewer calls than the limit lie in the window."""
        over = self.used - limit
        for second, units in self._seconds:
            over -= units
            if over < 0:
                return second + window_seconds
        return 0

    def empty_at(self, window_seconds: int) -> int:
        """The second at which every call so far has left the window."""
        return self._seconds[-1][0] + window_seconds if self._seconds else 0


class Quotas:
    """All budgets of the world."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[str, _Window] = {}
        self._errors: dict[str, _Window] = {}
        self.enforced = True

    def now(self) -> datetime:
        return self._clock.now()

    def charge(self, buckets: tuple[Bucket, ...], units: int) -> Bucket | None:
        """Count a call in each budget; gives the budget that refuses it, if one was used up before."""
        now = int(self._clock.unix())
        full: Bucket | None = None
        for bucket in buckets:
            window = self._window(bucket, now)
            if window.used + units > self._limit(bucket, now) and full is None:
                full = bucket
            window.add(now, units)
        return full if self.enforced else None

    def is_full(self, bucket: Bucket) -> bool:
        now = int(self._clock.unix())
        return self.enforced and self._window(bucket, now).used >= self._limit(bucket, now)

    def note_error(self, buckets: tuple[Bucket, ...]) -> None:
        """A call was wrong: what the budget of insights shrinks by (O)."""
        for bucket in buckets:
            if bucket.scope == "ads_insights":
                self._errors.setdefault(bucket.key, _Window()).add(int(self._clock.unix()), 1)

    def headers(self, buckets: tuple[Bucket, ...], blocked: Mapping[str, int] | None = None) -> list[tuple[str, str]]:
        """Usage headers of an answer. `blocked`: scope -> minutes, for a throttle that a fault made up."""
        blocked = blocked or {}
        shown: dict[str, str] = {}
        use_cases: dict[str, list[dict[str, Any]]] = {}
        throttle: dict[str, Any] = {}
        for bucket in buckets:
            used, wait = self._used(bucket)
            if bucket.scope in blocked:
                used, wait = max(used, 100.0), max(wait, blocked[bucket.scope] * 60)
            if bucket.scope == "app":
                shown["X-App-Usage"] = json.dumps(_load(used))
            elif bucket.scope in _USE_CASES:
                subject = bucket.subject.rpartition("/")[2]
                if subject in use_cases or len(use_cases) < MAX_SHOWN:
                    use_cases.setdefault(subject, []).append(_use_case(bucket, used, wait))
            # Headers of one name cannot be told apart by most clients: the last ad account speaks for a multi-get.
            if bucket.scope == "ads_management" and bucket.tier:
                reset = wait or self._seconds_to_empty(bucket)
                shown["X-Ad-Account-Usage"] = json.dumps(_account_usage(bucket.tier, used, reset))
            if bucket.scope in {"ads_insights", "insights_app"}:
                throttle |= _throttle(bucket, used)
        if use_cases:
            shown["X-Business-Use-Case-Usage"] = json.dumps(use_cases)
        if throttle:
            shown["X-FB-Ads-Insights-Throttle"] = json.dumps(throttle)
        return list(shown.items())

    def _used(self, bucket: Bucket) -> tuple[float, int]:
        """Percent used, and seconds until a call is possible again."""
        now = int(self._clock.unix())
        window, limit = self._window(bucket, now), self._limit(bucket, now)
        wait = 0
        if window.used >= limit:
            wait = max(0, window.free_at(limit, bucket.window_seconds) - now)
        return window.used / limit * 100, wait

    def _limit(self, bucket: Bucket, now: int) -> int:
        errors = self._errors.get(bucket.key)
        if errors is None:
            return bucket.limit
        errors.forget_before(now - bucket.window_seconds)
        return max(1, bucket.limit - errors.used // ERRORS_PER_CALL)

    def _seconds_to_empty(self, bucket: Bucket) -> int:
        now = int(self._clock.unix())
        return max(0, self._window(bucket, now).empty_at(bucket.window_seconds) - now)

    def _window(self, bucket: Bucket, now: int) -> _Window:
        window = self._windows.setdefault(bucket.key, _Window())
        window.forget_before(now - bucket.window_seconds)
        return window


def refusal(bucket: Bucket) -> GraphError:
    return throttled(bucket.refuses_as or bucket.scope)


def _load(used: float) -> dict[str, Any]:
    """Whole percents (O)."""
    return {
        "call_count": math.ceil(used),
        "total_cputime": math.ceil(used * CPU_SHARE),
        "total_time": math.ceil(used * TIME_SHARE),
    }


def _use_case(bucket: Bucket, used: float, wait_seconds: int) -> dict[str, Any]:
    """`estimated_time_to_regain_access` is in minutes; the tier is shown for ads only (O)."""
    minutes = math.ceil(wait_seconds / 60)
    tier = {"ads_api_access_tier": bucket.tier} if bucket.tier else {}
    return {"type": _USE_CASES[bucket.scope], **_load(used), "estimated_time_to_regain_access": minutes, **tier}


def _account_usage(tier: str, used: float, reset_seconds: int) -> dict[str, Any]:
    """A percentage with decimals, and seconds (O), which are given long before the limit is reached (O sample).

    What they count to exactly is M: here until the calls so far are forgotten; at the limit, until calls are possible.
    """
    return {"acc_id_util_pct": round(used, 2), "reset_time_duration": reset_seconds, "ads_api_access_tier": tier}


def _throttle(bucket: Bucket, used: float) -> dict[str, Any]:
    """Of the app and of the account, with decimals as in the other ads header (O; decimals M)."""
    if bucket.scope == "insights_app":
        return {"app_id_util_pct": round(used, 2)}
    return {"acc_id_util_pct": round(used, 2), "ads_api_access_tier": bucket.tier}
