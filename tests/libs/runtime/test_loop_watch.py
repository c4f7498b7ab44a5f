import asyncio

from libs.runtime.loop_watch import INTERVAL_SECONDS, LoopWatch


async def test_a_loop_in_time_is_well_and_a_late_one_is_not() -> None:
    now = [0.0]
    watch = LoopWatch(clock=lambda: now[0])
    now[0] += INTERVAL_SECONDS
    watch.tick()
    assert await watch.check() is None
    now[0] += INTERVAL_SECONDS + 6
    watch.tick()
    assert await watch.check() == "the event loop was 6.0 s late"
    now[0] += INTERVAL_SECONDS
    watch.tick()
    assert await watch.check() is None


async def test_a_loop_that_stopped_ticking_is_late_by_the_time_since() -> None:
    now = [0.0]
    watch = LoopWatch(clock=lambda: now[0])
    now[0] += 10
    assert await watch.check() == f"the event loop was {10 - INTERVAL_SECONDS:.1f} s late"


async def test_watching_ends_when_told_to() -> None:
    stop = asyncio.Event()
    stop.set()
    await LoopWatch().run(stop)
