"""Quotas in rolling windows, the headers that show them, and what refuses when one is used up.

Formulas O (overview/rate-limiting, marketing-apis/rate-limiting); the user's own number is hidden by Meta: ours is
made up. Meta counts CPU and total time too but publishes no unit: they are shown as fixed shares of the call count.
Every item of a batch and every id of `ids=` is one call (O). Refused calls count as well: "further calls prolong the
block" (O).
"""

import json
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.sandbox.clock import Clock
from services.sandbox.meta.errors import GraphError, throttled
from services.sandbox.meta.tokens import App, Token

HOUR = 3600
DAY = 86_400
CALLS_PER_DAILY_USER = 200  # O
USER_CALLS_PER_HOUR = 5_000  # hidden by Meta; made up
ADS_CALLS = {"standard_access": 100_000, "development_access": 300}  # O: full and limited tier, per hour
ADS_CALLS_PER_ACTIVE_AD = 40  # O
PAGE_CALLS_PER_ENGAGED_USER = 4_800  # O, per 24 hours
INSTAGRAM_CALLS_PER_IMPRESSION = 4_800  # O, per 24 hours
CPU_SHARE, TIME_SHARE = 0.4, 0.7
MAX_SHOWN = 32  # O: at most so many objects in one header
_BUC_SCOPES = ("ads_management", "pages", "instagram")


@dataclass(frozen=True, slots=True)
class Bucket:
    """One budget: whose it is, how much one window holds."""

    scope: str
    """How it refuses: a key of THROTTLES."""
    subject: str
    limit: int
    window_seconds: int
    tier: str | None = None

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
        self.enforced = True

    def charge(self, buckets: tuple[Bucket, ...], units: int) -> Bucket | None:
        """Count a call in each budget; gives the budget that refuses it, if one was used up before."""
        now = int(self._clock.unix())
        full: Bucket | None = None
        for bucket in buckets:
            window = self._window(bucket, now)
            if window.used + units > bucket.limit and full is None:
                full = bucket
            window.add(now, units)
        return full if self.enforced else None

    def is_full(self, bucket: Bucket) -> bool:
        return self.enforced and self._window(bucket, int(self._clock.unix())).used >= bucket.limit

    def headers(self, buckets: tuple[Bucket, ...], blocked: Mapping[str, int] | None = None) -> list[tuple[str, str]]:
        """Usage headers of an answer. `blocked`: scope -> minutes, for a throttle that a fault made up."""
        blocked = blocked or {}
        shown: list[tuple[str, str]] = []
        use_cases: dict[str, list[dict[str, Any]]] = {}
        for bucket in buckets[:MAX_SHOWN]:
            used, wait = self._used(bucket)
            if bucket.scope in blocked:
                used, wait = max(used, 100.0), max(wait, blocked[bucket.scope] * 60)
            if bucket.scope == "app":
                shown.append(("X-App-Usage", json.dumps(_load(used))))
            elif bucket.scope in _BUC_SCOPES:
                use_cases.setdefault(bucket.subject.rpartition("/")[2], []).append(_use_case(bucket, used, wait))
            if bucket.tier:
                reset = wait or self._seconds_to_empty(bucket)
                shown.append(("X-Ad-Account-Usage", json.dumps(_account_usage(bucket.tier, used, reset))))
        if use_cases:
            shown.append(("X-Business-Use-Case-Usage", json.dumps(use_cases)))
        # Headers of one name cannot be told apart by most clients: the last ad account speaks for a multi-get.
        return list(dict(shown).items())

    def _used(self, bucket: Bucket) -> tuple[float, int]:
        """Percent used, and seconds until a call is possible again."""
        now = int(self._clock.unix())
        window = self._window(bucket, now)
        wait = 0
        if window.used >= bucket.limit:
            wait = max(0, window.free_at(bucket.limit, bucket.window_seconds) - now)
        return window.used / bucket.limit * 100, wait

    def _seconds_to_empty(self, bucket: Bucket) -> int:
        now = int(self._clock.unix())
        return max(0, self._window(bucket, now).empty_at(bucket.window_seconds) - now)

    def _window(self, bucket: Bucket, now: int) -> _Window:
        window = self._windows.setdefault(bucket.key, _Window())
        window.forget_before(now - bucket.window_seconds)
        return window


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
    return {"type": bucket.scope, **_load(used), "estimated_time_to_regain_access": minutes, **tier}


def _account_usage(tier: str, used: float, reset_seconds: int) -> dict[str, Any]:
    """A percentage with decimals, and seconds (O), which are given long before the limit is reached (O sample).

    What they count to exactly is M: here until the calls so far are forgotten; at the limit, until calls are possible.
    """
    return {"acc_id_util_pct": round(used, 2), "reset_time_duration": reset_seconds, "ads_api_access_tier": tier}


def app_bucket(app: App) -> Bucket:
    return Bucket("app", app.id, CALLS_PER_DAILY_USER * app.daily_users, HOUR)


def platform_buckets(token: Token) -> tuple[Bucket, ...]:
    """Platform limits: the app's, and the user's for a user token."""
    if token.kind == "user":
        return (app_bucket(token.app), Bucket("user", f"{token.app.id}/{token.owner[1]}", USER_CALLS_PER_HOUR, HOUR))
    return (app_bucket(token.app),)


def ads_bucket(token: Token, account_id: str, active_ads: int) -> Bucket:
    """`account_id` without `act_`: so it stands in the header (O)."""
    tier = token.app.tier
    limit = ADS_CALLS[tier] + ADS_CALLS_PER_ACTIVE_AD * active_ads
    return Bucket("ads_management", f"{token.app.id}/{account_id}", limit, HOUR, tier)


def page_bucket(token: Token, page_id: str, engaged_users: int) -> Bucket:
    return Bucket("pages", f"{token.app.id}/{page_id}", PAGE_CALLS_PER_ENGAGED_USER * max(engaged_users, 1), DAY)


def instagram_bucket(token: Token, account_id: str, impressions: int) -> Bucket:
    subject = f"{token.app.id}/{account_id}"
    return Bucket("instagram", subject, INSTAGRAM_CALLS_PER_IMPRESSION * max(impressions, 1), DAY)


def refusal(bucket: Bucket) -> GraphError:
    return throttled(bucket.scope)
