"""A database that tells a test of every step, so that it can end or stop the work between any two of them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from libs.postgres import Connection, Database


class Killed(BaseException):
    """The process is gone: nothing that comes after this line is done, and its transaction never commits."""


class _WatchedConnection:
    def __init__(self, conn: Connection, step: Callable[[str], Awaitable[None]]) -> None:
        self._conn = conn
        self._step = step

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._conn, name)
        if name not in ("execute", "fetch", "fetchrow", "fetchval", "executemany"):
            return real

        async def watched(query: str, *args: Any) -> Any:
            await self._step(query)
            return await real(query, *args)

        return watched


class _WatchedDatabase:
    def __init__(self, database: Database, step: Callable[[str], Awaitable[None]]) -> None:
        self._database = database
        self._step = step

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        async with self._database.acquire() as conn:
            yield cast("Connection", _WatchedConnection(conn, self._step))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        await self._step("BEGIN")
        async with self._database.transaction() as conn:
            yield cast("Connection", _WatchedConnection(conn, self._step))
            await self._step("COMMIT")
        await self._step("COMMITTED")


def watched(database: Database, step: Callable[[str], Awaitable[None]]) -> Database:
    """Give the database with `step` awaited before each statement, before each commit and after it."""
    return cast("Database", _WatchedDatabase(database, step))


def kill_at(number: int) -> Callable[[str], Awaitable[None]]:
    """Give a step that kills at the given one, counted from 0."""
    left = [number]

    async def step(_: str) -> None:
        if left[0] == 0:
            raise Killed
        left[0] -= 1

    return step
