"""Ways in: topics, the queue of deliveries, the clock. Each opens the transaction and calls one use case."""

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final
from uuid import UUID

from libs.events.assets_connections import Connection as ConnectionState
from libs.jobs import Job
from libs.messaging.inbox import prune_inbox
from libs.messaging.messages import Message, Route
from libs.messaging.parked.pruning import prune_parked
from libs.platforms.base import Platform
from libs.postgres import Connection, Database, is_available_error
from libs.runtime.identities import identity_routes
from libs.security.sealing import KeyRing
from libs.telemetry.redaction import safe_error
from libs.vocabulary import PlatformName
from services.webhook_receiver import metrics
from services.webhook_receiver.models import Actor, ConnectionRow, Delivery, Split
from services.webhook_receiver.usecases import apps, keeping, processing
from services.webhook_receiver.usecases.connections import learn_connections
from services.webhook_receiver.usecases.directory import AppDirectory
from services.webhook_receiver.usecases.shards import LeaseLost, Shards

REFRESH_SECONDS: Final = 2.0
REFRESH_LIMIT_SECONDS: Final = 3.0
MEASURE_SECONDS: Final = 10.0
SWEEP_SECONDS: Final = 45.0
LOCK_TRIES: Final = 10
LOCK_PAUSE_SECONDS: Final = 2.0
_TRY_THE_ROUND_AGAIN: Final = {"40001", "40P01", "55P03"}
"""Serialization failure, deadlock, lock not granted: another transaction's doing, not the delivery's."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Deps:
    """What the handlers work with; `app.py` fills it."""

    database: Database
    """As worker."""
    platforms: Mapping[PlatformName, Platform]
    ring: KeyRing
    shards: Shards
    store_raw: bool
    retention_days: float
    turns: Iterator[int] = field(default_factory=itertools.count)


def routes() -> tuple[Route, ...]:
    """Give what webhook_receiver reads."""
    return (Route("assets.connections", (ConnectionState,), on_connection), *identity_routes())


def jobs(deps: Deps) -> tuple[Job, ...]:
    """Give what the clock starts."""
    return (
        Job(name="sweep_webhooks", run=partial(every_minute_sweep, deps), interval_seconds=60, time_limit_seconds=120),
        Job(name="keep_months", run=partial(daily_months, deps.retention_days), cron="10 2 * * *"),
        Job(name="reseal_apps", run=partial(hourly_reseal, deps.ring), cron="27 * * * *"),
        Job(name="prune_inbox", run=prune_inbox, cron="50 2 * * *"),
        Job(name="prune_parked", run=prune_parked, cron="0 3 * * *"),
    )


async def on_connection(conn: Connection, messages: Sequence[Message]) -> None:
    """Keep the copy of connections up to date; a tombstone's key is `<organization>/<connection>`."""
    states: list[ConnectionRow] = []
    ended: list[tuple[UUID, int]] = []
    for message in messages:
        version = message.envelope.version
        assert version is not None, "the consume loop dead-letters state without a version"
        if message.data is None:
            ended.append((UUID(message.key.rpartition("/")[2]), version))
        else:
            assert isinstance(message.data, ConnectionState), "the route names no other event"
            states.append(_connection(message.data, version))
    await learn_connections(conn, states, ended)


async def on_due_deliveries(deps: Deps) -> int:
    """Claim, split, publish and end one round's deliveries; give how many, 0 when nothing is due or ours."""
    epochs = await _hold(deps)
    if not epochs:
        return 0
    async with deps.database.acquire() as conn:
        if not await processing.is_due(conn, epochs):
            return 0
    try:
        async with deps.database.transaction() as conn:
            await deps.shards.fence(conn, epochs)
            claimed = await processing.claim(conn, epochs, deps.shards.owner, turn=next(deps.turns))
        await _work(deps, claimed.deliveries, epochs)
    except LeaseLost as lost:
        metrics.LEASES_LOST.inc()
        _log.warning("a round ends without effect: %s", lost)
        return 0
    return len(claimed.deliveries) + claimed.given_up


async def give_shards_back(deps: Deps) -> None:
    """Let another process work at once; with the database away it does when the leases are over."""

    async def release() -> None:
        async with deps.database.transaction() as conn:
            await deps.shards.release(conn)

    await _or_later("the shards could not be given back", release())
    metrics.SHARDS_HELD.set(0)


