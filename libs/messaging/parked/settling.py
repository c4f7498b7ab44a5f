"""What becomes of a poll's records: handled, put behind a blocked key, or parked with their own error.

A record that fails for a reason of its own is found by halving what failed, each part in a savepoint: parts that are
well are applied as a whole, and of the failing record's key nothing more. After one that failed parts are small and
grow while they are well, so that where everything fails each record is tried once. What fails is parked in the
transaction that applies the rest: afterwards every record of the poll is settled and its offsets can be committed.

Where an attempt failed only after a time limit, of a lock's or of the transaction's, halving would take a dozen such
waits, which one transaction does not live to see. Then each record has a transaction of its own: one wait for one
that is slow. What is committed so far is told from the rest by the inbox if the poll must come again, and of a key
that failed nothing later is applied, so its order is whole wherever that ends.
"""

import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from libs.messaging import metrics
from libs.messaging.kept import storable
from libs.messaging.parked import store
from libs.messaging.parked.store import Key, ToPark
from libs.messaging.passing import cause_of, costs_time
from libs.messaging.processing import PARKED, Outcomes, Processor, add, type_of
from libs.messaging.records import Incoming, Routing
from libs.postgres import Connection, Database
from libs.telemetry.redaction import safe_error

_MOST_LOGGED: Final = 3
"""Failing records of one poll that are logged with their trace; of the others only the number."""

Begin = Callable[[], AbstractAsyncContextManager[Connection]]
Passes = Callable[[Exception], bool]

logger = logging.getLogger(__name__)


class Settler:
    """Settles records for one consumer."""

    def __init__(
        self,
        consumer: str,
        database: Database,
        routing: Routing,
        processor: Processor,
        first_wait_seconds: float,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """Build it; `beat` is called before each part: a poll that is taken in parts may last."""
        self._consumer = consumer
        self._database = database
        self._routing = routing
        self._processor = processor
        self._first_wait_seconds = first_wait_seconds
        self._beat = beat

    async def settle(self, items: Sequence[Incoming], passes: Passes) -> Outcomes:
        """Have every record handled, parked or dead-lettered, in one transaction if it can be.

        An error that `passes` is raised, and so is one of the parking itself: the records must come again.
        """

        def ends_transaction(error: Exception) -> bool:
            return passes(error) or costs_time(error)

        try:
            async with self._database.transaction() as conn:
                return await self._settle_whole(conn, items)
        except Exception as error:  # a handler may raise anything
            if passes(error):
                raise
            metrics.FAILURES.labels("batch").inc()
            logger.warning("a batch failed and is taken in parts: %s", safe_error(cause_of(error)))
            singly = costs_time(error)
        if not singly:
            try:
                async with self._database.transaction() as conn:
                    return await self._settle_in_parts([list(items)], lambda: _savepoint(conn), ends_transaction)
            except Exception as error:  # a constraint that is checked at commit, or a time limit
                if passes(error):
                    raise
                singly = costs_time(error)
        parts = [[item] for item in items] if singly else [list(items)]
        return await self._settle_in_parts(parts, self._database.transaction, passes)

    async def _settle_whole(self, conn: Connection, items: Sequence[Incoming]) -> Outcomes:
        """Apply records in the open transaction, but put those of blocked keys behind what waits there.

        Either all of it happens or an error passes.
        """
        if not await store.any_blocked(conn, self._consumer):
            return await self._processor.apply(conn, items)
        keys = [self._key(item) if item.message else None for item in items]
        blocked = await store.lock_blocked(conn, self._consumer, {key for key in keys if key})
        if not blocked:
            return await self._processor.apply(conn, items)
        free, behind = [], []
        for item, key in zip(items, keys, strict=True):
            if key in blocked:
                behind.append(ToPark(item, key, None))
            else:
                free.append(item)
        await store.park(conn, self._consumer, behind)
        return add(await self._processor.apply(conn, free), _parked(behind))

    async def _settle_in_parts(self, parts: Sequence[list[Incoming]], begin: Begin, passes: Passes) -> Outcomes:
        """Apply what can be applied and park the rest; `begin` opens a savepoint, or a transaction, for each part."""
        outcomes: Outcomes = {}
        failed: dict[Key, str] = {}
        to_park: list[ToPark] = []
        todo = deque(parts)
        trust = max(map(len, parts), default=0)
        while todo:
            self._beat()
            part = todo.popleft()
            if len(part) > trust:
                todo.appendleft(part[trust:])
                part = part[:trust]
            part = self._without(part, failed, to_park)
            if not part:
                continue
            try:
                async with begin() as conn:
                    done = await self._settle_whole(conn, part)
            except Exception as error:  # a handler may raise anything
                if passes(error):
                    raise
                if len(part) > 1:
                    todo.extendleft(reversed(_smaller(part, error)))
                    continue
                _report(part[0], error, len(failed))
                failed[self._key(part[0])] = text = storable(safe_error(cause_of(error)))
                to_park.append(ToPark(part[0], self._key(part[0]), text))
                trust = 1
            else:
                add(outcomes, done)
                trust *= 2
        if to_park:
            async with begin() as conn:
                await self._park(conn, failed, to_park)
        return add(outcomes, _parked(to_park))

    def _without(self, items: list[Incoming], failed: dict[Key, str], to_park: list[ToPark]) -> list[Incoming]:
        """Take out the records whose key has failed in this poll: they wait behind it."""
        if not failed:
            return items
        left = []
        for item in items:
            if item.message and (key := self._key(item)) in failed:
                to_park.append(ToPark(item, key, None))
            else:
                left.append(item)
        return left

    async def _park(self, conn: Connection, failed: dict[Key, str], to_park: list[ToPark]) -> None:
        await store.block(conn, self._consumer, failed, self._first_wait_seconds)
        new = set(await store.park(conn, self._consumer, to_park))
        # Of such a key everything was parked before, and may have ended since: nothing would ever unblock it.
        if known := failed.keys() - new:
            await store.unblock_empty(conn, self._consumer, known)

    def _key(self, item: Incoming) -> Key:
        return item.record.topic, self._routing.blocking_key(item)


def _smaller(part: list[Incoming], error: Exception) -> list[list[Incoming]]:
    """Give what a failed part is tried as next, in order."""
    if costs_time(error):
        return [[item] for item in part]
    half = len(part) // 2
    return [part[:half], part[half:]]


@asynccontextmanager
async def _savepoint(conn: Connection) -> AsyncIterator[Connection]:
    async with conn.transaction():
        yield conn


def _parked(records: Sequence[ToPark]) -> Outcomes:
    outcomes: Outcomes = {}
    for record in records:
        at = (record.key[0], PARKED, type_of(record.item))
        outcomes[at] = outcomes.get(at, 0) + 1
    return outcomes


def _report(item: Incoming, error: Exception, before: int) -> None:
    metrics.FAILURES.labels("record").inc()
    logger.log(
        logging.ERROR if before < _MOST_LOGGED else logging.DEBUG,
        "a record cannot be handled; it is parked, and its key waits behind it",
        exc_info=error,
        extra={
            "topic": item.record.topic,
            "partition": item.record.partition,
            "offset": item.record.offset,
            "event_id": item.message.envelope.id if item.message else None,
            "event_type": item.message.envelope.type if item.message else None,
        },
    )
