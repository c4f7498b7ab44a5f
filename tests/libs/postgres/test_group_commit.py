"""Group commit on a real Postgres: who shares a transaction, who fails alone, what is heard when it is away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from deploy.local import ports
from libs.postgres import Connection, Database, group_commit
from libs.postgres.group_commit import Away, Full, GroupCommit
from tests.support.databases import ServiceDatabase, TestDatabase, dsn_to
from tests.support.proxy import Proxy
from tests.support.until import until

pytestmark = pytest.mark.db

SILENT_SECONDS = 2.0
"""A time limit that a test waits for, and within which a slow machine still commits."""
INSERT = "INSERT INTO kept (word) SELECT word FROM unnest($1::text[]) AS item (word)"
Write = Callable[[Connection, Sequence[str]], Awaitable[None]]


@dataclass
class World:
    """A table behind a network that can be broken, and a write that can be held."""

    database: Database
    proxy: Proxy
    admin_dsn: str
    may_write: asyncio.Event = field(default_factory=asyncio.Event)
    batches: list[list[str]] = field(default_factory=list)
    entered: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, conn: Connection, words: Sequence[str]) -> None:
        self.batches.append(list(words))
        self.entered.set()
        await self.may_write.wait()
        await conn.execute(INSERT, list(words))

    async def kept(self) -> list[str]:
        admin = await asyncpg.connect(self.admin_dsn)
        try:
            return [row["word"] for row in await admin.fetch("SELECT word FROM ingest.kept ORDER BY id")]
        finally:
            await admin.close()

    async def end_backends(self) -> None:
        admin = await asyncpg.connect(self.admin_dsn)
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'group commit'"
        )
        await admin.close()


@pytest.fixture
async def world(empty_database: TestDatabase) -> AsyncIterator[World]:
    dsn = ServiceDatabase("ingest", empty_database).owner_dsn
    port = ports.choose()
    proxy = Proxy(port, urlsplit(dsn).port or 5432)
    proxy.start()
    through = urlsplit(dsn)
    address = f"{through.username}:{through.password}@127.0.0.1:{port}"
    database = await Database.connect(
        through._replace(netloc=address).geturl(), role="owner", max_size=4, application_name="group commit"
    )
    async with database.acquire() as conn:
        await conn.execute(
            "CREATE TABLE kept (id bigint GENERATED ALWAYS AS IDENTITY, word text UNIQUE CHECK (word <> 'bad'))"
        )
    made = World(database, proxy, dsn_to(empty_database.admin_dsn, empty_database.name))
    made.may_write.set()
    yield made
    database.terminate()
    await proxy.close()


@asynccontextmanager
async def committing(world: World, **more: Any) -> AsyncIterator[GroupCommit[str]]:
    commit = GroupCommit(world.database, world.write, name="test", **more)
    try:
        yield commit
    finally:
        world.may_write.set()
        await commit.close()


async def add(commit: GroupCommit[str], words: Sequence[str], size_bytes: int = 10) -> list[BaseException | None]:
    """Add words at once; give what each one heard."""
    return await asyncio.gather(*(commit.add(word, size_bytes) for word in words), return_exceptions=True)


async def back(commit: GroupCommit[str]) -> None:
    async def open_again() -> bool:
        return not commit.is_away

    await until(open_again, "the gate to open")


async def test_a_lone_item_is_committed_when_add_returns(world: World) -> None:
    async with committing(world) as commit:
        for word in ("a", "b", "c"):
            await commit.add(word, 1)
            assert (await world.kept())[-1] == word
    assert world.batches == [["a"], ["b"], ["c"]]


async def test_items_that_wait_together_share_a_transaction_in_their_order(world: World) -> None:
    words = [str(number) for number in range(200)]
    async with committing(world, flushers=1) as commit:
        assert await add(commit, words) == [None] * 200
    assert [len(batch) for batch in world.batches] == [64, 64, 64, 8]
    assert await world.kept() == words


async def test_what_comes_while_a_transaction_is_under_way_shares_the_next_one(world: World) -> None:
    world.may_write.clear()
    async with committing(world, flushers=1) as commit:
        first = asyncio.create_task(commit.add("first", 1))
        await world.entered.wait()
        later = [asyncio.create_task(commit.add(word, 1)) for word in "abc"]
        await asyncio.sleep(0)
        world.may_write.set()
        await asyncio.gather(first, *later)
    assert world.batches == [["first"], ["a", "b", "c"]]


async def test_no_more_transactions_are_under_way_than_there_are_flushers(world: World) -> None:
    world.may_write.clear()
    async with committing(world, flushers=2, max_items=2) as commit:
        adding = asyncio.ensure_future(add(commit, "abcdefgh"))

        async def both() -> bool:
            return len(world.batches) == 2

        await until(both, "two transactions")
        world.may_write.set()
        assert await adding == [None] * 8
    assert [len(batch) for batch in world.batches] == [2] * 4


async def test_a_batch_has_a_limit_in_bytes_too(world: World) -> None:
    async with committing(world, flushers=1, max_batch_bytes=25) as commit:
        await add(commit, "abcde", size_bytes=10)
        await commit.add("larger than a batch", 100)
    assert [len(batch) for batch in world.batches] == [2, 2, 1, 1]


async def test_what_is_wrong_fails_alone(world: World) -> None:
    words = [str(number) for number in range(64)]
    words[17], words[40] = "bad", "nul \x00"
    async with committing(world) as commit:
        heard = await add(commit, words)
    assert isinstance(heard[17], asyncpg.CheckViolationError)
    assert isinstance(heard[40], asyncpg.PostgresError)
    assert [each for each in heard if each is None] == [None] * 62
    assert await world.kept() == [word for word in words if word.isdigit()]


async def test_a_lock_that_somebody_holds_is_nobodys_fault_here_and_no_half_waits_for_it_again(world: World) -> None:
    async def write(conn: Connection, words: Sequence[str]) -> None:
        await conn.execute("SET lock_timeout = '200ms'")
        await world.write(conn, words)

    admin = await asyncpg.connect(world.admin_dsn)
    commit = GroupCommit(world.database, write, name="test", flushers=1)
    async with admin.transaction():
        await admin.execute("LOCK TABLE ingest.kept IN SHARE MODE")
        said = await add(commit, [str(number) for number in range(8)])
    assert {type(one) for one in said} == {Away}
    assert len(world.batches) == 1
    await back(commit)
    await commit.add("later", 1)
    await commit.close()
    await admin.close()
    assert await world.kept() == ["later"]


async def test_a_waiter_that_is_cancelled_takes_its_item_with_it(world: World) -> None:
    world.may_write.clear()
    async with committing(world, flushers=1, max_held=3) as commit:
        first = asyncio.create_task(commit.add("first", 1))
        await world.entered.wait()
        gone, stays = (asyncio.create_task(commit.add(word, 1)) for word in ("gone", "stays"))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        first.cancel()  # its transaction goes on
        world.may_write.set()
        await stays
        assert gone.cancelled()
        assert await add(commit, "abc") == [None] * 3  # nothing of it is held any more
    assert (await world.kept())[:2] == ["first", "stays"]


@pytest.mark.parametrize("limits", [{"max_held": 3}, {"max_held_bytes": 30}])
async def test_what_cannot_be_held_is_refused(world: World, limits: dict[str, int]) -> None:
    world.may_write.clear()
    async with committing(world, **limits) as commit:
        held = asyncio.ensure_future(add(commit, "abc", size_bytes=10))
        await world.entered.wait()
        with pytest.raises(Full):
            await commit.add("d", 10)
        world.may_write.set()
        assert await held == [None] * 3
        await commit.add("e", 10)
    assert sorted(await world.kept()) == ["a", "b", "c", "e"]


async def test_a_database_that_is_cut_off_is_away_for_all_at_once_and_comes_back_by_itself(world: World) -> None:
    async with committing(world, flushers=1, time_limit_seconds=60) as commit:
        await commit.add("before", 1)
        world.may_write.clear()
        world.entered.clear()
        writing = asyncio.ensure_future(add(commit, "ab"))
        await world.entered.wait()
        waiting = asyncio.ensure_future(add(commit, "cd"))
        await asyncio.sleep(0)
        await world.proxy.cut()
        world.may_write.set()
        async with asyncio.timeout(20):  # long before the time limit
            assert [type(each) for each in await writing + await waiting] == [Away] * 4
            with pytest.raises(Away) as refused:
                await commit.add("e", 1)
        assert refused.value.retry_after_seconds > 0
        world.proxy.heal()
        await back(commit)
        await commit.add("after", 1)
    assert await world.kept() == ["before", "after"]


async def test_backends_that_are_ended_are_replaced(world: World) -> None:
    async with committing(world) as commit:
        await add(commit, [str(number) for number in range(100)])
        await world.end_backends()
        while await add(commit, ["after"]) != [None]:
            await back(commit)
    assert (await world.kept())[-1] == "after"


async def test_a_database_that_falls_silent_is_away_when_the_time_limit_is_over(world: World) -> None:
    async with committing(world, time_limit_seconds=SILENT_SECONDS) as commit:
        await commit.add("before", 1)
        world.proxy.black_hole()
        started = asyncio.get_running_loop().time()
        assert [type(each) for each in await add(commit, "ab")] == [Away] * 2
        assert asyncio.get_running_loop().time() - started < 6 * SILENT_SECONDS
        with pytest.raises(Away):
            await commit.add("c", 1)
        world.proxy.heal()
        await back(commit)
        await commit.add("after", 1)
    assert (await world.kept())[-1] == "after"


async def test_a_database_that_was_never_reached_is_away_within_the_time_limit(world: World) -> None:
    world.proxy.black_hole()
    await world.proxy.reset()
    async with committing(world, time_limit_seconds=SILENT_SECONDS) as commit:
        assert [type(each) for each in await add(commit, "ab")] == [Away] * 2
        world.proxy.heal()
        await back(commit)
        await commit.add("after", 1)


async def test_what_comes_while_every_writer_gives_its_connection_back_waits_for_none_of_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "_IDLE_SECONDS", 0.05)
    lend, leaving, may_leave = world.database.acquire, asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def slow_to_end() -> AsyncIterator[Connection]:
        async with lend() as conn:
            yield conn
            leaving.set()
            await may_leave.wait()

    monkeypatch.setattr(world.database, "acquire", slow_to_end)
    async with committing(world, flushers=1) as commit:
        await commit.add("before", 1)
        async with asyncio.timeout(60):
            await leaving.wait()
            await commit.add("then", 1)  # though nothing has been given back yet
            may_leave.set()
    assert await world.kept() == ["before", "then"]


async def test_closing_writes_what_waits_and_takes_nothing_more(world: World) -> None:
    world.may_write.clear()
    async with committing(world, flushers=1) as commit:
        adding = asyncio.ensure_future(add(commit, [str(number) for number in range(100)]))
        await world.entered.wait()
        closing = asyncio.create_task(commit.close())
        await asyncio.sleep(0)
        with pytest.raises(Away):
            await commit.add("late", 1)
        world.may_write.set()
        await closing
        assert await adding == [None] * 100
    assert len(await world.kept()) == 100
    await world.database.close()  # no connection was kept


async def test_closing_while_the_database_is_away_ends_at_once(world: World) -> None:
    async with committing(world, time_limit_seconds=60) as commit:
        await world.proxy.cut()
        assert [type(each) for each in await add(commit, "ab")] == [Away] * 2
        async with asyncio.timeout(20):  # long before the time limit
            await commit.close()
