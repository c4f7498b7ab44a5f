"""Who goes first when there are too many: of connections, and of the requests that are being served."""

import asyncio
import heapq
from collections.abc import Callable, Iterable
from typing import Final, Protocol

_MADE: Final = 32
"""At a time, so that not every newcomer has to look for somebody."""
_NONE_SECONDS: Final = 0.1


class Occupant(Protocol):
    """A connection, as those see it who need its place."""

    @property
    def deadline(self) -> float:
        """When what it waits for is given up, on the loop's clock."""

    def is_spare(self, now: float) -> bool:
        """Whether nothing is lost with it: it is idle, slow with a head, or takes its time to go."""

    def keeps_waiting(self, now: float, *, long: bool) -> bool:
        """Whether a request is being served that waits for its client; a long one only, or any."""

    def leave(self) -> None:
        """End a connection that is spare."""

    def give_up(self) -> None:
        """End the request that is slow; the application is told that nobody is there any more."""


class Room:
    """What the connections of one server share."""

    def __init__(self) -> None:
        self.occupants: Iterable[Occupant] = ()
        self._no_spare_until = 0.0
        self._no_slow_until = 0.0
        self._no_fresh_until = 0.0

    def make_for_connection(self) -> bool:
        """End the spare connections that have been that longest; give whether there were any."""
        now = asyncio.get_running_loop().time()
        if now < self._no_spare_until:
            return False
        oldest = self._oldest(lambda each: each.is_spare(now))
        for each in oldest:
            each.leave()
        if not oldest:
            self._no_spare_until = now + _NONE_SECONDS
        return bool(oldest)

    def make_for_requests(self, *, is_whole: bool) -> int:
        """End requests that have waited longest for their clients; give how many, which leave in a moment.

        For one that is whole a fresh one goes too, where there are no slow ones: it needs its place for a moment only.
        """
        now = asyncio.get_running_loop().time()
        oldest: list[Occupant] = []
        if now >= self._no_slow_until:
            oldest = self._oldest(lambda each: each.keeps_waiting(now, long=True))
            if not oldest:
                self._no_slow_until = now + _NONE_SECONDS
        if not oldest and is_whole and now >= self._no_fresh_until:
            oldest = self._oldest(lambda each: each.keeps_waiting(now, long=False))[:1]
            if not oldest:
                self._no_fresh_until = now + _NONE_SECONDS
        for each in oldest:
            each.give_up()
        return len(oldest)

    def _oldest(self, chosen: Callable[[Occupant], bool]) -> list[Occupant]:
        return heapq.nsmallest(_MADE, filter(chosen, self.occupants), key=lambda each: each.deadline)
