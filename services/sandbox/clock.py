"""The sandbox's clock: token expiry, quota windows and days follow it, so that tests can move time."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

MAX_RATE = 1_000_000.0
MAX_ADVANCE_SECONDS = 10 * 366 * 86_400.0
END = datetime(2200, 1, 1, tzinfo=UTC)
"""It stops there: moments that lie ahead of it are worked out from it, and there are none after the year 9999."""

_LONGEST_SECONDS = 200 * 366 * 86_400.0


class ClockRefused(ValueError):  # noqa: N818  reads as the fact it reports
    """The clock cannot be moved that way."""


class Clock:
    """Starts equal to the machine's clock; moves forward only."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._base = datetime.now(UTC)
        self._since = monotonic()
        self._listeners: list[Callable[[], None]] = []
        self.rate = 1.0

    def now(self) -> datetime:
        passed = min((self._monotonic() - self._since) * self.rate, _LONGEST_SECONDS)
        return min(END, self._base + timedelta(seconds=passed))

    def unix(self) -> float:
        return self.now().timestamp()

    def seconds_until(self, moment: datetime) -> float | None:
        """Seconds of the machine until the clock shows the moment, if nobody moves it; None while it stands still."""
        left = max(0.0, (moment - self.now()).total_seconds())
        if not left:
            return 0.0
        return left / self.rate if self.rate else None

    def on_move(self, listener: Callable[[], None]) -> None:
        """Call the listener whenever the clock is moved or set to another rate: who waits for a moment counts anew."""
        self._listeners.append(listener)

    def advance(self, seconds: float) -> None:
        """Raises: ClockRefused if that is backwards, more than ten years, or after the end of time."""
        if not 0 <= seconds <= MAX_ADVANCE_SECONDS:
            raise ClockRefused("advance_seconds must be from 0 to ten years; only a reset moves the clock backwards")
        moment = self.now() + timedelta(seconds=seconds)
        if moment > END:
            raise ClockRefused(f"the clock ends with {rfc3339(END)}")
        self._restart(moment)

    def move_to(self, moment: datetime) -> None:
        """Raises: ClockRefused if the moment is past already, or has no time zone."""
        if moment.tzinfo is None:
            raise ClockRefused("now must carry a time zone, e.g. 2026-11-21T10:00:00Z")
        self.advance((moment - self.now()).total_seconds())

    def set_rate(self, rate: float) -> None:
        """0 stops the clock. Raises: ClockRefused."""
        if not 0 <= rate <= MAX_RATE:
            raise ClockRefused(f"rate must be from 0 to {MAX_RATE:g}")
        self._restart(self.now(), rate)

    def _restart(self, moment: datetime, rate: float | None = None) -> None:
        self._base, self._since = moment, self._monotonic()
        if rate is not None:
            self.rate = rate
        for listener in self._listeners:
            listener()


def rfc3339(moment: datetime) -> str:
    """RFC 3339 text in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
