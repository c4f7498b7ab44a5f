"""The limiter: may these calls be made now? One answer for all replicas while Valkey is there.

While it is away each replica grants a small share by itself, says so in `quota_fallback_active`, tries again once a
second, and tells Valkey afterwards what it granted. A take whose answer was lost counts although nobody used it: that
wastes a little, and never overspends. Only an outage can: the first replica back does not know yet what the others
granted meanwhile, so a limit can be passed by their shares, until they ask again or the platform's next answer says it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from valkey.asyncio import Valkey
from valkey.asyncio.retry import Retry
from valkey.backoff import NoBackoff
from valkey.exceptions import ConnectionError as ValkeyConnectionError
from valkey.exceptions import ValkeyError

from libs.quota.books import Books
from libs.quota.lanes import CEILINGS, Lane
from libs.quota.script import SCRIPT
from libs.telemetry.metrics import counter, gauge
from libs.telemetry.redaction import safe_error
from libs.vocabulary import QuotaScope, QuotaUse, UsageReading

FALLBACK_ACTIVE: Final = gauge("quota_fallback_active", "1 while this replica grants by itself because Valkey is away")
GRANTED_UNITS: Final = counter("quota_granted_units_total", "Units granted", ["platform", "scope", "lane"])
REFUSALS: Final = counter("quota_refusals_total", "Takes refused", ["platform", "scope", "lane", "reason"])
USED_FRACTION: Final = gauge(
    "quota_used_fraction", "The fullest budget in the last answer of a platform; 1 is used up", ["platform", "scope"]
)
BLOCKS: Final = counter("quota_blocks_total", "Times that a platform closed a scope for a while", ["platform", "scope"])

Reason = Literal["used_up", "blocked", "fair_share"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Granted:
    """The calls may be made; their units are on the books."""

    local: bool = False
    """Granted by this replica alone, because Valkey is away."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The calls must wait, or be fewer; nothing was put on the books."""

    scope: QuotaScope
    retry_after_seconds: float
    free_units: int
    """What this scope would have granted now; a smaller batch may fit."""
    reason: Reason


