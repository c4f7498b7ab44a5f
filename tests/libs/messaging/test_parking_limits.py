"""Records that wait out the database's time limits: each poll still ends, and costs a few of such waits."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest

from libs.events.requests import RequestSubmitted
from libs.messaging.consumer import Consumer
from libs.messaging.messages import Message, Route
from libs.messaging.parked.settling import Settler
from libs.messaging.passing import cause_of, costs_time, is_away, is_passing, ran_out_of_time
from libs.messaging.processing import DUPLICATE, HANDLED, PARKED, Processor
from libs.messaging.records import Routing
from libs.postgres import Connection, Database, is_available_error
from libs.telemetry.redaction import safe_error
from tests.support.bus import (
    a_request,
    committed,
    declare,
    headers_for,
    kafka_settings,
    lookup,
    publish,
    running,
    until,
)
from tests.support.databases import ServiceDatabase
from tests.support.parking import CREATE, Bench, Record, what_of
from tests.support.topics import Topics

pytestmark = pytest.mark.db

LOCK_SECONDS, TRANSACTION_SECONDS = 0.3, 1.5
LIMITS = f"""
ALTER ROLE ingest_worker IN DATABASE "{{name}}" SET lock_timeout = '{int(LOCK_SECONDS * 1000)}ms';
ALTER ROLE ingest_worker IN DATABASE "{{name}}" SET transaction_timeout = '{int(TRANSACTION_SECONDS * 1000)}ms';
"""


class Limited(Bench):
    """A bench whose database is impatient, with records that do what their name says."""

    def __init__(self, database: Database, owner: asyncpg.Connection) -> None:
        super().__init__(database, owner)
        self.routes = [Route(route.topic, route.events, self._do) for route in self.routes]
        self.routing = Routing(self.routes, self.declarations)
        self.beats = self.endless = 0

    async def settle(self, records: Sequence[Record]) -> dict[str, int]:
        """Settle a poll as a consumer does that others have been in the way of several times in a row."""
        processor = Processor("ingest", self.routing)
        settler = Settler("ingest", self.database, self.routing, processor, 0.0, self._beat)
        outcomes = await settler.settle([self.routing.read(record) for record in records], is_away)
        counts: dict[str, int] = {}
        for (_, outcome, _), number in outcomes.items():
            counts[outcome] = counts.get(outcome, 0) + number
        return counts

    def _beat(self) -> None:
        self.beats += 1

    async def _do(self, conn: Connection, messages: Sequence[Message]) -> None:
        for message in messages:
            what = what_of(message)
            if "locked" in what:
                await conn.execute("SELECT FROM held FOR UPDATE")
            elif "endless" in what:
                self.endless += 1
                await conn.execute("SELECT pg_sleep(60)")
            elif "sluggish" in what:
                await conn.execute("SELECT pg_sleep(0.1)")
                raise ValueError(what)
            await conn.execute(
                "INSERT INTO applied (topic, key, what) VALUES ($1, $2, $3)", message.topic, message.key, what
            )


@pytest.fixture
async def bench(ingest_database: ServiceDatabase) -> AsyncIterator[Limited]:
    admin = await asyncpg.connect(ingest_database.admin_dsn)
    await admin.execute(LIMITS.format(name=ingest_database.database.name))
    await admin.close()
    owner = await asyncpg.connect(ingest_database.owner_dsn)
    await owner.execute(CREATE)
    await owner.execute("CREATE TABLE held (id integer); INSERT INTO held VALUES (1)")
    database = await Database.connect(ingest_database.worker_dsn, role="worker", application_name="test")
    try:
        yield Limited(database, owner)
    finally:
        await database.close()
        await owner.close()


def _poll(bench: Bench, kind: str) -> list[Record]:
    """200 records of 20 keys, one of which is of the kind: the seventh of its key."""
    return [bench.log.fact(f"k{n % 20}", f"{n} {kind}" if n == 133 else str(n)) for n in range(200)]


async def _check(bench: Bench, kind: str) -> None:
    for key in range(20):
        names = [str(n) for n in range(200) if n % 20 == key]
        assert await bench.applied(key=f"k{key}") == (names[:6] if key == 13 else names)
    assert await bench.blocked() == [("k13", "waiting")]
    whats = [f"133 {kind}", "153", "173", "193"]
    rows = await bench.owner.fetch("SELECT value FROM parked ORDER BY seq")
    assert [what in row["value"].decode() for what, row in zip(whats, rows, strict=True)] == [True] * 4


async def test_a_record_that_waits_out_a_lock_is_waited_for_twice_and_not_once_per_halving(bench: Limited) -> None:
    async with bench.owner.transaction():
        await bench.owner.execute("SELECT FROM held FOR UPDATE")
        assert await bench.settle(_poll(bench, "locked")) == {HANDLED: 196, PARKED: 4}
        assert bench.beats == 200, "each record alone, once"
    await _check(bench, "locked")
    await bench.replay_all()
    assert (await bench.applied(key="k13"))[6:] == ["133 locked", "153", "173", "193"]


async def test_a_statement_longer_than_a_transaction_may_be_costs_its_key_and_nothing_else(bench: Limited) -> None:
    records = _poll(bench, "endless")
    assert await bench.settle(records) == {HANDLED: 196, PARKED: 4}
    await _check(bench, "endless")
    error = await bench.owner.fetchval("SELECT last_error FROM parked_keys")
    assert "transaction timeout" in error
    assert await bench.settle(records) == {DUPLICATE: 190, PARKED: 10}, "the key's first six go behind it, too"


async def test_many_slow_failures_are_parked_though_one_transaction_does_not_last_for_them(bench: Limited) -> None:
    """Thirty times 0.1 s."""
    assert await bench.settle([bench.log.fact(f"k{n}", f"{n} sluggish") for n in range(30)]) == {PARKED: 30}
    assert len(await bench.blocked()) == 30


async def test_a_replay_longer_than_a_transaction_may_be_is_an_attempt_with_its_error(bench: Limited) -> None:
    first = bench.log.fact("a", "one sluggish")
    await bench.settle([first, *(bench.log.fact("a", what) for what in ("two", "three", "four endless", "five"))])
    await bench.owner.execute("UPDATE parked SET value = $1 WHERE record_offset = 0", bench.log.fact("a", "one").value)
    replayer = bench.replayer(most_attempts=2)
    for _ in range(3):
        assert await replayer.replay_due(asyncio.Event()) == 1
    assert await bench.applied() == ["one", "two", "three"]
    assert bench.endless == 1, "what stands before it is not undone with it again and again"
    for _ in range(2):
        await replayer.replay_due(asyncio.Event())
    assert await bench.blocked() == [("a", "gave_up")]
    assert bench.endless == 3
    error = await bench.owner.fetchval("SELECT error FROM parked WHERE status = 'open' ORDER BY seq LIMIT 1")
    assert "transaction timeout" in error


async def test_the_end_of_a_session_for_its_transactions_length_is_no_absence_of_the_database(bench: Limited) -> None:
    with pytest.raises(asyncpg.InterfaceError, match="is closed") as raised:
        async with bench.database.transaction() as conn, conn.transaction():
            await conn.execute("SELECT pg_sleep(60)")
    assert is_available_error(raised.value), "by its words alone"
    assert ran_out_of_time(raised.value)
    assert not is_passing(raised.value)
    assert safe_error(cause_of(raised.value)).startswith("TransactionTimeoutError")


async def test_a_session_that_somebody_ended_is_still_an_absence_of_the_database(bench: Limited) -> None:
    with pytest.raises(asyncpg.InterfaceError, match="is closed") as raised:
        async with bench.database.transaction() as conn, conn.transaction():
            await conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert is_passing(raised.value)
    assert not costs_time(raised.value)


@pytest.mark.kafka
async def test_a_consumer_that_takes_a_poll_in_parts_does_not_stand_still(bench: Limited, topics: Topics) -> None:
    topic = declare(await topics.create("requests"), "command", RequestSubmitted)
    ages: list[float] = []

    async def handle(conn: Connection, _: Sequence[Message]) -> None:
        ages.append(consumer.last_poll_age_seconds())
        await conn.execute("SELECT pg_sleep(0.1)")
        raise ValueError

    route = Route(topic.name, topic.events, handle)
    group, kafka = f"ingest-{topic.name}", kafka_settings(topics.bootstrap)
    consumer = Consumer(
        service="ingest",
        database=bench.database,
        kafka=kafka,
        routes=[route],
        group_id=group,
        declarations=lookup(topic),
    )
    body = a_request().model_dump_json().encode()
    records = [(b"k%d" % n, body, headers_for(RequestSubmitted)) for n in range(20)]
    await publish(topics.bootstrap, topic.name, records)

    async def is_settled() -> bool:
        return await committed(topics.bootstrap, group, topic.name) == 20

    async with running(consumer):
        await until(is_settled, "the poll is settled")
    assert len(ages) > 20
    assert max(ages) < 20 * 0.1, "the age grew from one part to the next"
