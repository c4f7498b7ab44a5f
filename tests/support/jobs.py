"""Jobs whose runs begin and end when a test says so, and schedulers that run for the length of a block."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from libs.jobs import Job, Scheduler, list_runs
from libs.postgres import Database
from tests.support.until import until as until_true

FAR = 3600.0
"""Seconds: no test waits for such a plan."""


class Work:
    """A job whose runs begin and end when the test says so."""

    def __init__(self, name: str = "sweep", **options: Any) -> None:
        self.begun = asyncio.Semaphore(0)
        self.may_end = asyncio.Semaphore(0)
        self.left = asyncio.Semaphore(0)
        self.at_once = 0
        self.most_at_once = 0
        self.runs = 0
        self.error: Exception | None = None
        self.job = Job(name, self.run, **({"interval_seconds": FAR} | options))

    async def run(self, _: Database) -> Mapping[str, int]:
        self.runs += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.begun.release()
        try:
            await self.may_end.acquire()
        finally:
            self.at_once -= 1
            self.left.release()
        if self.error is not None:
            raise self.error
        return {"swept": self.runs}

    async def has_begun(self) -> None:
        await asyncio.wait_for(self.begun.acquire(), 60)


@contextlib.asynccontextmanager
async def scheduled(
    database: Database, *works: Work, owner: str = "one", lease_seconds: float = 30, drain_seconds: float = 10
) -> AsyncIterator[Scheduler]:
    """A scheduler at work for the length of the block."""
    scheduler = Scheduler(
        database,
        [work.job for work in works],
        owner,
        lease_seconds=lease_seconds,
        poll_seconds=0.02,
        drain_seconds=drain_seconds,
    )
    stop = asyncio.Event()
    running = asyncio.create_task(scheduler.run(stop))
    try:
        await until(database, "SELECT count(*) = $1 FROM jobs", len(works))
        yield scheduler
    finally:
        stop.set()
        await asyncio.wait_for(running, 60)


async def until(database: Database, question: str, *args: object) -> None:
    """Wait until the database answers yes."""
    async with database.acquire() as conn:

        async def says_yes() -> bool:
            return bool(await conn.fetchval(question, *args))

        await until_true(says_yes, question)


async def make_due(database: Database, name: str = "sweep") -> None:
    async with database.acquire() as conn:
        await conn.execute("UPDATE jobs SET next_run_at = clock_timestamp() - interval '1 s' WHERE name = $1", name)


async def runs(database: Database) -> list[dict[str, Any]]:
    """All runs, oldest first."""
    async with database.acquire() as conn:
        return list(reversed(await list_runs(conn)))


ENDED = "SELECT count(*) = $1 FROM job_runs WHERE ended_at IS NOT NULL"
