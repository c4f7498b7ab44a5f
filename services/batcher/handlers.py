"""Ways in: topics, the queue, the clock. Each opens the transaction, calls a use case and maps its outcome."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final
from uuid import UUID

from libs.events.assets_connections import Connection as ConnectionState
from libs.events.ingest_accepted import ApiRequestAccepted
from libs.jobs import Job
from libs.messaging.inbox import prune_inbox
from libs.messaging.messages import Message, Route
from libs.messaging.parked.pruning import prune_parked
from libs.platforms.base import Platform
from libs.postgres import Connection, Database, is_available_error
from libs.quota.limiter import Limiter
from libs.runtime.identities import identity_routes
from libs.security.sealing import KeyRing
from libs.telemetry.redaction import safe_error
from libs.telemetry.tracing import SpanKind, fail_span, links_to, start_span
from libs.vocabulary import PlatformName
from services.batcher import metrics
from services.batcher.models import Batch, Hold, Report
from services.batcher.usecases.asking import learn_connections, plan_ask, queue_asks
from services.batcher.usecases.calling import Sending, call_platform, tell_limiter
from services.batcher.usecases.claiming import claim_batch
from services.batcher.usecases.operating import (
    PRUNE_AT_ONCE,
    PRUNE_NAMES,
    drop_partitions,
    find_flushable,
    flush_connection,
    make_partitions,
    measure,
    prune,
)
from services.batcher.usecases.settling import Limits, Settled, record

MEASURE_SECONDS: Final = 10.0
RECORD_AGAIN_SECONDS: Final = 0.5

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Deps:
    """What the handlers work with; `app.py` fills it."""

    database: Database
    """As worker."""
    platforms: Mapping[PlatformName, Platform]
    enabled: Sequence[PlatformName]
    ring: KeyRing
    limiter: Limiter
    limits: Limits
    worker: str
    """Names this start of this process."""
    lease_seconds: float
    call_timeout_seconds: float
    retention_seconds: float
    log_requests: bool = False
    claiming: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One loop of this process claims at a time: the others would only wait for the same connection's lock, and find
    that its batch is gone (benchmarks/request_to_result.py)."""


def routes(deps: Deps) -> tuple[Route, ...]:
    """Give what the batcher reads."""
    return (
        Route("ingest.accepted", (ApiRequestAccepted,), partial(on_api_request_accepted, deps)),
        Route("assets.connections", (ConnectionState,), on_connection),
        *identity_routes(),
    )


async def on_api_request_accepted(deps: Deps, conn: Connection, messages: Sequence[Message]) -> None:
    """Queue the reads that ingest accepted."""
    asked = []
    for message in messages:
        assert isinstance(message.data, ApiRequestAccepted), "the route names no other event"
        asked.append(plan_ask(deps.platforms, message.data, message.envelope))
        metrics.ASKS_QUEUED.labels(message.data.platform.value).inc()
    await queue_asks(conn, deps.platforms, asked, deps.limits)


async def on_connection(conn: Connection, messages: Sequence[Message]) -> None:
    """Keep the copy of connections up to date; a tombstone's key is `<organization>/<connection>`."""
    states: list[tuple[ConnectionState, int]] = []
    ended: list[tuple[UUID, int]] = []
    for message in messages:
        version = message.envelope.version
        assert version is not None, "the consume loop dead-letters state without a version"
        if message.data is None:
            ended.append((UUID(message.key.rpartition("/")[2]), version))
        else:
            assert isinstance(message.data, ConnectionState), "the route names no other event"
            states.append((message.data, version))
    await learn_connections(conn, states, ended)


async def on_due_calls(deps: Deps) -> int:
    """Claim, send and record one batch; give how many calls were claimed, 0 when nothing is due."""
    if not deps.enabled:
        return 0
    async with deps.claiming, deps.database.transaction() as conn:
        claimed_at = time.monotonic()
        batch = await claim_batch(
            conn, deps.platforms, deps.enabled, deps.worker, lease_seconds=deps.lease_seconds, limits=deps.limits
        )
    if batch is None:
        return 0
    if batch.calls:
        try:
            report = await _send(deps, batch)
        except asyncio.CancelledError:
            await _give_back(deps, batch)
            raise
        settled = await _record(deps, batch, report, until=claimed_at + deps.lease_seconds)
        await tell_limiter(deps.limiter, report)
        _count(batch, report, settled)
        if deps.log_requests:
            _log_requests(batch, report)
    return max(batch.claimed, 1)


def jobs(deps: Deps) -> tuple[Job, ...]:
    """Give what the clock starts: a flush per platform on its own schedule, and what is forgotten once a day."""
    flushes = tuple(
        Job(
            name=f"flush_{name.value}",
            run=partial(every_flush_interval, name),
            interval_seconds=platform.batching.flush_interval_seconds,
            time_limit_seconds=120,
        )
        for name, platform in deps.platforms.items()
        if platform.batching is not None and name in deps.enabled
    )
    every_day = Job(
        name="prune", run=partial(daily_prune, deps.retention_seconds), cron="40 2 * * *", time_limit_seconds=1_800
    )
    return (
        *flushes,
        every_day,
        Job(name="prune_inbox", run=prune_inbox, cron="50 2 * * *"),
        Job(name="prune_parked", run=prune_parked, cron="0 3 * * *"),
    )