async def every_minute_sweep(deps: Deps, database: Database) -> dict[str, int]:
    """Process what is left where nobody works, and say how many waited for longer than they should."""
    async with database.transaction() as conn:
        left = await keeping.count_left(conn)
    sweeping = replace(deps, database=database, shards=Shards(f"{deps.shards.owner}-sweep"), turns=itertools.count())
    handled, until = 0, time.monotonic() + SWEEP_SECONDS
    try:
        while time.monotonic() < until and (done := await on_due_deliveries(sweeping)):
            handled += done
    finally:
        await give_shards_back(sweeping)
    return {"left": left, "handled": handled}


async def daily_months(retention_days: float, database: Database) -> dict[str, int]:
    """Make the coming months, delete in portions what is older than it is kept, drop the months that are over."""
    counts = dict.fromkeys(keeping.KINDS, 0)
    counts["partitions_made"] = await _patiently(database, keeping.make_partitions)
    for kind in keeping.KINDS:  # keys last: as long as a delivery can be replayed its keys must be known
        deleted = keeping.AT_ONCE
        while deleted >= keeping.AT_ONCE:
            async with database.transaction() as conn:
                deleted = await keeping.forget(conn, kind, retention_days=retention_days)
            counts[kind] += deleted
    drop = partial(keeping.drop_partitions, retention_days=retention_days)
    counts["partitions_dropped"] = await _patiently(database, drop)
    return counts


async def make_months(database: Database) -> None:
    """Make sure of this month before anything is received; busy tables make it wait for the job."""
    try:
        async with database.transaction() as conn:
            await keeping.make_partitions(conn)
    except Exception as error:
        if not _is_lock_not_granted(error):
            raise
        _log.warning("the months could not be made now: %s", safe_error(error))


async def hourly_reseal(ring: KeyRing, database: Database) -> dict[str, int]:
    """Put secrets of apps under the active key."""
    async with database.transaction() as conn:
        resealed, failed = await apps.reseal(conn, ring, Actor(None, None))
    return {"resealed": resealed, "failed": failed}


async def keep_fresh(directory: AppDirectory, database: Database, stop: asyncio.Event) -> None:
    """Let the directory know every two seconds what operators changed, until told to stop."""
    while not stop.is_set():
        await _or_later("the apps could not be read", refresh_apps(directory, database))
        await _wait(stop, REFRESH_SECONDS)


async def refresh_apps(directory: AppDirectory, database: Database) -> None:
    """Let the directory know at once; a server that fell silent is left soon, or a retired secret would live on."""
    async with database.acquire() as conn:
        limit = asyncio.get_running_loop().call_later(REFRESH_LIMIT_SECONDS, conn.terminate)
        try:
            await directory.refresh(conn)
        finally:
            limit.cancel()


async def keep_measuring(deps: Deps, stop: asyncio.Event) -> None:
    """Set the gauges of deliveries every ten seconds until told to stop."""
    while not stop.is_set():
        await _or_later("deliveries could not be measured", _measure(deps))
        await _wait(stop, MEASURE_SECONDS)


async def _hold(deps: Deps) -> Mapping[int, int]:
    """Renew the leases if it is time, and give shard -> epoch of what is ours."""
    if deps.shards.are_due:
        async with deps.database.transaction() as conn:
            await deps.shards.renew(conn)
        metrics.SHARDS_HELD.set(len(deps.shards.held()))
    return deps.shards.held()


async def _work(deps: Deps, deliveries: Sequence[Delivery], epochs: Mapping[int, int]) -> None:
    """End every claimed delivery: all in one transaction, and when that fails each in its own."""
    splits: list[Split] = []
    failed: list[tuple[Delivery, Exception]] = []
    for delivery in deliveries:
        try:
            splits.append(processing.split(delivery, deps.platforms))
        except Exception as error:  # noqa: BLE001  kept with the delivery; the others go on
            failed.append((delivery, error))
    try:
        if splits:
            await _settle(deps, splits, epochs)
    except Exception as error:  # noqa: BLE001  raised again, or kept with the delivery
        _raise_if_not_theirs(error)
        if len(splits) == 1:
            failed.append((splits[0].delivery, error))
        else:
            _log.warning("a round of %s is taken one by one: %s", len(splits), safe_error(error))
            failed += await _settle_singly(deps, splits, epochs)
    if failed:
        await _fail(deps, failed, epochs)


