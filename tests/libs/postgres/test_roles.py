"""Tries to cross each of the three roles' borders."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from libs.postgres import SCHEMAS, Database, role_name
from libs.postgres.roles import ROLES_SQL
from libs.postgres.schemas import DatabaseRole
from tests.support.databases import Databases, ServiceDatabase, TestDatabase, dsn_to

pytestmark = pytest.mark.db

ROLES: tuple[DatabaseRole, ...] = ("owner", "worker", "api")
OURS, THEIRS = uuid4(), uuid4()

# The pattern that every migration of a tenant's table writes out.
CREATE_THINGS = """
CREATE TABLE things (org_id uuid NOT NULL, name text NOT NULL, PRIMARY KEY (org_id, name));
ALTER TABLE things ENABLE ROW LEVEL SECURITY;
ALTER TABLE things FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON things TO ingest_api;
CREATE POLICY organization ON things TO ingest_api
    USING (org_id = nullif(current_setting('app.org_id', true), '')::uuid)
    WITH CHECK (org_id = nullif(current_setting('app.org_id', true), '')::uuid);
CREATE POLICY everything ON things TO ingest_owner, ingest_worker USING (true) WITH CHECK (true);
CREATE TABLE inner_things (id integer PRIMARY KEY);
"""


@pytest.fixture
async def things(empty_database: TestDatabase) -> AsyncIterator[TestDatabase]:
    """A database where ingest has a tenant's table with a row of each of two organizations."""
    async with connected(empty_database.dsn("ingest", "owner")) as owner:
        await owner.execute(CREATE_THINGS)
        await owner.executemany("INSERT INTO things VALUES ($1, $2)", [(OURS, "ours"), (THEIRS, "theirs")])
    yield empty_database


