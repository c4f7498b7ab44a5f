"""Kafka to a durable row: inbox and state, deduplicated. `python -m benchmarks.consumer [rounds]`.

200,000 records with every header, over 12 partitions and 1,000 keys. Against a bare aiokafka loop that does the same
SQL without reading envelope or contract, and against one message per transaction, each with its own commit of the
offset. A rate is counted from the end of the first batch, so that joining a group does not count.
"""

import asyncio
import gc
import sys
import time
from collections.abc import Sequence
from typing import Any

import asyncpg
import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from benchmarks.support.frame import Meter, Results, Verdict, print_versions
from benchmarks.support.servers import PARTITIONS, Servers, run_part, servers
from libs.events.envelope import new_event_id
from libs.events.requests import RequestSubmitted
from libs.messaging.consumer import Consumer
from libs.messaging.inbox import REMEMBER
from libs.messaging.messages import Message, Route
from libs.messaging.outbox import hash_of
from libs.messaging.settings import KafkaSettings
from libs.postgres import Connection, Database
from tests.support.bus import declare, lookup

RECORDS = 200_000
SINGLES = 4_000
KEYS = 1_000
BATCH = 2_000

OURS, BARE, SINGLE = "consumer", "bare aiokafka loop, same SQL", "one message per transaction"

UPSERT = """
INSERT INTO projection AS known (key, version, n) SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])
ON CONFLICT (key) DO UPDATE SET version = greatest(known.version, excluded.version), n = known.n + excluded.n
"""


async def main(rounds: int) -> int:
    async with servers() as where:
        print_versions(*where.names)
        print(f"{RECORDS:,} records to inbox and state, {BATCH:,} per transaction")
        results, verdict = Results("messages/s"), Verdict()
        owner = await asyncpg.connect(where.database.owner_dsn)
        await owner.execute(
            "CREATE TABLE projection (key text PRIMARY KEY, version bigint NOT NULL, n bigint NOT NULL) "
            "WITH (fillfactor = 70)"
        )
        async with where.topic("many") as many, where.topic("few") as few:
            await _fill(where.bootstrap, many, RECORDS)
            await _fill(where.bootstrap, few, SINGLES)
            for number in range(rounds):
                print(f" round {number + 1}")
                for cell, role, topic, records in (
                    (BARE, "bare", many, RECORDS),
                    (OURS, "ours", many, RECORDS),
                    (SINGLE, "single", few, SINGLES),
                ):
                    await _measure(where, owner, results, cell, role, topic, records)
        await owner.close()
        verdict.at_least("consumer / one message per transaction", results.ratio(OURS, SINGLE), 30)
        verdict.at_least("consumer / bare loop", results.ratio(OURS, BARE), 0.6, results.ratios(OURS, BARE))
    return verdict.failed


async def _measure(
    where: Servers, owner: Any, results: Results, cell: str, role: str, topic: str, records: int
) -> None:
    await owner.execute("TRUNCATE projection, inbox")
    with Meter() as meter:
        process = await run_part(
            "benchmarks.consumer", role, where.database.worker_dsn, where.bootstrap, topic, str(records)
        )
        out, _ = await process.communicate()
    counted = await owner.fetchrow("SELECT (SELECT count(*) FROM inbox) AS inbox, (SELECT sum(n) FROM projection) AS n")
    right = counted["inbox"] == counted["n"] == records
    assert right, f"{cell}: inbox {counted['inbox']}, applied {counted['n']} of {records}"
    results.add(cell, float(out), meter)


async def _fill(bootstrap: str, topic: str, records: int) -> None:
    producer: Any = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, acks="all")
    await producer.start()
    await producer.partitions_for(topic)
    builders: dict[int, BatchBuilder] = {}
    for number in range(records):
        key = f"0190b7a2-7f5e-7cc0-98a5-1f0a3f2d9c11/account-{number % KEYS:06d}"
        partition = hash_of(key) % PARTITIONS
        parts = {"key": key.encode(), "value": _body(number), "headers": _headers(number)}
        builder = builders.setdefault(partition, BatchBuilder(262_144, 0))
        if builder.append(timestamp=None, **parts) is None:
            await (await producer.send_batch(builder, topic, partition=partition))
            builders[partition] = BatchBuilder(262_144, 0)
            builders[partition].append(timestamp=None, **parts)
    for partition, builder in builders.items():
        await (await producer.send_batch(builder, topic, partition=partition))
    await producer.stop()


