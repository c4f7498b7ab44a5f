"""One replica's own books, for the time without Valkey: what it granted then, what it last knew, what is blocked.

The same reckoning as the script's, in memory. Nothing here does I/O or reads a clock: the caller gives the time.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import floor
from typing import Final

from libs.quota.script import BUCKETS
from libs.vocabulary import QuotaScope, QuotaUse

MAX_SCOPES: Final = 10_000


@dataclass(slots=True)
class Book:
    """One scope. `buckets` hold only what was granted without Valkey; `known_used` is the last total that was known."""

    window_seconds: float
    buckets: dict[int, int] = field(default_factory=dict)
    known_used: float = 0.0
    known_at: float = 0.0
    blocked_until: float = 0.0
    block_owed: bool = False
    """The block was learned while Valkey was away, and Valkey has not been told."""

    @property
    def width_seconds(self) -> float:
        return self.window_seconds / BUCKETS

    def granted(self, now: float) -> int:
        """Units granted here that still count; forgets those that do not."""
        oldest = floor(now / self.width_seconds) - BUCKETS
        self.buckets = {bucket: units for bucket, units in self.buckets.items() if bucket >= oldest}
        return sum(self.buckets.values())

    def known(self, now: float) -> float:
        """The last known use, fading evenly over the window."""
        left = max(0.0, self.window_seconds - max(0.0, now - self.known_at))
        return self.known_used * left / self.window_seconds

    def grant(self, now: float, units: int) -> None:
        bucket = floor(now / self.width_seconds)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + units


@dataclass(frozen=True, slots=True)
class LocalRefusal:
    """What stands in the way of a local grant."""

    scope: QuotaScope
    retry_after_seconds: float
    free_units: int
    reason: str


class Books:
    """All scopes that this replica has met, the longest unused one forgotten first."""

    def __init__(self, *, local_share: float) -> None:
        self._share = local_share
        self._books: OrderedDict[QuotaScope, Book] = OrderedDict()

    def take(self, uses: Sequence[QuotaUse], *, ceiling: float, now: float) -> LocalRefusal | None:
        """Grant all uses or none: at most this replica's share of a scope, and never more than was last known free."""
        refusals = [found for use in uses if (found := self._refusal(use, ceiling, now)) is not None]
        if refusals:
            return max(refusals, key=lambda refusal: refusal.retry_after_seconds)
        for use in uses:
            if use.units:
                self.book(use.scope).grant(now, use.units)
        return None

    def book(self, scope: QuotaScope) -> Book:
        """Give a scope's book, made when there is none."""
        found = self._books.get(scope)
        if found is None:
            found = self._books[scope] = Book(scope.window_seconds)
            while len(self._books) > MAX_SCOPES:
                self._books.popitem(last=False)
        self._books.move_to_end(scope)
        return found

    def learn(self, scope: QuotaScope, used_units: float, *, now: float) -> None:
        """Note how much of a scope is used, as Valkey or the platform says."""
        book = self.book(scope)
        book.known_used, book.known_at = used_units, now

    def block(self, scope: QuotaScope, *, until: float, owed: bool) -> None:
        """Grant nothing of this scope before a time."""
        book = self.book(scope)
        book.blocked_until = max(book.blocked_until, until)
        book.block_owed = book.block_owed or owed

    def owed(self, now: float) -> list[tuple[QuotaScope, int, float]]:
        """What Valkey has not been told: scope, units granted here, seconds that a block still lasts."""
        owed = []
        for scope, book in self._books.items():
            blocked = max(0.0, book.blocked_until - now) if book.block_owed else 0.0
            units = book.granted(now)
            if units or blocked:
                owed.append((scope, units, blocked))
        return owed

    def settle(self, scope: QuotaScope, *, units: int, now: float) -> None:
        """Note that Valkey has been told of so many units; what was granted meanwhile stays owed."""
        book = self.book(scope)
        still_owed = max(0, book.granted(now) - units)
        book.buckets = {}
        book.block_owed = False
        if still_owed:
            book.grant(now, still_owed)

    def _refusal(self, use: QuotaUse, ceiling: float, now: float) -> LocalRefusal | None:
        book = self.book(use.scope)
        if book.blocked_until > now:
            return LocalRefusal(use.scope, book.blocked_until - now, 0, "blocked")
        if not use.units:
            return None
        cap = floor(use.scope.limit_units * ceiling)
        granted = book.granted(now)
        free = min(floor(cap * self._share) - granted, floor(cap - book.known(now) - granted))
        if use.units <= free:
            return None
        oldest = min(book.buckets, default=floor(now / book.width_seconds))
        wait = (oldest + BUCKETS + 1) * book.width_seconds - now
        # What was known fades a little in every bucket, so it is worth asking again soon.
        return LocalRefusal(use.scope, min(wait, book.width_seconds), max(0, free), "used_up")