class connected:  # noqa: N801  reads as a verb
    """A bare connection for the length of a block."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def __aenter__(self) -> asyncpg.Connection:
        self._connection = await asyncpg.connect(self._dsn)
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        if not self._connection.is_closed():
            await self._connection.close()


async def names(connection: asyncpg.Connection) -> set[str]:
    return {row["name"] for row in await connection.fetch("SELECT name FROM things")}


async def be(connection: asyncpg.Connection, org_id: UUID | str) -> None:
    await connection.execute("SELECT set_config('app.org_id', $1, false)", str(org_id))


async def test_api_role_sees_only_the_rows_of_its_organization(things: TestDatabase) -> None:
    database = await Database.connect(things.dsn("ingest", "api"), role="api", application_name="test")
    async with database.tenant_transaction(OURS) as conn:
        assert [row["name"] for row in await conn.fetch("SELECT name FROM things")] == ["ours"]
    async with database.tenant_transaction(THEIRS) as conn:
        assert [row["name"] for row in await conn.fetch("SELECT name FROM things")] == ["theirs"]
    await database.close()


async def test_api_role_without_an_organization_sees_nothing(things: TestDatabase) -> None:
    database = await Database.connect(things.dsn("ingest", "api"), role="api", max_size=1, application_name="test")
    async with database.transaction() as conn:
        assert await conn.fetch("SELECT name FROM things") == []
    async with database.tenant_transaction(OURS) as conn:
        assert len(await conn.fetch("SELECT name FROM things")) == 1
    async with database.transaction() as conn:  # the same connection, after a transaction that named one
        assert await conn.fetch("SELECT name FROM things") == []
    await database.close()


async def test_api_role_cannot_write_or_take_over_rows_of_another_organization(things: TestDatabase) -> None:
    async with connected(things.dsn("ingest", "api")) as api:
        await be(api, OURS)
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await api.execute("INSERT INTO things VALUES ($1, 'planted')", THEIRS)
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await api.execute("UPDATE things SET org_id = $1", THEIRS)
        assert await api.execute("UPDATE things SET name = 'changed' WHERE org_id = $1", THEIRS) == "UPDATE 0"
        assert await api.execute("DELETE FROM things WHERE org_id = $1", THEIRS) == "DELETE 0"
    async with connected(things.dsn("ingest", "owner")) as owner:
        assert await names(owner) == {"ours", "theirs"}


async def test_api_role_cannot_switch_row_security_off(things: TestDatabase) -> None:
    async with connected(things.dsn("ingest", "api")) as api:
        await be(api, OURS)
        await api.execute("SET row_security = off")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await api.fetch("SELECT name FROM things")
        for attempt in (
            "ALTER TABLE things DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE things NO FORCE ROW LEVEL SECURITY",
            "DROP POLICY organization ON things",
            "TRUNCATE things",
            "SET ROLE ingest_worker",
            "SET SESSION AUTHORIZATION ingest_worker",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await api.execute(attempt)


async def test_api_role_reads_only_what_a_migration_granted(things: TestDatabase) -> None:
    async with connected(things.dsn("ingest", "api")) as api:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await api.fetch("SELECT id FROM inner_things")


async def test_worker_role_sees_every_organization_and_cannot_change_the_schema(things: TestDatabase) -> None:
    async with connected(things.dsn("ingest", "worker")) as worker:
        assert await names(worker) == {"ours", "theirs"}
        await worker.execute("INSERT INTO inner_things VALUES (1)")
        for attempt in (
            "ALTER TABLE things DISABLE ROW LEVEL SECURITY",
            "DROP TABLE inner_things",
            "CREATE TABLE mine (id integer)",
            "CREATE TEMPORARY TABLE mine (id integer)",
            "TRUNCATE things",
            "SET ROLE ingest_owner",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await worker.execute(attempt)


async def test_row_security_binds_the_owner_too(things: TestDatabase) -> None:
    async with connected(things.dsn("ingest", "owner")) as owner:
        await owner.execute("DROP POLICY everything ON things")
        assert await names(owner) == set()


@pytest.mark.parametrize("role", ROLES)
async def test_a_neighbours_schema_cannot_be_read(things: TestDatabase, role: DatabaseRole) -> None:
    for service in ("asset_sync", "batcher", "webhook_receiver"):
        async with connected(things.dsn(service, role)) as neighbour:
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="schema ingest"):
                await neighbour.fetch("SELECT name FROM ingest.things")
            with pytest.raises(asyncpg.UndefinedTableError):
                await neighbour.fetch("SELECT name FROM things")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await neighbour.execute("CREATE TABLE public.things (name text)")


async def test_no_role_can_pass_row_security_or_make_roles(empty_database: TestDatabase) -> None:
    async with connected(empty_database.dsn("ingest", "api")) as anyone:
        rows = await anyone.fetch(
            "SELECT rolname, rolcanlogin, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolinherit"
            " FROM pg_roles WHERE rolname = ANY($1::text[])",
            [role_name(service, role) for service in SCHEMAS for role in ROLES],
        )
    assert len(rows) == len(SCHEMAS) * len(ROLES)
    for row in rows:
        assert (row["rolcanlogin"], *list(row)[2:]) == (True, False, False, False, False, False), row["rolname"]


@pytest.mark.parametrize(
    ("role", "lock", "idle", "whole"),
    [("api", "3s", "10s", "20s"), ("worker", "10s", "30s", "2min"), ("owner", "5s", "1min", "1h")],
)
async def test_each_role_has_its_time_limits_and_its_schema(
    empty_database: TestDatabase, role: DatabaseRole, lock: str, idle: str, whole: str
) -> None:
    for service, schema in SCHEMAS.items():
        async with connected(empty_database.dsn(service, role)) as connection:
            assert await connection.fetchval("SHOW lock_timeout") == lock
            assert await connection.fetchval("SHOW idle_in_transaction_session_timeout") == idle
            assert await connection.fetchval("SHOW transaction_timeout") == whole
            assert await connection.fetchval("SHOW search_path") == schema
            assert await connection.fetchval("SHOW timezone") == "UTC"


async def test_api_role_gives_up_on_a_lock_that_another_transaction_keeps(things: TestDatabase) -> None:
    async with connected(things.dsn("ingest", "worker")) as worker, connected(things.dsn("ingest", "api")) as api:
        await be(api, OURS)
        async with worker.transaction():
            await worker.execute("UPDATE things SET name = name")
            with pytest.raises(asyncpg.LockNotAvailableError):
                await asyncio.wait_for(api.execute("UPDATE things SET name = 'x'"), 10)


async def test_limits_end_a_transaction_that_idles_or_lasts(things: TestDatabase) -> None:
    """The same parameters, shortened for the session: the server ends such transactions by itself."""
    for parameter, error in (
        ("idle_in_transaction_session_timeout", asyncpg.IdleInTransactionSessionTimeoutError),
        ("transaction_timeout", asyncpg.TransactionTimeoutError),
    ):
        ended = asyncio.Event()
        async with connected(things.dsn("ingest", "api")) as api:
            api.add_termination_listener(lambda _, ended=ended: ended.set())
            await api.execute(f"SET {parameter} = '50ms'")
            await api.execute("BEGIN")
            await asyncio.wait_for(ended.wait(), 10)
            with pytest.raises((error, asyncpg.InterfaceError, asyncpg.PostgresConnectionError)):
                await api.execute("SELECT 1")


async def test_roles_can_be_made_again_and_by_several_at_once(databases: Databases, postgres_admin_dsn: str) -> None:
    database = await databases.create()
    admin_dsn = dsn_to(postgres_admin_dsn, database.name)

    async def apply() -> None:
        async with connected(admin_dsn) as admin:
            await admin.execute(ROLES_SQL.read_text())

    await asyncio.gather(*(apply() for _ in range(4)))
    await databases.drop(database)


async def test_every_tenant_table_of_every_service_forces_row_security(databases: Databases) -> None:
    database = await databases.create(*SCHEMAS)
    for service, schema in SCHEMAS.items():
        async with connected(ServiceDatabase(service, database).admin_dsn) as admin:
            tables = await admin.fetch(
                "SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity AS forced FROM pg_class AS c"
                " JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'org_id' AND NOT a.attisdropped"
                " WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p')",
                schema,
            )
            policies = await admin.fetch(
                "SELECT tablename, roles::text[] AS roles, qual, with_check FROM pg_policies WHERE schemaname = $1",
                schema,
            )
        for table in tables:
            assert table["forced"], f"{schema}.{table['relname']} does not force row security"
            mine = [policy for policy in policies if policy["tablename"] == table["relname"]]
            for role in ("owner", "worker"):
                assert any(
                    role_name(service, role) in policy["roles"] and policy["qual"] == "true" for policy in mine
                ), f"{schema}.{table['relname']} is invisible to the {role}"
            for policy in mine:
                if role_name(service, "api") in policy["roles"]:
                    words = f"{policy['qual']} {policy['with_check']}"
                    assert "app.org_id" in words, f"{schema}.{table['relname']} shows the api role every organization"
                assert "public" not in policy["roles"], f"{schema}.{table['relname']} has a policy for everybody"
    await databases.drop(database)


def test_roles_sql_names_the_same_services_and_schemas_as_the_code() -> None:
    text = Path(ROLES_SQL).read_text()
    values = re.search(r"\(VALUES(.*?)\) AS services", text, re.DOTALL)
    assert values is not None
    assert dict(re.findall(r"\('(\w+)', '(\w+)'\)", values[1])) == SCHEMAS
    assert "PASSWORD" not in text


READABLE_WITHOUT_ORGANIZATION = {
    "paused_platforms": {"platform", "paused_at", "paused_by"},
    # Row security shows the calls of the organization's own connections only.
    "calls": {"id", "platform", "connection_id", "status", "due_at", "held_for"},
}
"""Columns that the api role may read although their table has no organization to be told apart by."""


async def test_the_api_role_reads_no_table_that_knows_no_organization(databases: Databases) -> None:
    database = await databases.create(*SCHEMAS)
    for service, schema in SCHEMAS.items():
        async with connected(ServiceDatabase(service, database).admin_dsn) as admin:
            readable = await admin.fetch(
                "SELECT c.relname, a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid"
                " WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0"
                " AND has_column_privilege($2, c.oid, a.attnum, 'SELECT')"
                " AND NOT EXISTS (SELECT FROM pg_attribute AS o WHERE o.attrelid = c.oid AND o.attname = 'org_id')",
                schema,
                role_name(service, "api"),
            )
            leaks = await admin.fetch(
                "SELECT relname AS name FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('v', 'm')"
                " AND NOT coalesce(reloptions @> ARRAY['security_invoker=true'], false)"
                # A function with its owner's rights is the worker's to call, and names the schema it works in.
                " UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = $1::regnamespace AND prosecdef"
                " AND (has_function_privilege($2, oid, 'EXECUTE')"
                " OR NOT coalesce(array_to_string(proconfig, ' ') LIKE '%search_path=%', false))",
                schema,
                role_name(service, "api"),
            )
        for table, column in readable:
            allowed = READABLE_WITHOUT_ORGANIZATION.get(table, set())
            assert column in allowed, f"the api role reads {schema}.{table}.{column} of every organization"
        names = [row["name"] for row in leaks]
        assert not names, f"{names} of {schema} run with their owner's rights, which row security does not bind"
    await databases.drop(database)
