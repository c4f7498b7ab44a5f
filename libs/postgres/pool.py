"""The connection pool, one per database role, and the question whether a failure was the database being away."""

import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, cast
from uuid import UUID

import asyncpg

from libs.postgres.connection import Connection
from libs.postgres.schemas import DatabaseRole
from libs.telemetry.metrics import gauge, histogram

_CONNECT_TIMEOUT_SECONDS: Final = 10
_ACQUIRE_TIMEOUT_SECONDS: Final = 30
_IDLE_CONNECTION_SECONDS: Final = 300

_COMMAND_TIMEOUT_SECONDS: Final[dict[DatabaseRole, float | None]] = {"api": 30, "worker": 150, "owner": None}
"""A little more than the role's transaction_timeout in roles.sql: it ends the wait for a server that fell silent."""

CONNECTIONS: Final = gauge("database_pool_connections", "Connections of a pool by what they do", ["role", "state"])
ACQUIRE_SECONDS: Final = histogram("database_pool_acquire_seconds", "Wait for a connection of the pool", ["role"])

_SET_ORGANIZATION: Final = "SELECT set_config('app.org_id', $1, true)"
_WHO_AM_I: Final = (
    "SELECT current_user::text AS name, rolsuper OR rolbypassrls AS unbound FROM pg_roles WHERE rolname = current_user"
)


class WrongRole(Exception):  # noqa: N818  reads as the fact it reports
    """A DSN leads to a role of another kind than the one asked for, or to one that row security does not bind."""


class Database:
    """A pool of connections of one role. Built in `app.py`; the edges open its transactions."""

    def __init__(self, pool: Any, role: DatabaseRole) -> None:
        self._pool = pool
        self.role: Final = role
        self._acquire_seconds = ACQUIRE_SECONDS.labels(role)
        CONNECTIONS.labels(role, "idle").set_function(pool.get_idle_size)
        CONNECTIONS.labels(role, "used").set_function(lambda: pool.get_size() - pool.get_idle_size())

    @classmethod
    async def connect(
        cls, dsn: str, *, role: DatabaseRole, min_size: int = 1, max_size: int = 10, application_name: str
    ) -> "Database":
        """Open the pool and check that the DSN leads to a `<service>_<role>` whom row security binds.

        A worker's DSN in place of the api's would show every organization's rows to everybody: better not to start.
        Raises: WrongRole; what `is_available_error` knows when the database is away.
        """
        pool = await asyncpg.create_pool(
            dsn,
            min_size=min_size,
            max_size=max_size,
            timeout=_CONNECT_TIMEOUT_SECONDS,
            command_timeout=_COMMAND_TIMEOUT_SECONDS[role],
            max_inactive_connection_lifetime=_IDLE_CONNECTION_SECONDS,
            server_settings={"application_name": application_name},
        )
        try:
            await _check_role(pool, role)
        except BaseException:
            pool.terminate()
            raise
        return cls(pool, role)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """Lend a connection without a transaction: each statement commits by itself."""
        asked_at = time.perf_counter()
        async with self._pool.acquire(timeout=_ACQUIRE_TIMEOUT_SECONDS) as connection:
            self._acquire_seconds.observe(time.perf_counter() - asked_at)
            yield cast("Connection", connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection inside a transaction: committed at the end, rolled back when an exception passes."""
        async with self.acquire() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def tenant_transaction(self, org_id: UUID) -> AsyncIterator[Connection]:
        """As `transaction`, for one organization: the api role sees and writes only its rows."""
        async with self.transaction() as connection:
            await connection.execute(_SET_ORGANIZATION, str(org_id))
            yield connection

    async def close(self) -> None:
        """Wait for lent connections to come back, then close all of them."""
        await self._pool.close()

    def terminate(self) -> None:
        """Close everything at once; open transactions roll back."""
        self._pool.terminate()


async def _check_role(pool: Any, role: DatabaseRole) -> None:
    async with pool.acquire(timeout=_ACQUIRE_TIMEOUT_SECONDS) as connection:
        me = await connection.fetchrow(_WHO_AM_I)
    if not me["name"].endswith(f"_{role}"):
        raise WrongRole(
            f"the DSN given for the {role} role signs in as {me['name']}; give the DSN of a <service>_{role}"
        )
    if me["unbound"]:
        raise WrongRole(
            f"{me['name']} is a superuser or has BYPASSRLS, so row security would not bind it; run roles.sql"
        )


_AWAY: Final = (
    OSError,  # refused, reset, unresolved, timed out (TimeoutError is one)
    asyncpg.PostgresConnectionError,  # class 08
    asyncpg.InsufficientResourcesError,  # class 53: too many connections, disk full
    asyncpg.AdminShutdownError,  # 57P01
    asyncpg.CrashShutdownError,  # 57P02
    asyncpg.CannotConnectNowError,  # 57P03: starting up or shutting down
    asyncpg.ReadOnlySQLTransactionError,  # 25006: this server became a replica
)
_AWAY_BY_WORDS: Final = (
    "connection is closed",
    "connection was closed",
    "pool is clos",
    "underlying connection is closed",
    "released back to the pool",  # what a lent connection says after the server ended it
)
_CUT_OFF: Final = "another operation (2) is in progress"
"""What asyncpg says between the server's farewell and the end of the socket: state 2 is that it reads an error which no
statement caused. Source: asyncpg 0.32, `protocol/coreproto.pxd`, PROTOCOL_ERROR_CONSUME."""


def is_available_error(error: BaseException) -> bool:
    """Whether `error` says that our own database is away for now, so that the same work may succeed later unchanged.

    True for a lost or refused connection, a time-out, a server that starts, stops, is full or became a replica. False
    for everything that the same statement would meet again: constraints, locks not granted, wrong password, wrong
    certificate.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return False
    if isinstance(error, asyncpg.InternalClientError):
        return _CUT_OFF in str(error)
    if isinstance(error, asyncpg.InterfaceError):
        # asyncpg has no class of its own for "the connection went away before this call".
        return any(words in str(error) for words in _AWAY_BY_WORDS)
    return isinstance(error, _AWAY)