class Limiter:
    """Grants units of platforms' budgets. Built in `app.py`; `close` it at the end."""

    def __init__(
        self,
        valkey_url: str,
        *,
        ceilings: Mapping[Lane, float] = CEILINGS,
        fair_after: float = 0.5,
        local_share: float = 0.05,
        timeout_seconds: float = 1.0,
        retry_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connects at the first use.

        fair_after: part of a lane's ceiling after which an organization gets no more than its fair share.
        local_share: part of a budget that one replica may grant without Valkey; times the number of replicas it
        should stay below 1, so that all of them together keep the limit.
        """
        self._valkey: Any = Valkey.from_url(
            valkey_url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            client_name="platformbus-quota",
            # A connection that died while idle is no sign that Valkey is away.
            retry=Retry(NoBackoff(), 1, supported_errors=(ValkeyConnectionError,)),
        )
        self._script = self._valkey.register_script(SCRIPT)
        self._ceilings = ceilings
        self._fair_after = fair_after
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._books = Books(local_share=local_share)
        self._away = False
        self._try_at = 0.0
        self._carrying = asyncio.Lock()
        self._owes = False

    @property
    def in_fallback(self) -> bool:
        """Whether the last word was that Valkey is away."""
        return self._away

    async def take(self, uses: Sequence[QuotaUse], *, lane: Lane, organization: str | None = None) -> Granted | Refused:
        """Take all units or none, of all scopes at once; a use of 0 units only asks that its scope is not blocked.

        With an `organization` a scope that runs low gives it at most its fair share: the lane's part divided by the
        organizations that asked within the window. Without Valkey shares are not kept.
        """
        wanted = _merged(uses)
        if not wanted:
            return Granted()
        answer = await self._ask(*self._take_arguments(wanted, lane, organization))
        outcome = self._locally(wanted, lane) if answer is None else self._by_answer(wanted, answer)
        _count(wanted, lane, outcome)
        return outcome

    async def observe(self, readings: Iterable[UsageReading]) -> None:
        """Put the books right by what a platform's answer said: use by others, and how long it serves nobody."""
        readings = tuple(readings)
        _show(readings)
        for reading in readings:
            scope, now = reading.scope, self._clock()
            fraction = max(0.0, reading.used_fraction)
            regain_seconds = max(0.0, reading.regain_after_seconds)
            if regain_seconds:
                BLOCKS.labels(scope.platform.value, scope.name).inc()
            self._books.learn(scope, fraction * scope.limit_units, now=now)
            answer = await self._ask(
                [_key(scope)], ["observe", scope.limit_units, _ms(scope.window_seconds), fraction, _ms(regain_seconds)]
            )
            if regain_seconds:
                self._block_locally(scope, now + regain_seconds, owed=answer is None)

    async def block(self, scope: QuotaScope, seconds: float) -> None:
        """Grant nothing of a scope for a while: the platform refused a call. A longer block stays."""
        BLOCKS.labels(scope.platform.value, scope.name).inc()
        now = self._clock()
        answer = await self._ask([_key(scope)], ["block", _ms(scope.window_seconds), _ms(max(0.0, seconds))])
        self._block_locally(scope, now + seconds, owed=answer is None)

    async def close(self) -> None:
        """Close the connections."""
        await self._valkey.aclose()

    async def _ask(self, keys: list[str], arguments: list[Any]) -> list[Any] | None:
        """Run the script; None while Valkey is away, without asking it more than once in `retry_seconds`."""
        if self._away:
            if self._clock() < self._try_at:
                return None
            self._try_at = self._clock() + self._retry_seconds  # one caller tries, the others go on by themselves
        try:
            await self._carry()
            answer: list[Any] = await self._script(keys=keys, args=arguments)
        except (ValkeyError, OSError, TimeoutError) as error:
            self._went_away(error)
            return None
        self._came_back()
        return answer

    async def _carry(self) -> None:
        """Tell Valkey what was granted and blocked without it, before it decides anything again."""
        while self._owes:
            async with self._carrying:
                now = self._clock()
                for scope, units, blocked_seconds in self._books.owed(now):
                    arguments = ["carry", _ms(scope.window_seconds), units, _ms(blocked_seconds)]
                    await self._script(keys=[_key(scope)], args=arguments)
                    self._books.settle(scope, units=units, now=now)
                # Others may have granted during the awaits above.
                self._owes = bool(self._books.owed(now))

    def _block_locally(self, scope: QuotaScope, until: float, *, owed: bool) -> None:
        self._books.block(scope, until=until, owed=owed)
        self._owes = self._owes or owed

    def _went_away(self, error: Exception) -> None:
        if not self._away:
            _log.warning("Valkey is away, this replica grants a share by itself: %s", safe_error(error))
        self._away = True
        self._try_at = self._clock() + self._retry_seconds
        FALLBACK_ACTIVE.set(1)

    def _came_back(self) -> None:
        if self._away:
            _log.info("Valkey is back, and knows what was granted meanwhile")
        self._away = False
        FALLBACK_ACTIVE.set(0)

    def _take_arguments(
        self, wanted: Sequence[QuotaUse], lane: Lane, organization: str | None
    ) -> tuple[list[str], list[Any]]:
        keys = [_key(use.scope) for use in wanted]
        if organization is not None:
            for key in tuple(keys):
                keys += [f"{key}:organizations", f"{key}:organization:{organization}"]
        arguments: list[Any] = ["take", self._ceilings[lane], self._fair_after, organization or ""]
        for use in wanted:
            arguments += [use.scope.limit_units, _ms(use.scope.window_seconds), use.units]
        return keys, arguments

    def _by_answer(self, wanted: Sequence[QuotaUse], answer: list[Any]) -> Granted | Refused:
        granted, number, retry_ms, free, reason, *used = answer
        now = self._clock()
        for use, used_units in zip(wanted, used, strict=True):
            self._books.learn(use.scope, float(used_units), now=now)
        if granted:
            return Granted()
        return Refused(wanted[number - 1].scope, retry_ms / 1000, free, reason.decode())

    def _locally(self, wanted: Sequence[QuotaUse], lane: Lane) -> Granted | Refused:
        refusal = self._books.take(wanted, ceiling=self._ceilings[lane], now=self._clock())
        if refusal is None:
            self._owes = True
            return Granted(local=True)
        reason: Reason = "blocked" if refusal.reason == "blocked" else "used_up"
        return Refused(refusal.scope, refusal.retry_after_seconds, refusal.free_units, reason)


def _show(readings: Sequence[UsageReading]) -> None:
    fullest: dict[tuple[str, str], float] = {}
    for reading in readings:
        at = (reading.scope.platform.value, reading.scope.name)
        fullest[at] = max(fullest.get(at, 0.0), reading.used_fraction)
    for at, fraction in fullest.items():
        USED_FRACTION.labels(*at).set(fraction)


def _merged(uses: Sequence[QuotaUse]) -> list[QuotaUse]:
    """One use per scope; one that costs nothing stays, as its scope can be blocked."""
    units: dict[QuotaScope, int] = {}
    for use in uses:
        units[use.scope] = units.get(use.scope, 0) + use.units
    return [QuotaUse(scope, count) for scope, count in units.items()]


def _count(wanted: Sequence[QuotaUse], lane: Lane, outcome: Granted | Refused) -> None:
    if isinstance(outcome, Refused):
        scope = outcome.scope
        REFUSALS.labels(scope.platform.value, scope.name, lane.value, outcome.reason).inc()
        return
    for use in wanted:
        GRANTED_UNITS.labels(use.scope.platform.value, use.scope.name, lane.value).inc(use.units)


def _key(scope: QuotaScope) -> str:
    """All scopes of one take belong to one platform; the braces keep its keys on one node of a cluster."""
    return f"quota:{{{scope.platform.value}}}:{scope.name}:{scope.subject}"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
