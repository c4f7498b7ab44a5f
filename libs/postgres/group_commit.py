"""Writes that wait together share one transaction; nobody waits for company.

A write starts as soon as a writer is free, and takes what has come until then: alone at low load, in batches when it
must, and without any timer (decision 0015, benchmarks/webhook_ack.py). While the database is away a gate is shut:
whoever waits and whoever comes is told at once, and a probe opens it again. What is held is bounded, in number and
in bytes.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from time import perf_counter
from typing import Final, Generic, TypeVar

import asyncpg

from libs.postgres.connection import Connection
from libs.postgres.pool import Database, is_available_error
from libs.telemetry.metrics import SIZE_BUCKETS, counter, gauge, histogram
from libs.telemetry.redaction import safe_error

BATCH_ITEMS: Final = histogram("group_commit_batch_items", "Items of one transaction", ["name"], SIZE_BUCKETS)
FLUSH_SECONDS: Final = histogram("group_commit_flush_seconds", "Time that one transaction took", ["name"])
WAITING: Final = gauge("group_commit_waiting", "Items that wait for a transaction", ["name"])
SHUT: Final = gauge("group_commit_shut", "1 while the database is away and everything is refused", ["name"])
REFUSED: Final = counter("group_commit_refused_total", "Items not written, by reason", ["name", "reason"])

RETRY_AFTER_SECONDS: Final = 2
_IDLE_SECONDS: Final = 60.0
"""After that without work the connections go back to the pool, which ends them before somebody between us does."""
_FIRST_PROBE_SECONDS: Final = 0.05
_LAST_PROBE_SECONDS: Final = 1.0
_ALIVE: Final = "SELECT 1"

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Full(Exception):  # noqa: N818  reads as the fact it reports
    """As much waits as may; nothing was kept of this item."""


class Away(Exception):  # noqa: N818
    """The database does not answer: the item was not written, or nobody can say. The caller may try again."""

    def __init__(self) -> None:
        super().__init__("the database does not answer")
        self.retry_after_seconds = RETRY_AFTER_SECONDS


_Waiting = tuple[T, int, "asyncio.Future[None]"]


class GroupCommit(Generic[T]):
    """Built in `app.py`; belongs to one event loop. `close` it before its database."""

    def __init__(
        self,
        database: Database,
        write: Callable[[Connection, Sequence[T]], Awaitable[None]],
        *,
        name: str,
        max_items: int = 64,
        max_batch_bytes: int = 8_388_608,
        flushers: int = 2,
        max_held: int = 4_096,
        max_held_bytes: int = 67_108_864,
        time_limit_seconds: float = 3.0,
    ) -> None:
        """`write` stores all of its items or none: one statement, or a transaction that it opens.

        `max_items` and `max_batch_bytes` bound one transaction, `flushers` is how many are under way at a time, each
        on a connection of its own. `max_held` and `max_held_bytes` bound what waits and what is being written.
        """
        self._database = database
        self._write = write
        self._max_items = max_items
        self._max_batch_bytes = max_batch_bytes
        self._max_flushers = flushers
        self._max_held = max_held
        self._max_held_bytes = max_held_bytes
        self._time_limit = time_limit_seconds
        self._waiting: deque[_Waiting[T]] = deque()
        self._held = 0
        self._held_bytes = 0
        self._flushers: set[asyncio.Task[None]] = set()
        self._writing = 0  # of them; the others give their connections back
        self._idle: list[asyncio.Future[bool]] = []
        self._woken = 0  # flushers that will look at what waits, but have not yet
        self._sweep: asyncio.TimerHandle | None = None
        self._flushed_at = 0.0
        self._shut = False
        self._closing = False
        self._failures = 0
        self._probe: asyncio.Task[None] | None = None
        self._batch_items = BATCH_ITEMS.labels(name)
        self._flush_seconds = FLUSH_SECONDS.labels(name)
        self._waiting_gauge = WAITING.labels(name)
        self._shut_gauge = SHUT.labels(name)
        self._refused_away = REFUSED.labels(name, "away")
        self._refused_full = REFUSED.labels(name, "full")

    @property
    def is_away(self) -> bool:
        """Whether `add` would raise Away at once."""
        return self._shut or self._closing

    @property
    def held(self) -> int:
        """How many items wait or are being written."""
        return self._held

    async def add(self, item: T, size_bytes: int) -> None:
        """Write an item; return when it is committed.

        Raises: Full, Away; what the database said of this item alone, when it was refused for its own reason. When the
        caller is cancelled the item may be written or not.
        """
        if self._shut or self._closing:
            self._refused_away.inc()
            raise Away
        if self._held >= self._max_held or (self._held and self._held_bytes + size_bytes > self._max_held_bytes):
            self._refused_full.inc()
            raise Full
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, size_bytes, future))
        self._held += 1
        self._held_bytes += size_bytes
        if len(self._waiting) > self._woken * self._max_items:
            self._wake_one()
        await future

    async def close(self) -> None:
        """Take nothing more, write what waits, and give the connections back; within the time limit."""
        self._closing = True
        if self._probe is not None:
            self._probe.cancel()
        if self._sweep is not None:
            self._sweep.cancel()
        self._end_idle()
        if self._flushers:
            _, late = await asyncio.wait(self._flushers, timeout=self._time_limit)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        self._fail_waiting()

    def _wake_one(self) -> None:
        if self._idle:
            self._woken += 1
            self._idle.pop().set_result(True)
        elif self._writing < self._max_flushers:
            self._woken += 1
            self._writing += 1
            task = asyncio.create_task(self._flush_until_idle())
            self._flushers.add(task)
            task.add_done_callback(self._flushers.discard)

    def _leave(self) -> None:
        """Count a flusher no more that will only give its connection back, which takes long when nobody answers."""
        self._writing -= 1
        if self._waiting and not self._shut and not self._closing:  # came when it was told to end
            self._wake_one()

    async def _flush_until_idle(self) -> None:
        """Hold a connection and write batches on it, until there has been nothing to write for long, or it breaks."""
        woken = True
        async with AsyncExitStack() as held:
            conn: Connection | None = None
            try:
                async with asyncio.timeout(self._time_limit):
                    conn = await held.enter_async_context(self._database.acquire())
                while woken:
                    self._woken -= 1
                    woken = False
                    while batch := self._take():
                        await self._flush(conn, batch)
                    woken = not self._closing and await self._rest()
                if self._shut:  # it broke on another connection: this one may be as dead, and only not know it
                    _end(conn)
            except Exception as error:  # noqa: BLE001  whatever ends a writer, those who wait must hear of it
                self._woken -= woken
                if conn is not None:
                    _end(conn)
                self._go_away(error)
            self._leave()

    async def _rest(self) -> bool:
        """Wait for work; give whether there may be some."""
        loop = asyncio.get_running_loop()
        if self._sweep is None:
            self._sweep = loop.call_later(_IDLE_SECONDS, self._look_for_idle)
        woken: asyncio.Future[bool] = loop.create_future()
        self._idle.append(woken)
        return await woken

    def _look_for_idle(self) -> None:
        self._sweep = None
        loop = asyncio.get_running_loop()
        if loop.time() - self._flushed_at >= _IDLE_SECONDS:
            self._end_idle()
        elif self._idle:
            self._sweep = loop.call_later(_IDLE_SECONDS, self._look_for_idle)

    def _end_idle(self) -> None:
        idle, self._idle = self._idle, []
        for woken in idle:
            woken.set_result(False)

    def _take(self) -> list[_Waiting[T]]:
        """Take the next batch out of what waits, in order; at least one item if there is any."""
        batch: list[_Waiting[T]] = []
        size = 0
        waiting = self._waiting
        while waiting and len(batch) < self._max_items:
            entry = waiting[0]
            if entry[2].done():  # whoever waited was cancelled
                waiting.popleft()
                self._release(entry)
                continue
            size += entry[1]
            if batch and size > self._max_batch_bytes:
                break
            batch.append(waiting.popleft())
        self._waiting_gauge.set(len(waiting))
        return batch

    async def _flush(self, conn: Connection, batch: list[_Waiting[T]]) -> None:
        loop = asyncio.get_running_loop()
        started = perf_counter()
        # A server that fell silent is not asked to cancel, as asyncpg would: it would not answer that either.
        limit = loop.call_later(self._time_limit, _end, conn)
        try:
            await self._write_or_split(conn, batch)
        finally:
            limit.cancel()
            for entry in batch:
                self._release(entry)
                if not entry[2].done():
                    self._refused_away.inc()
                    entry[2].set_exception(Away())
            self._flushed_at = loop.time()
            self._batch_items.observe(len(batch))
            self._flush_seconds.observe(perf_counter() - started)

    async def _write_or_split(self, conn: Connection, batch: list[_Waiting[T]]) -> None:
        """Write a batch; of one that is refused write each half, so that what is wrong fails alone."""
        try:
            await self._write(conn, [entry[0] for entry in batch])
        except Exception as error:
            if is_available_error(error) or isinstance(error, asyncpg.LockNotAvailableError):
                raise  # each half would wait for the same lock; somebody else's doing, as when the database is away
            if len(batch) == 1:
                if not batch[0][2].done():
                    batch[0][2].set_exception(error)
                return
        else:
            self._failures = 0
            for _, _, future in batch:
                if not future.done():
                    future.set_result(None)
            return
        middle = len(batch) // 2
        await self._write_or_split(conn, batch[:middle])
        await self._write_or_split(conn, batch[middle:])

    def _go_away(self, error: Exception) -> None:
        """Shut the gate: tell everybody who waits, and begin to look for the database."""
        self._fail_waiting()
        if self._shut or self._closing:
            return
        _log.warning("the database is away, nothing is taken until it is back: %s", safe_error(error))
        self._shut = True
        self._shut_gauge.set(1)
        self._end_idle()
        self._probe = asyncio.create_task(self._look_for_database())

    async def _look_for_database(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if self._failures:  # at once the first time: perhaps it was only this connection
                longest = min(_LAST_PROBE_SECONDS, _FIRST_PROBE_SECONDS * 2 ** min(self._failures, 10))
                await asyncio.sleep(longest * random.uniform(0.5, 1.0))  # noqa: S311  jitter, not a secret
            self._failures += 1
            try:
                async with AsyncExitStack() as held:
                    async with asyncio.timeout(self._time_limit):
                        conn = await held.enter_async_context(self._database.acquire())
                    limit = loop.call_later(self._time_limit, _end, conn)
                    try:
                        await conn.fetchval(_ALIVE)
                    finally:
                        limit.cancel()
            except Exception as error:  # noqa: BLE001  whatever it is, the database is not back
                _log.debug("the database is still away: %s", safe_error(error))
                continue
            self._shut = False
            self._shut_gauge.set(0)
            _log.info("the database is back")
            return

    def _fail_waiting(self) -> None:
        while self._waiting:
            entry = self._waiting.popleft()
            self._release(entry)
            if not entry[2].done():
                self._refused_away.inc()
                entry[2].set_exception(Away())
        self._waiting_gauge.set(0)

    def _release(self, entry: _Waiting[T]) -> None:
        self._held -= 1
        self._held_bytes -= entry[1]


def _end(conn: Connection) -> None:
    with suppress(asyncpg.InterfaceError):  # asyncpg took it away already: it is closed
        conn.terminate()
