"""The worker's loop: busy while there is work, woken at once, never ended by a failing round."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from libs.work_queue import Worker


def counted(
    worker_of: Callable[[Callable[[], Awaitable[int]]], Worker], results: list[int | Exception]
) -> tuple[Worker, asyncio.Event, list[int]]:
    """A worker whose rounds give `results`, then stop it; the list tells how many rounds there were."""
    stop = asyncio.Event()
    rounds: list[int] = []

    async def work() -> int:
        result = results[len(rounds)]
        rounds.append(len(rounds))
        if len(rounds) == len(results):
            stop.set()
        if isinstance(result, Exception):
            raise result
        return result

    return worker_of(work), stop, rounds


async def test_rounds_follow_at_once_while_there_is_work() -> None:
    worker, stop, rounds = counted(
        lambda work: Worker("test", work, idle_min_seconds=3600, idle_max_seconds=3600), [5, 5, 5, 5]
    )
    await asyncio.wait_for(worker.run(stop), 5)
    assert len(rounds) == 4


async def test_an_idle_worker_looks_again_after_its_wait() -> None:
    worker, stop, rounds = counted(lambda work: Worker("test", work, idle_min_seconds=0, idle_max_seconds=0), [0, 0, 0])
    await asyncio.wait_for(worker.run(stop), 5)
    assert len(rounds) == 3


async def test_waking_an_idle_worker_begins_a_round_at_once() -> None:
    stop, idle = asyncio.Event(), asyncio.Event()
    rounds = 0

    async def work() -> int:
        nonlocal rounds
        rounds += 1
        idle.set()
        return 0

    worker = Worker("test", work, idle_min_seconds=3600, idle_max_seconds=3600)
    running = asyncio.ensure_future(worker.run(stop))
    for expected in (1, 2, 3):
        await asyncio.wait_for(idle.wait(), 5)
        assert rounds == expected
        idle.clear()
        worker.wake()
    await asyncio.wait_for(idle.wait(), 5)
    stop.set()
    await asyncio.wait_for(running, 5)


async def test_being_woken_during_a_round_is_not_forgotten() -> None:
    stop = asyncio.Event()
    rounds = 0

    async def work() -> int:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            worker.wake()  # new work came after this round's claim
        else:
            stop.set()
        return 0

    worker = Worker("test", work, idle_min_seconds=3600, idle_max_seconds=3600)
    await asyncio.wait_for(worker.run(stop), 5)
    assert rounds == 2


async def test_a_failing_round_is_logged_and_the_next_one_comes(caplog: pytest.LogCaptureFixture) -> None:
    worker, stop, rounds = counted(
        lambda work: Worker("mine", work, failure_base_seconds=0, failure_cap_seconds=0),
        [ValueError("a bug"), ConnectionResetError("gone"), 0],
    )
    await asyncio.wait_for(worker.run(stop), 5)
    assert len(rounds) == 3
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "mine: a round failed"),
        ("WARNING", "mine: the database is away, waiting: ConnectionResetError: gone"),
    ]


async def test_stopping_ends_a_wait_and_lets_a_begun_round_finish() -> None:
    stop, begun, finish = asyncio.Event(), asyncio.Event(), asyncio.Event()
    finished = False

    async def work() -> int:
        nonlocal finished
        begun.set()
        await finish.wait()
        finished = True
        return 0

    running = asyncio.ensure_future(Worker("test", work, idle_min_seconds=3600, idle_max_seconds=3600).run(stop))
    await asyncio.wait_for(begun.wait(), 5)
    stop.set()
    await asyncio.sleep(0)
    assert not running.done()
    finish.set()
    await asyncio.wait_for(running, 5)
    assert finished


async def test_cancelling_passes_through() -> None:
    stop, begun = asyncio.Event(), asyncio.Event()

    async def work() -> int:
        begun.set()
        return 0

    running = asyncio.ensure_future(Worker("test", work, idle_min_seconds=3600, idle_max_seconds=3600).run(stop))
    await asyncio.wait_for(begun.wait(), 5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_round_that_does_not_come_back_ages_until_it_does() -> None:
    begun, let_go, stop, now = asyncio.Event(), asyncio.Event(), asyncio.Event(), [0.0]

    async def work() -> int:
        begun.set()
        await let_go.wait()
        stop.set()
        return 0

    worker = Worker("ages", work, clock=lambda: now[0])
    running = asyncio.create_task(worker.run(stop))
    await begun.wait()
    now[0] = 100.0
    assert worker.last_round_age_seconds() == 100.0
    let_go.set()
    await running
    assert worker.last_round_age_seconds() == 0.0
