"""Does what the agenda holds at its moment though nobody calls: subscribers hear of a scheduled post as it goes out."""

import asyncio
import weakref

from services.sandbox.clock import Clock
from services.sandbox.meta.agenda import Agenda


class Alarm:
    """Set to the next moment of an agenda, anew whenever the clock is moved or something is planned.

    Outside of a running loop it does nothing: there the agenda is settled by who looks. A world that a reset put aside
    is not kept alive by it.
    """

    def __init__(self, clock: Clock, agenda: Agenda) -> None:
        self._clock = clock
        self._agenda = agenda
        self._timer: asyncio.TimerHandle | None = None
        clock.on_move(self.ring)
        agenda.on_plan(self._set)

    def ring(self) -> None:
        """Do what is due now, and wait for what comes next."""
        self._agenda.settle(self._clock.now())
        self._set()

    def _set(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        next_at = self._agenda.next_at
        seconds = self._clock.seconds_until(next_at) if next_at else None
        if seconds is None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._timer = loop.call_later(seconds, _ring_if_there, weakref.ref(self))


def _ring_if_there(alarm: "weakref.ref[Alarm]") -> None:
    found = alarm()
    if found is not None:
        found.ring()
