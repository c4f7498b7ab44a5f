"""Replays parked keys: the records of one in order, each in a savepoint, until one fails or none is left.

    claim     in a transaction of its own: one attempt more, the next one planned, an epoch that fences off older claims
    replay    one transaction: lock the key, check the epoch, apply its records, end each that went through
              a record fails     its error is kept, the key waits as planned; those before it stay applied
              none is left       the key's row goes, and what comes next is applied as it comes
              some are left      the key is due at once, behind the other keys that are due

A crash anywhere leaves either the old state, with an attempt counted and a lease that runs out, or the new one. A
consumer that brings further records of the key waits for the replay's transaction, so that they never pass each other.
"""

import asyncio
import logging
import os
import random
import socket
import time
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID, uuid4

from libs.messaging import metrics
from libs.messaging.parked import store
from libs.messaging.parked.measuring import measure
from libs.messaging.parked.options import ReplayOptions
from libs.messaging.parked.store import Due, Key, Waiting
from libs.messaging.passing import cause_of, is_away, is_passing, ran_out_of_time
from libs.messaging.processing import DEAD, DUPLICATE, UNWANTED, Outcomes, Processor, add, count
from libs.messaging.records import Routing
from libs.postgres import Connection, Database
from libs.telemetry.redaction import safe_error

_KEYS_AT_ONCE: Final = 100
_NOTES: Final = {
    DUPLICATE: "was handled before",
    DEAD: "does not fit its contract any more; it is a dead letter now",
}

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Replayed:
    """What one replay of a key did."""

    ended: list[UUID] = field(default_factory=list)
    failed: tuple[UUID, str] | None = None
    """The record at which it stopped, and why."""
    is_free: bool = False
    """The key is not blocked any more."""
    outcomes: Outcomes = field(default_factory=dict)


class Unwanted(Exception):  # noqa: N818
    """No route takes the record any more; it is not passed over, because it was wanted when it came."""


