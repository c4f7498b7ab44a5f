"""Consumers as processes that are killed at named and at random moments, or frozen, while records fail and flow.

PARKING_SEED replays what is published, which records fail how often, and in which order the moments come.
"""

import asyncio
import os
import random
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from libs.events.requests import RequestSubmitted
from tests.support.bus import a_request, headers_for, publish, until
from tests.support.databases import ServiceDatabase
from tests.support.parking import APPLIED, CREATE
from tests.support.topics import Topics

pytestmark = [pytest.mark.db, pytest.mark.kafka]

SEED = int(os.environ.get("PARKING_SEED", "0")) or random.randrange(1, 2**31)
PARTITIONS = 3
TAKEN_OVER_SECONDS = 240
"""What a process that was frozen in its transaction has locked is free when Postgres ends that session, after 30 s."""
KEYS = [f"k{number}" for number in range(12)]
MOMENTS = (
    "after BLOCK",
    "after PARK",
    "before COMMIT PARK",
    "after COMMIT PARK",
    "after CLAIM",
    "after LOCK_CLAIMED",
    "after NOTE_FAILURE",
    "after END",
    "before COMMIT END",
    "after COMMIT END",
    "before COMMIT GO_ON",
    "after COMMIT UNBLOCK_EMPTY",
)


class Scene:
    """A topic, what was published on it, and the processes that consume it."""

    def __init__(self, database: ServiceDatabase, owner: asyncpg.Connection, bootstrap: str, topic: str) -> None:
        self._database = database
        self._bootstrap = bootstrap
        self._topic = topic
        self._group = f"parking-{uuid.uuid4().hex[:8]}"
        self._processes: list[asyncio.subprocess.Process] = []
        self.owner = owner
        self.dice = random.Random(SEED)
        print(f"PARKING_SEED={SEED}")  # noqa: T201  pytest shows it with a failure
        self.published: dict[str, list[str]] = {key: [] for key in KEYS}

    async def publish(self, number: int) -> None:
        records: list[list[tuple[bytes, bytes, object]]] = [[] for _ in range(PARTITIONS)]
        for _ in range(number):
            key = self.dice.choice(KEYS)
            what = f"{key}-{len(self.published[key])}"
            self.published[key].append(what)
            body = a_request(what=what).model_dump_json().encode()
            place = KEYS.index(key) % PARTITIONS
            records[place].append((key.encode(), body, headers_for(RequestSubmitted)))
        for partition, some in enumerate(records):
            await publish(self._bootstrap, self._topic, some, partition)  # type: ignore[arg-type]

    async def start(
        self, *, fail_share: float, moment: str = "", group: str | None = None
    ) -> asyncio.subprocess.Process:
        seed = str(self.dice.randrange(2**31))
        arguments = (self._database.worker_dsn, self._bootstrap, self._topic, group or self._group)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.parking_process", *arguments, str(fail_share), seed, moment
        )
        self._processes.append(process)
        return process

    async def applied(self) -> int:
        return int(await self.owner.fetchval("SELECT count(*) FROM applied"))

    async def until_applied(self, number: int) -> None:
        async def enough() -> bool:
            return await self.applied() >= number

        await until(enough, f"{number} records are applied", seconds=TAKEN_OVER_SECONDS)

    async def feed_until_killed(self, process: asyncio.subprocess.Process, moment: str) -> None:
        """Publish until the process came to its moment: whether what was published brings it there is chance."""
        for _ in range(20):
            await self.publish(40)
            try:
                assert await asyncio.wait_for(process.wait(), 3) == -signal.SIGKILL, moment
            except TimeoutError:
                continue
            return
        pytest.fail(f"the process has not come to {moment!r}; {await self.applied()} records are applied")

    async def finish(self) -> None:
        """Let a consumer that never fails end what is left, then compare each key's order with what was published."""
        process = await self.start(fail_share=0.0)
        await self.until_applied(sum(map(len, self.published.values())))

        async def is_free() -> bool:
            return not await self.owner.fetchval("SELECT EXISTS (SELECT FROM parked_keys)")

        await until(is_free, "no key is blocked", seconds=TAKEN_OVER_SECONDS)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        rows = await self.owner.fetch(APPLIED)
        for key in KEYS:
            assert [row["what"] for row in rows if row["key"] == key] == self.published[key]
        assert not await self.owner.fetchval("SELECT EXISTS (SELECT FROM parked WHERE status = 'open')")
        assert await self.owner.fetchval("SELECT count(*) FROM parked WHERE attempts > 0") > 0

    async def end(self) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.kill()
                await process.wait()


@asynccontextmanager
async def _scene(database: ServiceDatabase, topics: Topics) -> AsyncIterator[Scene]:
    owner = await asyncpg.connect(database.owner_dsn)
    await owner.execute(CREATE)
    scene = Scene(database, owner, topics.bootstrap, await topics.create("parking", partitions=PARTITIONS))
    try:
        yield scene
    finally:
        await scene.end()
        await owner.close()


async def test_killed_at_every_step_of_parking_and_replay_no_order_breaks(
    ingest_database: ServiceDatabase, topics: Topics
) -> None:
    """Each process is a group of its own, so that every record comes again from the first on as well."""
    async with _scene(ingest_database, topics) as scene:
        for moment in scene.dice.sample(MOMENTS, len(MOMENTS)):
            process = await scene.start(fail_share=0.3, moment=moment, group=uuid.uuid4().hex)
            await scene.feed_until_killed(process, moment)
        await scene.finish()


async def test_killed_and_frozen_consumers_apply_each_record_once_and_in_order(
    ingest_database: ServiceDatabase, topics: Topics
) -> None:
    async with _scene(ingest_database, topics) as scene:
        await scene.publish(300)
        running = [await scene.start(fail_share=0.1)]
        for blow in ("freeze", "kill", "kill"):
            await scene.until_applied(await scene.applied() + scene.dice.randrange(1, 60))
            running.append(await scene.start(fail_share=0.1))
            struck = running.pop(0)
            if blow == "kill":
                struck.kill()
                await struck.wait()
            else:
                struck.send_signal(signal.SIGSTOP)
            await scene.publish(150)
            # The others take over when the group has missed it for long enough.
            await scene.until_applied(sum(map(len, scene.published.values())) - 60)
            if blow == "freeze":
                struck.send_signal(signal.SIGCONT)
                running.insert(0, struck)
            await scene.publish(60)
        for process in running:
            process.kill()
        await scene.finish()