async def every_flush_interval(platform: PlatformName, database: Database) -> dict[str, int]:
    """Make the platform's calls due that wait for company: connection by connection, so that none waits for all."""
    async with database.transaction() as conn:
        connection_ids = await find_flushable(conn, platform)
    made_due = 0
    for connection_id in connection_ids:
        async with database.transaction() as conn:
            made_due += await flush_connection(conn, platform, connection_id)
    return {"connections": len(connection_ids), "calls_made_due": made_due}


async def daily_prune(retention_seconds: float, database: Database) -> dict[str, int]:
    """Delete what ended longer ago than it is kept: asks and calls in portions, history by whole months."""
    counts = dict.fromkeys(PRUNE_NAMES, 0)
    for name in PRUNE_NAMES:
        deleted = PRUNE_AT_ONCE
        while deleted == PRUNE_AT_ONCE:
            async with database.transaction() as conn:
                deleted = await prune(conn, name, retention_seconds)
            counts[name] += deleted
    async with database.transaction() as conn:
        counts["partitions_made"] = await make_partitions(conn)
    async with database.transaction() as conn:
        counts["partitions_dropped"] = await drop_partitions(conn, retention_seconds)
    return counts


async def on_measure(deps: Deps) -> int:
    """Set the gauges of the queue; 0 lets the loop wait."""
    async with deps.database.transaction() as conn:
        await measure(conn, deps.platforms)
    return 0


async def _send(deps: Deps, batch: Batch) -> Report:
    batching = deps.platforms[batch.platform].batching
    assert batching is not None, "calls are only queued for platforms that answer reads"
    sending = Sending(batching, deps.ring, deps.limiter, deps.limits, deps.call_timeout_seconds)
    # The call belongs to the trace of its first ask; the others are linked.
    first = batch.traceparents[0] if batch.traceparents else None
    with start_span(
        f"call {batch.platform.value}",
        SpanKind.INTERNAL,
        parent_traceparent=first,
        links=links_to(batch.traceparents[1:]),
        attributes={
            "platformbus.platform": batch.platform.value,
            "platformbus.calls": len(batch.calls),
            "platformbus.asks": batch.asks,
        },
    ) as span:
        report = await call_platform(batch, sending)
        span.set_attribute("platformbus.outcome", report.outcome)
        if report.outcome != "answered":
            fail_span(span, report.outcome)
        return report


async def _give_back(deps: Deps, batch: Batch) -> None:
    """Let calls that were cut off because the process ends be sent by another at once, not when the lease is over."""
    stopped = Hold("retry", 0.0, "the worker was stopped")
    report = Report({call.call_id: stopped for call in batch.calls}, datetime.now(UTC), 0, "stopped")
    async with deps.database.transaction() as conn:
        await record(conn, batch, report, deps.limits)


async def _record(deps: Deps, batch: Batch, report: Report, *, until: float) -> Settled:
    """Write the outcome; while the database is away try again, as long as the lease lasts."""
    while True:
        try:
            async with deps.database.transaction() as conn:
                return await record(conn, batch, report, deps.limits)
        except Exception as error:
            if not is_available_error(error) or time.monotonic() + RECORD_AGAIN_SECONDS > until:
                raise
            _log.warning("an outcome waits for the database: %s", safe_error(error))
        await asyncio.sleep(RECORD_AGAIN_SECONDS)


def _count(batch: Batch, report: Report, settled: Settled) -> None:
    platform = batch.platform.value
    for outcome, calls in (
        ("completed", settled.completed),
        ("failed", settled.failed),
        ("put_back", settled.put_back),
    ):
        metrics.CALLS_SETTLED.labels(platform, outcome).inc(calls)
    metrics.LEASES_LOST.labels(platform).inc(len(batch.calls) - settled.completed - settled.failed - settled.put_back)
    if report.http_calls:
        metrics.HTTP_CALLS.labels(platform, report.outcome).inc(report.http_calls)
        metrics.HTTP_CALLS_ASKED.labels(platform).inc(settled.asks)
        metrics.QUOTA_UNITS.labels(platform).inc(sum(use.units for use in report.uses))
        metrics.QUOTA_UNITS_ASKED.labels(platform).inc(settled.asks)
        metrics.BATCH_SIZE.labels(platform).observe(len(batch.calls))
        metrics.CALL_SECONDS.labels(platform).observe(report.duration_ms / 1_000)


def _log_requests(batch: Batch, report: Report) -> None:
    for call in batch.calls:
        verdict = report.verdicts.get(call.call_id)
        _log.info(
            "read",
            extra={
                "platform": batch.platform.value,
                "request_type": call.request_type,
                "request_key": call.request_key,
                "call_id": str(call.call_id),
                "verdict": type(verdict).__name__,
            },
        )