class Replayer:
    """Replays the keys of one consumer. Any number may run: each claim is fenced by its epoch."""

    def __init__(
        self, consumer: str, database: Database, routing: Routing, options: ReplayOptions, *, most_attempts: int
    ) -> None:
        self._consumer = consumer
        self._database = database
        self._routing = routing
        self._processor = Processor(consumer, routing)
        self._options = options
        self._most_attempts = most_attempts
        self._owner = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
        self._measured_at = float("-inf")
        self._slow: set[Key] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Replay what is due until `stop` is set; the running transaction is finished first."""
        failures = 0
        while not stop.is_set():
            try:
                await self._measure()
                found = await self.replay_due(stop)
                failures = 0
            except Exception as error:  # the database is away, or worse; the next round begins anew
                failures, found = failures + 1, 0
                bug = None if is_passing(error) else error
                logger.warning("parked keys cannot be replayed now: %s", safe_error(error), exc_info=bug)
            if not found:
                await _wait(stop, self._options.poll_seconds * min(1 + failures, 10))

    async def replay(self, seen: Due) -> Replayed | None:
        """Claim a key and replay its first records; None when another has it, or when the attempt says nothing."""
        async with self._database.acquire() as conn:
            epoch = await self._claim(conn, seen)
        if epoch is None:
            return None
        done = await self.replay_claimed(seen.key, epoch)
        self._report(seen, done)
        return done

    async def claim_now(self, conn: Connection, key: Key) -> int:
        """Claim a key that the open transaction has locked, whatever its time, its attempts and its claims."""
        await store.go_on(conn, self._consumer, key)
        epoch = await self._claim(conn, await store.seen(conn, self._consumer, key))
        assert epoch is not None, "a locked key is nobody else's"
        return epoch

    async def replay_claimed(self, key: Key, epoch: int) -> Replayed | None:
        """Replay under a claim; None when it is not the last one any more, or when the attempt says nothing."""
        try:
            return await self._replay_claimed(key, epoch)
        except Exception as error:
            if not is_passing(error):
                raise
            logger.warning("a replay was in the way of others or lost the database: %s", safe_error(error))
            if not is_away(error):
                async with self._database.acquire() as conn:
                    await store.release(conn, self._consumer, key, epoch)
            metrics.REPLAYS.labels("undecided").inc()
            return None

    async def replay_within(self, conn: Connection, key: Key, attempts: int, limit: int) -> Replayed:
        """Replay up to `limit` records of a key that the open transaction has locked."""
        done = Replayed()
        if self._routing.is_state(key[0]):
            await self._apply_newest(conn, key, done)
        else:
            await self._apply_in_order(conn, key, limit, done)
        if done.failed is not None:
            await self._fail(conn, key, done.failed, attempts, progressed=bool(done.ended))
            return done
        done.is_free = await store.unblock_empty(conn, self._consumer, [key])
        if not done.is_free:
            await store.go_on(conn, self._consumer, key)
        return done

    async def replay_due(self, stop: asyncio.Event) -> int:
        """Replay once each key that is due, the longest due first; give how many there were."""
        async with self._database.acquire() as conn:
            found = await store.due(conn, self._consumer, self._routing.topics, _KEYS_AT_ONCE)
        for seen in found:
            if stop.is_set():
                break
            if seen.attempts < self._most_attempts:
                await self.replay(seen)
                continue
            async with self._database.acquire() as conn:
                given_up = await store.give_up(conn, self._consumer, seen)
            if given_up:
                logger.error(
                    "a parked key ends its process, or never comes back; it waits for a person", extra=_at(seen)
                )
        return len(found)

    async def _claim(self, conn: Connection, seen: Due) -> int | None:
        return await store.claim(
            conn,
            self._consumer,
            seen,
            self._owner,
            lease_seconds=self._options.lease_seconds,
            first_wait_seconds=self._options.first_wait_seconds,
            longest_wait_seconds=self._options.longest_wait_seconds,
        )

    async def _replay_claimed(self, key: Key, epoch: int) -> Replayed | None:
        """Replay as many records as may be; if that cannot be committed one, which otherwise is the failing one.

        A key that has run into the transaction's time limit is replayed record by record from then on: whatever stands
        before the slow one would be undone with it each time, and again only one gained.
        """
        for limit in (1,) if key in self._slow else (self._options.records, 1):
            try:
                done = await self._replay_once(key, epoch, limit)
            except Exception as error:
                if is_passing(error):
                    raise
                refused = error
                if ran_out_of_time(error):
                    self._slow.add(key)
            else:
                if done is not None and done.is_free:
                    self._slow.discard(key)
                return done
        async with self._database.transaction() as conn:
            attempts = await store.lock_claimed(conn, self._consumer, key, epoch)
            first = await self._first(conn, key, 1)
            if attempts is None or not first:
                return None
            failed = (first[0].id, safe_error(cause_of(refused)))
            await self._fail(conn, key, failed, attempts, progressed=False)
        return Replayed(failed=failed)

    async def _replay_once(self, key: Key, epoch: int, limit: int) -> Replayed | None:
        async with self._database.transaction() as conn:
            attempts = await store.lock_claimed(conn, self._consumer, key, epoch)
            if attempts is None:
                return None
            done = await self.replay_within(conn, key, attempts, limit)
        count(done.outcomes)
        return done

    async def _first(self, conn: Connection, key: Key, limit: int) -> list[Waiting]:
        if self._routing.is_state(key[0]):
            return await store.newest_open(conn, self._consumer, key)
        return await store.first_open(conn, self._consumer, key, limit)

    async def _apply_in_order(self, conn: Connection, key: Key, limit: int, done: Replayed) -> None:
        began = time.monotonic()
        for waiting in await self._first(conn, key, limit):
            await self._apply(conn, waiting, done)
            if done.failed is not None or time.monotonic() - began > self._options.seconds:
                return

    async def _apply_newest(self, conn: Connection, key: Key, done: Replayed) -> None:
        for waiting in await self._first(conn, key, 1):
            outcome = await self._apply(conn, waiting, done)
            if outcome not in (None, DEAD):
                await store.supersede(conn, self._consumer, key, waiting.id)

    async def _apply(self, conn: Connection, waiting: Waiting, done: Replayed) -> str | None:
        """Apply one record in a savepoint; give how it ended, or None when it failed."""
        item = self._routing.read(waiting.record)
        try:
            async with conn.transaction():
                outcomes = await self._processor.apply(conn, [item])
                outcome = next(iter(outcomes))[1]
                if outcome == UNWANTED:
                    raise Unwanted("nothing here wants events of its type any more")
        except Exception as error:  # a handler may raise anything
            if is_passing(error) or ran_out_of_time(error):  # the latter has ended the transaction too
                raise
            logger.warning("a parked record fails again: %s", safe_error(error), extra={"parked_id": str(waiting.id)})
            done.failed = (waiting.id, safe_error(error))
            return None
        await store.end(conn, waiting.id, "replayed", _NOTES.get(outcome))
        done.ended.append(waiting.id)
        add(done.outcomes, outcomes)
        return outcome

    async def _fail(
        self, conn: Connection, key: Key, failed: tuple[UUID, str], attempts: int, *, progressed: bool
    ) -> None:
        await store.note_failure(conn, *failed)
        # Another record than before stands at the head: its attempts begin now.
        anew = {"attempts": 1, "first_wait_seconds": self._options.first_wait_seconds}
        await store.wait_again(
            conn,
            self._consumer,
            key,
            failed[1],
            most_attempts=self._most_attempts,
            **(anew if progressed else {"attempts": attempts}),
        )

    def _report(self, seen: Due, done: Replayed | None) -> None:
        if done is None:
            return
        metrics.REPLAYS.labels("failed" if done.failed else "replayed").inc()
        if done.is_free:
            logger.warning("a parked key is free again", extra=_at(seen) | {"replayed": len(done.ended)})
        elif done.failed and not done.ended and seen.attempts + 1 >= self._most_attempts:
            logger.error(
                "a parked key is given up after %d attempts and waits for a person: %s",
                seen.attempts + 1,
                done.failed[1],
                extra=_at(seen) | {"parked_id": str(done.failed[0])},
            )

    async def _measure(self) -> None:
        if time.monotonic() - self._measured_at >= self._options.measure_seconds:
            self._measured_at = time.monotonic()
            async with self._database.acquire() as conn:
                await measure(conn, self._consumer)


def _at(seen: Due) -> dict[str, object]:
    return {"topic": seen.key[0], "key": seen.key[1]}


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds * random.uniform(0.75, 1.0))  # noqa: S311  jitter
    except TimeoutError:
        return