async def _settle_singly(
    deps: Deps, splits: Sequence[Split], epochs: Mapping[int, int]
) -> list[tuple[Delivery, Exception]]:
    """End each delivery in a transaction of its own; give those that fail."""
    failed: list[tuple[Delivery, Exception]] = []
    for each in splits:
        try:
            await _settle(deps, [each], epochs)
        except Exception as error:  # noqa: BLE001  raised again, or kept with the delivery
            _raise_if_not_theirs(error)
            failed.append((each.delivery, error))
    return failed


async def _settle(deps: Deps, splits: Sequence[Split], epochs: Mapping[int, int]) -> None:
    async with deps.database.transaction() as conn:
        await deps.shards.fence(conn, {each.delivery.shard: epochs[each.delivery.shard] for each in splits})
        ended = await processing.settle(conn, splits, store_raw=deps.store_raw)
    for outcome in ended.outcomes:
        metrics.CHANGES.labels(outcome.delivery.platform, outcome.status.value).inc()
    now = datetime.now(UTC)
    for ending in ended.endings:
        platform = ending.delivery.platform
        metrics.DELIVERIES.labels(platform, ending.status.value).inc()
        if not ending.delivery.replays:
            metrics.DELAY_SECONDS.labels(platform).observe((now - ending.delivery.received_at).total_seconds())


async def _fail(deps: Deps, failed: Sequence[tuple[Delivery, Exception]], epochs: Mapping[int, int]) -> None:
    async with deps.database.transaction() as conn:
        await deps.shards.fence(conn, {delivery.shard: epochs[delivery.shard] for delivery, _ in failed})
        again = [await processing.fail(conn, delivery, error) for delivery, error in failed]
    for (delivery, error), retried in zip(failed, again, strict=True):
        metrics.DELIVERIES.labels(delivery.platform, "retried" if retried else "failed").inc()
        _log.warning(
            "a delivery failed: %s", safe_error(error), extra={"webhook_id": str(delivery.id), "retried": retried}
        )


def _raise_if_not_theirs(error: Exception) -> None:
    """Raise what is no fault of a delivery: the round is then simply taken again."""
    transient = getattr(error, "sqlstate", None) in _TRY_THE_ROUND_AGAIN
    if transient or isinstance(error, LeaseLost) or is_available_error(error):
        raise error


async def _measure(deps: Deps) -> None:
    async with deps.database.transaction() as conn:
        state = await keeping.measure(conn)
    for status, rows in state.rows_by_status.items():
        metrics.EVENTS.labels(status).set(rows)
    metrics.OLDEST_UNPROCESSED_SECONDS.set(state.oldest_age_seconds)
    metrics.DEFAULT_PARTITION_ROWS.set(state.default_partition_rows)


async def _patiently(database: Database, work: Callable[[Connection], Awaitable[int]]) -> int:
    """Do what needs a table's lock, again when it was not granted at once: nobody shall queue behind it for long."""
    for tries_left in reversed(range(LOCK_TRIES)):
        try:
            async with database.transaction() as conn:
                return await work(conn)
        except Exception as error:
            if not _is_lock_not_granted(error) or not tries_left:
                raise
        await asyncio.sleep(LOCK_PAUSE_SECONDS)
    raise AssertionError("the last try returns or raises")


def _is_lock_not_granted(error: Exception) -> bool:
    return getattr(error, "sqlstate", None) == "55P03"


async def _or_later(failed: str, work: Awaitable[None]) -> None:
    """Do what is done again soon by itself: no lock that is held for long may end the process, and its edge with it."""
    try:
        await work
    except Exception as error:  # noqa: BLE001  whatever it was, the next time tries again
        _log.log(logging.WARNING if is_available_error(error) else logging.ERROR, "%s: %s", failed, safe_error(error))


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


def _connection(state: ConnectionState, version: int) -> ConnectionRow:
    return ConnectionRow(
        connection_id=state.connection_id,
        org_id=state.org_id,
        platform=state.platform,
        status=state.status,
        created_at=state.created_at,
        accounts=tuple((account.type, account.id) for account in state.accounts),
        version=version,
    )