def _body(number: int) -> bytes:
    return orjson.dumps(
        {
            "kind": "api_request",
            "org_id": "0190b7a2-7f5e-7cc0-98a5-1f0a3f2d9c11",
            "payload": {"version": number // KEYS + 1, "request_type": "ads.read", "pad": f"{number:08d}" * 80},
        }
    )


def _headers(number: int) -> list[tuple[str, bytes]]:
    return [
        ("ce_id", new_event_id().encode()),
        ("ce_type", b"request.submitted.v1"),
        ("ce_source", b"platformbus/benchmark"),
        ("ce_specversion", b"1.0"),
        ("ce_time", b"2026-11-21T00:00:00.000000Z"),
        ("ce_subject", b"post/%d" % number),
        ("content-type", b"application/json"),
        ("ce_orgid", b"0190b7a2-7f5e-7cc0-98a5-1f0a3f2d9c11"),
        ("ce_correlationid", b"0190b7a2-7f5e-7cc0-98a5-1f0a3f2d9c12"),
        ("ce_causationid", b"0190b7a2-7f5e-7cc0-98a5-1f0a3f2d9c13"),
        ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ]


class Watch:
    """Counts to the end, from the end of the first batch."""

    def __init__(self, records: int) -> None:
        self._left = records
        self._counted = 0
        self._began: float | None = None
        self.rate = 0.0
        self.done = asyncio.Event()

    def add(self, count: int) -> None:
        self._left -= count
        if self._began is None:
            self._began = time.perf_counter()
            return
        self._counted += count
        if self._left <= 0:
            self.rate = self._counted / (time.perf_counter() - self._began)
            self.done.set()


async def _upsert(connection: Any, changes: Sequence[tuple[str, int]]) -> None:
    """Fold per key, then one statement with sorted keys."""
    folded: dict[str, list[int]] = {}
    for key, version in changes:
        known = folded.setdefault(key, [0, 0])
        known[0] = max(known[0], version)
        known[1] += 1
    keys = sorted(folded)
    await connection.execute(UPSERT, keys, [folded[key][0] for key in keys], [folded[key][1] for key in keys])


async def ours(dsn: str, bootstrap: str, topic: str, records: int) -> float:
    watch = Watch(records)

    async def handle(connection: Connection, messages: Sequence[Message]) -> None:
        changes = []
        for message in messages:
            assert isinstance(message.data, RequestSubmitted)
            changes.append((message.key, message.data.payload["version"]))
        await _upsert(connection, changes)
        watch.add(len(messages))

    database = await Database.connect(dsn, role="worker", application_name="bench")
    declared = declare(topic, "command", RequestSubmitted)
    consumer = Consumer(
        service="ingest",
        database=database,
        kafka=KafkaSettings(bootstrap_servers=bootstrap),
        routes=[Route(topic, (RequestSubmitted,), handle)],
        group_id=f"ours-{time.time_ns()}",
        declarations=lookup(declared),
    )
    gc.freeze()  # as libs.runtime does once a service is built
    stop = asyncio.Event()
    task = asyncio.create_task(consumer.run(stop))
    await watch.done.wait()
    stop.set()
    await task
    await database.close()
    return watch.rate


def _plain_consumer(bootstrap: str, topic: str, name: str) -> Any:
    return AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=f"{name}-{time.time_ns()}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=50,
    )


def _event_id(record: Any) -> str:
    return str(dict(record.headers)["ce_id"], "ascii")


def _change(record: Any) -> tuple[str, int]:
    return record.key.decode(), orjson.loads(record.value)["payload"]["version"]


async def bare(dsn: str, bootstrap: str, topic: str, records: int) -> float:
    """The least that any such loop must do: ids from a header, the body parsed, the same two statements."""
    watch = Watch(records)
    connection = await asyncpg.connect(dsn)
    consumer = _plain_consumer(bootstrap, topic, "bare")
    await consumer.start()
    while not watch.done.is_set():
        polled = await consumer.getmany(timeout_ms=1_000, max_records=BATCH)
        found = [record for some in polled.values() for record in some]
        if not found:
            continue
        async with connection.transaction():
            ids = sorted(_event_id(record) for record in found)
            sources = ["platformbus/benchmark"] * len(ids)
            new = {row[1] for row in await connection.fetch(REMEMBER, "ingest", sources, ids)}
            await _upsert(connection, [_change(record) for record in found if _event_id(record) in new])
        await consumer.commit({partition: some[-1].offset + 1 for partition, some in polled.items()})
        watch.add(len(found))
    await consumer.stop()
    await connection.close()
    return watch.rate


async def single(dsn: str, bootstrap: str, topic: str, records: int) -> float:
    """What most consumers do: one message, one transaction, one commit of the offset."""
    watch = Watch(records)
    connection = await asyncpg.connect(dsn)
    consumer = _plain_consumer(bootstrap, topic, "single")
    await consumer.start()
    async for record in consumer:
        async with connection.transaction():
            new = await connection.fetch(REMEMBER, "ingest", ["platformbus/benchmark"], [_event_id(record)])
            if new:
                await _upsert(connection, [_change(record)])
        await consumer.commit()
        watch.add(1)
        if watch.done.is_set():
            break
    await consumer.stop()
    await connection.close()
    return watch.rate


if __name__ == "__main__":
    if len(sys.argv) > 2:
        role, dsn, bootstrap, topic, records = sys.argv[1:]
        print(uvloop.run({"ours": ours, "bare": bare, "single": single}[role](dsn, bootstrap, topic, int(records))))
    else:
        sys.exit(uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)))
