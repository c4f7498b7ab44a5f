"""A real fault for every alert, and its end: what must go wrong for it to fire, and what a person does about it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import asyncpg
import httpx
from aiokafka import AIOKafkaProducer

from tests.support.databases import dsn_to
from tests.support.traffic import Ask, send_by_kafka
from tests.support.until import until
from tests.support.watching import Stage

Fault = Callable[[Stage], AbstractAsyncContextManager[None]]
Again = Callable[[Stage], Awaitable[object]]


@asynccontextmanager
async def poisoned(stage: Stage) -> AsyncIterator[None]:
    """A table refuses the rows of one key, so that its records fail for a reason of their own."""
    await stage.system.rows(
        "ALTER TABLE ingest.requests ADD CONSTRAINT no_poison CHECK (object_key <> 'poison') NOT VALID"
    )
    await _submit(stage, "poison")
    yield
    await stage.system.rows("ALTER TABLE ingest.requests DROP CONSTRAINT no_poison")
    for record in await stage.operator.ask("ingest", "GET", "/admin/parked"):
        await stage.operator.ask("ingest", "POST", f"/admin/parked/{record['id']}/redrive")


@asynccontextmanager
async def garbled(stage: Stage) -> AsyncIterator[None]:
    """A producer writes what is no event."""
    async with AIOKafkaProducer(bootstrap_servers=stage.system.kafka_bootstrap) as producer:
        await producer.send_and_wait("requests", b"not an event", key=b"garbled")
    yield
    for letter in await stage.operator.ask("ingest", "GET", "/admin/dead-letters"):
        given_up = {"reason": "its producer sends it again"}
        await stage.operator.ask("ingest", "POST", f"/admin/dead-letters/{letter['id']}/drop", body=given_up)


@asynccontextmanager
async def consumer_cut_off(stage: Stage) -> AsyncIterator[None]:
    """Of all processes only the consumer of ingest does not reach the brokers any more, and nothing waits for it."""
    way = stage.ways["services~kafka"]
    await way.cut()
    yield
    way.heal()


@asynccontextmanager
async def database_away(stage: Stage) -> AsyncIterator[None]:
    """A service that no request and no record comes to does not reach its database any more."""
    way = stage.ways["asset_sync~postgres"]
    await way.cut()
    yield
    way.heal()


@asynccontextmanager
async def job_held(stage: Stage) -> AsyncIterator[None]:
    """A job's time has come long ago, and a worker that hangs holds it."""
    # In another epoch: else a run that goes on just now would give the job back at its end.
    await stage.system.rows(
        "UPDATE webhooks.jobs SET next_run_at = now() - interval '1 hour', locked_by = 'a worker that hangs',"
        " locked_until = now() + interval '1 hour', lease_epoch = lease_epoch + 1 WHERE name = 'sweep_webhooks'"
    )
    yield
    await stage.system.rows("UPDATE webhooks.jobs SET locked_by = NULL, locked_until = NULL")


@asynccontextmanager
async def platform_fails(stage: Stage) -> AsyncIterator[None]:
    """The platform answers 200, and in it every item of the call with a failure of its own."""
    url = f"{stage.system.sandbox_url}/_sandbox/faults"
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        made = await client.post(url, json={"platform": "meta", "kind": "item_error"})
        assert made.status_code == 201, made.text
        yield
        await client.delete(url)


@asynccontextmanager
async def delivery_given_up(stage: Stage) -> AsyncIterator[None]:
    """A table refuses what a delivery tells of, at its last attempt, which is its first one here."""
    attempts = "ALTER TABLE webhooks.webhook_events ALTER COLUMN max_attempts SET DEFAULT"
    await stage.system.rows(f"{attempts} 1")
    await stage.system.rows(
        "ALTER TABLE webhooks.webhook_changes ADD CONSTRAINT no_poison CHECK (account_id <> '666') NOT VALID"
    )
    await stage.push(page="666")
    yield
    await stage.system.rows("ALTER TABLE webhooks.webhook_changes DROP CONSTRAINT no_poison")
    await stage.system.rows(f"{attempts} 10")
    await stage.operator.ask("webhook_receiver", "POST", "/v1/webhooks:replay", body={"status": "failed"})


