"""The alarm: acts of the agenda are done at their moment though nobody calls."""

import asyncio
import gc
import weakref
from datetime import datetime, timedelta

from services.sandbox.clock import Clock
from services.sandbox.meta.agenda import Agenda
from services.sandbox.meta.alarm import Alarm


def test_a_moved_clock_does_what_has_become_due() -> None:
    clock, agenda, done = Clock(lambda: 0.0), Agenda(), list[datetime]()
    alarm = Alarm(clock, agenda)
    moment = clock.now() + timedelta(hours=1)
    agenda.at(moment, done.append)
    clock.advance(3599)
    assert done == []
    clock.advance(1)
    assert (done, alarm is not None) == ([moment], True)


async def test_an_act_is_done_at_its_moment_by_a_running_clock() -> None:
    clock, agenda, came = Clock(), Agenda(), asyncio.Event()
    alarm = Alarm(clock, agenda)
    clock.set_rate(1000)
    agenda.at(clock.now() + timedelta(seconds=20), lambda _: came.set())
    agenda.at(clock.now() + timedelta(days=20), lambda _: None)
    async with asyncio.timeout(5):
        await came.wait()
    assert alarm is not None


async def test_a_world_that_was_put_aside_is_not_kept_alive() -> None:
    clock, agenda = Clock(), Agenda()
    alarm = Alarm(clock, agenda)
    agenda.at(clock.now() + timedelta(days=1), lambda _: None)
    known = weakref.ref(alarm)
    del alarm, clock, agenda
    gc.collect()
    assert known() is None
