"""Outbox to Kafka: drain of a backlog, and the way of one event. `python -m benchmarks.relay [rounds [drain|latency]]`.

Drain: 200,000 pending rows with every header, read, sent, acknowledged, deleted. Against Kafka's ProducerPerformance
(warm, 1,000,000 records without headers, whose value is as long as our value and headers together), and against a
relay that is the same but for `send()` per record and a gather.
Latency: 1,000 events/s, one per transaction, open loop; from the return of COMMIT to a plain aiokafka consumer. Beside
it the floor: a producer without outbox or database that sends the same records at that rate.
"""

import asyncio
import gc
import json
import random
import signal
import statistics
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import asyncpg
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.support.frame import Meter, Results, Verdict, percentiles, print_versions
from benchmarks.support.servers import Servers, run_part, servers
from libs.events.requests import RequestSubmitted
from libs.events.topics import Topic
from libs.messaging.outbox import SHARDS, append, hash_of, shard_of
from libs.messaging.relay import Relay, store
from libs.messaging.relay.producer import headers_of
from libs.messaging.settings import KafkaSettings
from libs.postgres import leases
from tests.support.bus import a_request, check_order, declare, headers_for, read_topic

ROWS = 200_000
KEYS = 1_000
PERF_RECORDS = 1_000_000
RATE = 1_000
SECONDS = 15
WARM_UPS = 2

OURS, GATHER, LIMIT = "relay", "relay with send() and gather", "ProducerPerformance, 1 M records"

FILL = """
INSERT INTO outbox (
    shard, key_hash, aggregatetype, aggregateid, type, payload, event_id, source, event_time, subject, org_id,
    correlation_id, causation_id, version, idempotency_key, traceparent
)
SELECT keys.shard, keys.hash, $1, keys.key, 'request.submitted.v1',
    convert_to('{"kind":"api_request","org_id":"0190b7a2-7f5e-7cc0-98a5-1f0a3f2d9c11","payload":{"pad":"'
        || repeat(md5(n::text), 24) || '"}}', 'UTF8'),
    uuidv7()::text, 'platformbus/benchmark', '2026-11-21T00:00:00.000000Z', 'post/' || n,
    '0190b7a2-7f5e-7cc0-98a5-1f0a3f2d9c11', uuidv7()::text, uuidv7()::text, n / $3 + 1, md5(n::text),
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
FROM generate_series(0, $2::int - 1) AS n
JOIN unnest($4::text[], $5::int[], $6::smallint[]) WITH ORDINALITY AS keys (key, hash, shard, place)
    ON keys.place = n % $3 + 1
ORDER BY n
"""


async def main(rounds: int, parts: Sequence[str]) -> int:
    async with servers() as where:
        print_versions(*where.names)
        verdict = Verdict()
        if "drain" in parts:
            await _drains(where, rounds, verdict)
        if "latency" in parts:
            await _latencies(where, rounds, verdict)
    return verdict.failed


async def _drains(where: Servers, rounds: int, verdict: Verdict) -> None:
    size = await _record_size(where)
    print(f"drain of {ROWS:,} rows, {size} bytes of value and headers each")
    for _ in range(2):  # a JVM that is not warm is worth nothing as a limit
        async with where.topic("warm") as topic:
            await where.producer_performance(topic, records=PERF_RECORDS, size=size)
    results = Results("events/s")
    lost = inverted = 0
    for number in range(rounds):
        print(f" round {number + 1}")
        async with where.topic("perf") as topic:
            with Meter() as meter:
                rate = await where.producer_performance(topic, records=PERF_RECORDS, size=size)
            results.add(LIMIT, rate, meter)
        for cell, role in ((OURS, "drain"), (GATHER, "gather")):
            async with where.topic(role) as topic:
                await _fill(where, topic)
                with Meter() as meter:
                    rate = await _drain(where, role, topic)
                found = check_order(await read_topic(where.bootstrap, topic), _expected())
                lost, inverted = lost + found[0], inverted + found[1]
                results.add(cell, rate, meter, f"lost {found[0]}, inverted {found[1]}")
    if results.moved(LIMIT):
        print("  (the limit itself moved by more than a quarter between rounds)")
    verdict.at_least("relay / ProducerPerformance", results.ratio(OURS, LIMIT), 0.33, results.ratios(OURS, LIMIT))
    verdict.at_least("relay / send() and gather", results.ratio(OURS, GATHER), 1.4, results.ratios(OURS, GATHER))
    verdict.at_most("lost + inverted", lost + inverted, 0)