@asynccontextmanager
async def deliveries_stuck(stage: Stage) -> AsyncIterator[None]:
    """Somebody's transaction holds the table that deliveries are split into."""
    async with _locked(stage, "webhooks.webhook_changes", "SHARE"):
        await stage.push()
        yield


@asynccontextmanager
async def platform_paused(stage: Stage) -> AsyncIterator[None]:
    """An operator paused the platform and forgot it."""
    await stage.operator.ask("batcher", "POST", "/v1/batches:pause", body={"platform": "meta"})
    await stage.ask(3)

    async def queued() -> bool:
        found = await stage.system.rows("SELECT 1 FROM batching.calls WHERE status = 'pending' AND due_at < now()")
        return bool(found)

    await until(queued, "calls that are due")
    yield
    await stage.operator.ask("batcher", "POST", "/v1/batches:resume", body={"platform": "meta"})


@asynccontextmanager
async def relay_gone(stage: Stage) -> AsyncIterator[None]:
    """The only relay of ingest is not there, and events wait for it."""
    relay = stage.system.fleet["ingest-relay"].spec
    await stage.system.fleet.stop(relay.name)
    await stage.ask(3)
    yield
    await stage.system.fleet.start(relay)


@asynccontextmanager
async def consumer_stuck(stage: Stage) -> AsyncIterator[None]:
    """Somebody's transaction holds a table that the consumer writes to."""
    async with _locked(stage, "ingest.requests", "ACCESS EXCLUSIVE"):
        await _submit(stage, "behind a lock")
        yield


@asynccontextmanager
async def nothing_stored(stage: Stage) -> AsyncIterator[None]:
    """Somebody's transaction holds the table that deliveries are kept in, and only one delivery comes."""
    async with _locked(stage, "webhooks.webhook_events", "SHARE"):
        await stage.push(status=503)
        yield


FAULTS: Final[tuple[tuple[Fault, frozenset[str]], ...]] = (
    (poisoned, frozenset({"ParkedKeysGrowing"})),
    (garbled, frozenset({"DeadLettersOpen"})),
    (consumer_cut_off, frozenset({"ConsumerStalled"})),
    (database_away, frozenset({"TablesUnmeasured"})),
    (job_held, frozenset({"JobMissed"})),
    (platform_fails, frozenset({"PlatformCallsFailing", "WebhooksRefused"})),
    (delivery_given_up, frozenset({"WebhooksFailed"})),
    (deliveries_stuck, frozenset({"WebhooksUnprocessed"})),
    (platform_paused, frozenset({"QueueOverdue"})),
    (relay_gone, frozenset({"RelayStalled", "OutboxAgeHigh", "ServiceDown"})),
    (consumer_stuck, frozenset({"ConsumerStalled", "ConsumerLagHigh"})),
    (nothing_stored, frozenset({"WebhookEdgeUnavailable"})),
)
"""In this order: the consumer that was cut off has caught up before it is stuck, and both have the same alert."""


async def _knock(stage: Stage) -> None:
    await stage.ask(2)
    await stage.push(forged=True)


MEANWHILE: Final[Mapping[Fault, Again]] = {platform_fails: _knock}
"""What goes on until the alerts of a fault fire: those about rates need more than one call."""


async def _submit(stage: Stage, object_key: str) -> None:
    ask = Ask(f"provoked-{object_key}", object_key, stage.organization.objects[0], "kafka")
    async with AIOKafkaProducer(bootstrap_servers=stage.system.kafka_bootstrap) as producer:
        await send_by_kafka(producer, stage.organization, ask)


@asynccontextmanager
async def _locked(stage: Stage, table: str, mode: str) -> AsyncIterator[None]:
    database = stage.system.database
    connection = await asyncpg.connect(dsn_to(database.admin_dsn, database.name))
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN {mode} MODE")
            yield
    finally:
        await connection.close()
