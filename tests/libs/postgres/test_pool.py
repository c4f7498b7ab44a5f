"""The pool: what it refuses, what it lends, and which failures mean that the database is away."""

import asyncio
import socket
import ssl
from uuid import uuid4

import asyncpg
import pytest

from deploy.local.database import dsn_of
from libs.postgres import Database, WrongRole, is_available_error
from tests.support.databases import TestDatabase, dsn_to


@pytest.mark.db
async def test_a_dsn_of_another_role_is_refused(empty_database: TestDatabase) -> None:
    with pytest.raises(WrongRole, match="signs in as ingest_worker"):
        await Database.connect(empty_database.dsn("ingest", "worker"), role="api", application_name="test")


@pytest.mark.db
async def test_a_superuser_is_refused(empty_database: TestDatabase) -> None:
    admin_dsn = dsn_to(empty_database.admin_dsn, empty_database.name)
    admin = await asyncpg.connect(admin_dsn)
    await admin.execute("CREATE ROLE all_seeing_worker LOGIN SUPERUSER PASSWORD 'x'")
    try:
        dsn = dsn_of(admin_dsn, "all_seeing_worker", "x")
        with pytest.raises(WrongRole, match="row security would not bind it"):
            await Database.connect(dsn, role="worker", application_name="test")
    finally:
        await admin.execute("DROP ROLE all_seeing_worker")
        await admin.close()


@pytest.mark.db
async def test_a_transaction_commits_at_its_end_and_rolls_back_when_an_error_passes(
    empty_database: TestDatabase,
) -> None:
    database = await Database.connect(empty_database.dsn("ingest", "owner"), role="owner", application_name="test")
    async with database.transaction() as conn:
        await conn.execute("CREATE TABLE kept (id integer)")
    with pytest.raises(RuntimeError):
        async with database.transaction() as conn:
            await conn.execute("INSERT INTO kept VALUES (1)")
            raise RuntimeError
    async with database.acquire() as conn:
        assert not conn.is_in_transaction()
        assert await conn.fetchval("SELECT count(*) FROM kept") == 0
    await database.close()


@pytest.mark.db
async def test_the_organization_of_a_transaction_ends_with_it(empty_database: TestDatabase) -> None:
    database = await Database.connect(
        empty_database.dsn("ingest", "api"), role="api", max_size=1, application_name="test"
    )
    org_id = uuid4()
    async with database.tenant_transaction(org_id) as conn:
        assert await conn.fetchval("SELECT current_setting('app.org_id')") == str(org_id)
    async with database.acquire() as conn:
        assert await conn.fetchval("SELECT coalesce(current_setting('app.org_id', true), '')") == ""
    await database.close()


@pytest.mark.db
async def test_a_connection_ended_by_the_server_counts_as_the_database_being_away(empty_database: TestDatabase) -> None:
    database = await Database.connect(empty_database.dsn("ingest", "worker"), role="worker", application_name="test")
    admin = await asyncpg.connect(empty_database.admin_dsn)
    async with database.acquire() as conn:
        pid = await conn.fetchval("SELECT pg_backend_pid()")
        sleeping = asyncio.ensure_future(conn.fetch("SELECT pg_sleep(60)"))
        await asyncio.sleep(0)
        while not await admin.fetchval("SELECT state = 'active' FROM pg_stat_activity WHERE pid = $1", pid):
            pass
        await admin.execute("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises((asyncpg.PostgresError, OSError)) as first:
            await sleeping
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)) as second:
            await conn.fetch("SELECT 1")
    assert is_available_error(first.value)
    assert is_available_error(second.value)
    async with database.acquire() as conn:  # the pool made a new one
        assert await conn.fetchval("SELECT 1") == 1
    await admin.close()
    await database.close()
    with pytest.raises(asyncpg.InterfaceError) as closed:
        async with database.acquire():
            pytest.fail("a closed pool lent a connection")
    assert is_available_error(closed.value)


def test_a_connection_that_is_just_being_cut_off_counts_as_the_database_being_away() -> None:
    cut_off = asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")
    a_bug_of_ours = asyncpg.InternalClientError("cannot switch to state 12; another operation (12) is in progress")
    assert is_available_error(cut_off)
    assert not is_available_error(a_bug_of_ours)


@pytest.mark.db
async def test_errors_that_would_come_again_do_not_count_as_the_database_being_away(
    empty_database: TestDatabase,
) -> None:
    connection = await asyncpg.connect(empty_database.dsn("ingest", "owner"))
    await connection.execute("CREATE TABLE one (id integer PRIMARY KEY); INSERT INTO one VALUES (1)")
    for statement in ("INSERT INTO one VALUES (1)", "SELECT 1/0", "SELECT nothing", "SELECT * FROM none"):
        with pytest.raises(asyncpg.PostgresError) as raised:
            await connection.execute(statement)
        assert not is_available_error(raised.value), statement
    await connection.close()


async def test_a_refused_connection_counts_as_the_database_being_away() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can answer there
        dsn = f"postgresql://ingest_api:x@127.0.0.1:{held.getsockname()[1]}/platformbus"
        with pytest.raises(OSError) as raised:
            await Database.connect(dsn, role="api", application_name="test")
    assert is_available_error(raised.value)


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (asyncpg.CannotConnectNowError("the database system is starting up"), True),
        (asyncpg.AdminShutdownError("terminating connection"), True),
        (asyncpg.TooManyConnectionsError("sorry, too many clients already"), True),
        (asyncpg.DiskFullError("no space left"), True),
        (asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT in a read-only transaction"), True),
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (asyncpg.InterfaceError("cannot perform operation: another operation is in progress"), False),
        (asyncpg.LockNotAvailableError("canceling statement due to lock timeout"), False),
        (asyncpg.DeadlockDetectedError("deadlock detected"), False),
        (asyncpg.InvalidPasswordError("password authentication failed"), False),
        (ssl.SSLCertVerificationError("certificate verify failed"), False),
        (ValueError("a bug"), False),
    ],
)
def test_which_errors_mean_that_the_database_is_away(error: Exception, away: bool) -> None:
    assert is_available_error(error) is away