def _keys() -> list[str]:
    return [f"0190b7a2-7f5e-7cc0-98a5-1f0a3f2d9c11/account-{number:06d}" for number in range(KEYS)]


def _expected() -> dict[str, int]:
    return dict.fromkeys(_keys(), ROWS // KEYS)


async def _fill(where: Servers, topic: str, rows: int = ROWS) -> None:
    owner = await asyncpg.connect(where.database.owner_dsn)
    keys = _keys()
    hashes = [hash_of(key) for key in keys]
    await owner.execute(FILL, topic, rows, KEYS, keys, hashes, [shard_of(one) for one in hashes], timeout=300)
    await owner.execute("VACUUM ANALYZE outbox")
    await owner.close()
    admin = await asyncpg.connect(where.database.admin_dsn)
    await admin.execute("CHECKPOINT")
    await admin.close()


async def _record_size(where: Servers) -> int:
    """Bytes of value and headers, as the log of the broker has them."""
    async with where.topic("size") as topic:
        await _fill(where, topic, rows=100)
        await _drain(where, "drain", topic, rows=100)
        records = await read_topic(where.bootstrap, topic)
    sizes = [len(one.value) + sum(len(name) + len(value) + 2 for name, value in one.headers) for one in records]
    return round(statistics.mean(sizes))


async def _drain(where: Servers, role: str, topic: str, rows: int = ROWS) -> float:
    """Run a relay as a process of its own until the outbox is empty; events per second."""
    process = await run_part("benchmarks.relay", role, where.database.worker_dsn, where.bootstrap, topic)
    out, _ = await process.communicate()
    return rows / float(out)


async def relay_until_empty(dsn: str, bootstrap: str) -> float:
    """Seconds from the start of the relay, its connections included, until it has deleted everything."""
    connection = await asyncpg.connect(dsn)
    stop = asyncio.Event()
    relay = Relay(worker_dsn=dsn, kafka=KafkaSettings(bootstrap_servers=bootstrap), service="ingest")
    started = time.perf_counter()
    task = asyncio.create_task(relay.run(stop))
    while await connection.fetchval("SELECT EXISTS (SELECT FROM outbox)"):
        await asyncio.sleep(0.01)
    seconds = time.perf_counter() - started
    stop.set()
    await task
    await connection.close()
    return seconds


async def gather_until_empty(dsn: str, bootstrap: str, topic: str) -> float:
    """The alternative: the same reads, deletes and groups of shards at once, but `send()` per record and one gather."""
    started = time.perf_counter()
    producer: Any = AIOKafkaProducer(
        bootstrap_servers=bootstrap, enable_idempotence=True, acks="all", max_batch_size=524_288
    )
    await producer.start()
    keeper = await store.connect(dsn, "bench", text_as_bytes=False)
    epochs = await leases.take(keeper, [f"relay/{shard}" for shard in range(SHARDS)], "bench", 600)

    async def group(shards: Sequence[int]) -> None:
        connection = await store.connect(dsn, "bench", text_as_bytes=True)
        mine = {shard: epochs[f"relay/{shard}"] for shard in shards}
        while rows := await store.read(connection, shards, 2_000 // len(shards)):
            futures = [
                await producer.send(topic, row[store.PAYLOAD], key=row[store.KEY], headers=headers_of(row))
                for row in rows
            ]
            await asyncio.gather(*futures)
            await store.delete(connection, [row[store.ID] for row in rows], mine, "bench")
        await connection.close()

    await asyncio.gather(*(group(range(first, SHARDS, 3)) for first in range(3)))
    seconds = time.perf_counter() - started
    await leases.release(keeper, list(epochs), "bench")
    await keeper.close()
    await producer.stop()
    return seconds


async def _latencies(where: Servers, rounds: int, verdict: Verdict) -> None:
    print(f"commit to consumer at {RATE:,} events/s for {SECONDS} s")
    owner = await asyncpg.connect(where.database.owner_dsn)
    await owner.execute("CREATE TABLE things (id text PRIMARY KEY, version bigint NOT NULL) WITH (fillfactor = 70)")
    medians, worst, floors = [], [], []
    for number in range(-WARM_UPS, rounds):  # a broker's tail falls for half a minute at this rate
        await owner.execute("TRUNCATE things")
        await owner.execute("INSERT INTO things SELECT unnest($1::text[]), 0", _keys())
        await owner.execute("VACUUM outbox")
        async with where.topic("latency") as topic:
            with Meter() as meter:
                committed, received = await _one_latency(where, topic, "write")
            found = check_order(await read_topic(where.bootstrap, topic), _highest(committed))
        async with where.topic("floor") as topic:
            floor = _percentiles(*await _one_latency(where, topic, "send"))
        p50, p95, p99 = _percentiles(committed, received)
        if number >= 0:
            medians.append(p50)
            worst.append(p99)
            floors.append(floor[2])
        print(
            f"  {'' if number >= 0 else '(warm-up) '}{len(committed) / SECONDS:,.0f} events/s  "
            f"p50 {p50:.2f}  p95 {p95:.2f}  p99 {p99:.2f} ms  lost {found[0]}, inverted {found[1]}  "
            f"producer alone p50 {floor[0]:.2f}, p99 {floor[2]:.2f} ms  "
            f"busy {meter.busy_percent:.0f} %, steal {meter.steal_percent:.1f} %",
            flush=True,
        )
        verdict.at_most("lost + inverted", sum(found), 0)
    await owner.close()
    verdict.at_most("p50 in ms", statistics.median(medians), 5, medians)
    verdict.at_most("p99 in ms", statistics.median(worst), 20, worst)
    print(f"  for information: p99 of the producer alone {statistics.median(floors):.2f} ms")


def _percentiles(committed: dict[str, float], received: dict[str, float]) -> list[float]:
    return percentiles([1_000 * (received[at] - then) for at, then in committed.items() if at in received], 50, 95, 99)


def _highest(committed: dict[str, float]) -> dict[str, int]:
    highest: dict[str, int] = {}
    for at in committed:
        key, _, version = at.rpartition("@")
        highest[key] = max(highest.get(key, 0), int(version))
    return highest


async def _one_latency(where: Servers, topic: str, role: str) -> tuple[dict[str, float], dict[str, float]]:
    """Give when each event was committed, or sent where the role is `send`, and when it was received."""
    arguments = (where.database.worker_dsn, where.bootstrap, topic)
    relay = await run_part("benchmarks.relay", "relay", *arguments) if role == "write" else None
    consumer = await run_part("benchmarks.relay", "consume", *arguments)
    assert consumer.stdout
    await consumer.stdout.readline()  # it says when it is ready
    writer = await run_part("benchmarks.relay", role, *arguments)
    written, _ = await writer.communicate()
    await asyncio.sleep(1.0)
    consumer.send_signal(signal.SIGTERM)
    received, _ = await consumer.communicate()
    if relay is not None:
        relay.send_signal(signal.SIGTERM)
        await relay.communicate()
    return json.loads(written), json.loads(received)


async def relay_until_told(dsn: str, bootstrap: str) -> None:
    stop = _stop_on_signal()
    await Relay(worker_dsn=dsn, kafka=KafkaSettings(bootstrap_servers=bootstrap), service="ingest").run(stop)


async def write(dsn: str, topic: Topic) -> None:
    """Commit events at the rate, whether or not the ones before are done; print when each was committed."""
    connections: asyncio.Queue[Any] = asyncio.Queue()
    for _ in range(4):
        connections.put_nowait(await asyncpg.connect(dsn))
    dice, committed, keys = random.Random(1), {}, _keys()

    async def one(key: str) -> None:
        connection = await connections.get()
        async with connection.transaction():
            version = await connection.fetchval(
                "UPDATE things SET version = version + 1 WHERE id = $1 RETURNING version", key
            )
            event = a_request(pad="x" * 700)
            await append(connection, topic=topic, key=key, event=event, source="benchmark", version=version)
        committed[f"{key}@{version}"] = time.monotonic()
        connections.put_nowait(connection)

    await _by_the_clock(lambda: one(dice.choice(keys)))
    print(json.dumps(committed))


async def send(bootstrap: str, topic: Topic) -> None:
    """Send the same records at the rate, without a database; print when each was handed over."""
    producer: Any = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, acks="all", linger_ms=0)
    await producer.start()
    await producer.partitions_for(topic.name)
    dice, sent, keys = random.Random(1), {}, _keys()
    versions: dict[str, int] = dict.fromkeys(keys, 0)
    body = a_request(pad="x" * 700).model_dump_json().encode()

    async def one(key: str) -> None:
        versions[key] += 1
        at = f"{key}@{versions[key]}"
        headers = headers_for(RequestSubmitted, version=versions[key])
        sent[at] = time.monotonic()
        await producer.send_and_wait(topic.name, body, key=key.encode(), headers=headers)

    await _by_the_clock(lambda: one(dice.choice(keys)))
    await producer.stop()
    print(json.dumps(sent))


async def _by_the_clock(do: Callable[[], Coroutine[Any, Any, None]]) -> None:
    began = time.monotonic() + 0.2
    async with asyncio.TaskGroup() as group:
        for number in range(RATE * SECONDS):
            await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
            group.create_task(do())


async def consume(bootstrap: str, topic: str) -> None:
    """Note when each record arrives until told to stop."""
    stop = _stop_on_signal()
    consumer: Any = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False, fetch_max_wait_ms=50
    )
    await consumer.start()
    print("ready", flush=True)
    received: dict[str, float] = {}
    while not stop.is_set():
        for records in (await consumer.getmany(timeout_ms=100)).values():
            now = time.monotonic()
            for record in records:
                received.setdefault(f"{record.key.decode()}@{dict(record.headers)['ce_version'].decode()}", now)
    await consumer.stop()
    print(json.dumps(received))


def _stop_on_signal() -> asyncio.Event:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    return stop


def _role(arguments: Sequence[str]) -> None:
    role, dsn, bootstrap, topic = arguments
    gc.freeze()  # as libs.runtime does once a service is built
    if role == "drain":
        print(uvloop.run(relay_until_empty(dsn, bootstrap)))
    elif role == "gather":
        print(uvloop.run(gather_until_empty(dsn, bootstrap, topic)))
    elif role == "relay":
        uvloop.run(relay_until_told(dsn, bootstrap))
    elif role == "write":
        uvloop.run(write(dsn, declare(topic, "command", RequestSubmitted)))
    elif role == "send":
        uvloop.run(send(bootstrap, declare(topic, "command", RequestSubmitted)))
    elif role == "consume":
        uvloop.run(consume(bootstrap, topic))


if __name__ == "__main__":
    if len(sys.argv) == 5:
        _role(sys.argv[1:])
    else:
        count = int(sys.argv[1]) if len(sys.argv) > 1 else 3
        sys.exit(uvloop.run(main(count, sys.argv[2:] or ("drain", "latency"))))
