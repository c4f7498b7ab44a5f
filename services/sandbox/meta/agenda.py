"""What happens later by itself: scheduled posts go out, videos become ready, containers expire.

Kept by the sandbox's clock and done when somebody looks: before a call is answered or the world is shown. `alarm.py`
looks when the moment has come.
"""

import heapq
from collections.abc import Callable
from datetime import datetime

Act = Callable[[datetime], None]
"""Gets the moment that it was planned for."""


class Agenda:
    """Acts by their moments, done in that order, each once."""

    def __init__(self) -> None:
        self._due: list[tuple[datetime, int, Act]] = []
        self._planned = 0
        self._listeners: list[Callable[[], None]] = []

    @property
    def next_at(self) -> datetime | None:
        """The moment of the next act."""
        return self._due[0][0] if self._due else None

    def on_plan(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever an act was planned that comes before all others."""
        self._listeners.append(listener)

    def at(self, moment: datetime, act: Act) -> None:
        self._planned += 1
        heapq.heappush(self._due, (moment, self._planned, act))
        if self._due[0][1] == self._planned:
            for listener in self._listeners:
                listener()

    def settle(self, now: datetime) -> None:
        """Do what is due. An act may plan others, which are done too if their moment has come."""
        while self._due and self._due[0][0] <= now:
            moment, _, act = heapq.heappop(self._due)
            act(moment)
