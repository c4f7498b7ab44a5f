"""Webhooks through the whole receiver, edge, worker and relay in one. `python -m benchmarks.webhook_flow [count]`.

Each delivery holds one change of one of 64 pages that belong to one organization. Printed as information: how many are
acknowledged per second while the worker processes what came before, and how many per second are split, kept and
published. From 200,000 deliveries on (`make soak` takes 1,000,000), memory is judged: what the process holds resident
must stay within 10 % from the first tenth to the end. In the end every delivery is processed and published once.
"""

import asyncio
import shutil
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import uvloop
from aiokafka import AIOKafkaConsumer

from benchmarks.support.deliveries import FIRST_PAGE
from benchmarks.support.frame import Verdict, print_versions
from benchmarks.support.http_load import send
from benchmarks.support.receivers import SERVICE, Receiver, durability, receiver
from benchmarks.support.servers import Servers, servers
from libs.messaging.admin import apply_topics

DEFAULT_COUNT = 20_000
JUDGED_FROM = 200_000
MAX_STEPS = 20
STEP_FROM = 5_000
CONNECTIONS = 64
PAGES = 64
MAX_BACKLOG = 5_000
"""Deliveries that may wait for the worker before more are sent: memory is to be judged under both loads at once."""
DONE_SECONDS = 600
BYTES_EACH = 12_000
TOPIC = "webhooks.events"

SUBSCRIBE = """
WITH one AS (
    INSERT INTO webhooks.connections (connection_id, org_id, platform, status, created_at, version)
    VALUES ($1, $2, 'meta', 'healthy', now(), 1)
)
INSERT INTO webhooks.connection_accounts (connection_id, org_id, platform, account_type, account_id)
SELECT $1, $2, 'meta', 'page', page::text FROM unnest($3::bigint[]) AS page
"""

WAITING = "SELECT count(*) FROM webhooks.webhook_events WHERE status IN ('received', 'processing')"
OUTBOX = "SELECT count(*) FROM webhooks.outbox"


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of the run showed."""

    sent: int
    acks: float
    processed: float
    mebibytes: float


async def main(count: int) -> int:
    _check_disk(count)
    async with servers("webhook_receiver") as where, AsyncExitStack() as opened:
        print_versions(*where.names)
        print(f"{await durability(where)}; {count:,} webhooks over {CONNECTIONS} connections", flush=True)
        await apply_topics(where.kafka())
        witness = await asyncpg.connect(where.database.admin_dsn)
        opened.push_async_callback(witness.close)
        await witness.execute(SUBSCRIBE, uuid4(), uuid4(), [FIRST_PAGE + page for page in range(PAGES)])
        one = await opened.enter_async_context(receiver(where, SERVICE))
        verdict = Verdict()
        parts = max(1, min(MAX_STEPS, count // STEP_FROM))
        steps = [await _step(one, witness, number, parts, count // parts) for number in range(parts)]
        await _until(witness, OUTBOX, 0)
        await _judge(where, witness, steps, verdict)
    return verdict.failed


async def _step(one: Receiver, witness: Any, number: int, parts: int, size: int) -> Step:
    began = time.perf_counter()
    found = await send(
        one.load(CONNECTIONS, DONE_SECONDS, warm_seconds=0, count=size, first=number * size, pages=PAGES)
    )
    if found.acknowledged != size or found.broken:
        raise RuntimeError(f"{found.acknowledged:,} of {size:,} acknowledged; {found.broken} cut, {found.statuses}")
    left = int(await witness.fetchval(WAITING))
    await _until(witness, WAITING, min(MAX_BACKLOG, size // 2) if number < parts - 1 else 0)
    seconds = time.perf_counter() - began
    step = Step((number + 1) * size, size / found.busy_seconds, size / seconds, one.resident_mebibytes())
    print(
        f"  {step.sent:>10,} sent  {step.acks:7,.0f} acks/s with {left:,} left to process then  "
        f"{step.processed:7,.0f}/s processed  {step.mebibytes:6.1f} MiB resident",
        flush=True,
    )
    return step


async def _until(witness: Any, query: str, limit: int) -> None:
    deadline = time.monotonic() + DONE_SECONDS
    while (waiting := await witness.fetchval(query)) > limit:
        if time.monotonic() > deadline:
            raise RuntimeError(f"after {DONE_SECONDS} s there are still {waiting:,} of: {query}")
        await asyncio.sleep(0.05)


async def _judge(where: Servers, witness: Any, steps: list[Step], verdict: Verdict) -> None:
    count = steps[-1].sent
    by_status = dict(await witness.fetch("SELECT status, count(*) FROM webhooks.webhook_events GROUP BY status"))
    keys = await witness.fetchval("SELECT count(*) FROM webhooks.webhook_keys")
    published = await _records(where)
    print(f"  in the end: {by_status}, {keys:,} keys, {published:,} records in {TOPIC}")
    verdict.at_most("deliveries not processed", count - by_status.get("processed", 0), 0)
    verdict.at_most("changes not published", count - keys, 0)
    verdict.at_most("published and not once", abs(published - count), 0)
    held = [step.mebibytes for step in steps if step.sent >= count / 10]
    if count >= JUDGED_FROM:
        verdict.at_most("resident memory, most / first tenth", max(held) / held[0], 1.1)
    else:
        print(f"  resident memory {held[0]:.0f} to {max(held):.0f} MiB; judged from {JUDGED_FROM:,} deliveries on")


async def _records(where: Servers) -> int:
    consumer: Any = AIOKafkaConsumer(TOPIC, bootstrap_servers=where.bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        parts = list(consumer.assignment())
        first, last = await consumer.beginning_offsets(parts), await consumer.end_offsets(parts)
    finally:
        await consumer.stop()
    return sum(last[part] - first[part] for part in parts)


def _check_disk(count: int) -> None:
    """Rows, their log and the topic stay until the end, where they are counted."""
    free = shutil.disk_usage(Path.cwd()).free
    if free < count * BYTES_EACH + 2**32:
        raise SystemExit(
            f"{count:,} webhooks take some {count * BYTES_EACH / 2**30 + 4:.0f} GiB; free are {free / 2**30:.0f}"
        )


if __name__ == "__main__":
    sys.exit(uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_COUNT)))
