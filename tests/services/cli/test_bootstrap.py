"""`platformbus keys bootstrap`: the first key, made once, kept nowhere."""

import asyncio
import json

import asyncpg
import pytest

from libs.postgres import Database
from libs.security.identities import authenticate
from libs.vocabulary import Role
from services.cli.bootstrap import bootstrap_key
from services.cli.errors import Failed
from tests.support.cli import Run, run_cli
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db


def bootstrap(database: ServiceDatabase, *arguments: str) -> Run:
    return run_cli("keys", "bootstrap", *arguments, settings={"ingest_worker_dsn": database.worker_dsn})


async def dump(database: ServiceDatabase) -> dict[str, list[str]]:
    """Every row of every table of ingest, as text."""
    admin = await asyncpg.connect(database.admin_dsn)
    try:
        tables = await admin.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = 'ingest'::regnamespace AND relkind = 'r'"
        )
        return {
            table["relname"]: [
                row[0] for row in await admin.fetch(f"SELECT t::text FROM ingest.{table['relname']} AS t")
            ]
            for table in tables
        }
    finally:
        await admin.close()


def test_the_first_key_works_is_announced_and_is_kept_nowhere(ingest_database: ServiceDatabase) -> None:
    run = bootstrap(ingest_database, "--json")
    assert run.exit_code == 0
    key = run.json["key"]
    assert key not in run.stderr

    async def look() -> None:
        worker = await Database.connect(ingest_database.worker_dsn, role="worker", application_name="test")
        async with worker.acquire() as conn:
            who = await authenticate(conn, key)
            assert (str(who.key_id), who.org_id, who.role) == (run.json["key_id"], None, Role.SUPER_ADMIN)
            event = await conn.fetchrow("SELECT aggregatetype, aggregateid, version, payload FROM outbox")
            assert event is not None
            assert event["aggregatetype"] == "ingest.identities"
            assert event["aggregateid"] == f"platform/{who.key_id}"
            assert event["version"] == 1
            assert json.loads(event["payload"])["hint"] == key[-4:]
            assert await conn.fetchval("SELECT action FROM audit_log") == "key.bootstrapped"
        await worker.close()
        for table, rows in (await dump(ingest_database)).items():
            assert not any(key in row for row in rows), f"{table} holds the key"

    asyncio.run(look())


def test_a_second_one_is_refused_unless_it_is_forced(ingest_database: ServiceDatabase) -> None:
    first = bootstrap(ingest_database, "--json")
    refused = bootstrap(ingest_database)
    assert refused.exit_code == 1
    assert refused.stdout == ""
    assert f"ends in {first.json['key'][-4:]}" in refused.stderr
    forced = bootstrap(ingest_database, "--force", "--name", "the other was lost", "--json")
    assert forced.exit_code == 0
    assert forced.json["key"] != first.json["key"]


def test_a_dry_run_makes_nothing(ingest_database: ServiceDatabase) -> None:
    run = bootstrap(ingest_database, "--dry-run")
    assert (run.exit_code, "would make" in run.stdout) == (0, True)
    rows = asyncio.run(dump(ingest_database))
    assert rows["api_keys"] == rows["outbox"] == rows["identity_api_keys"] == []


async def test_of_two_at_once_one_makes_the_key(ingest_database: ServiceDatabase) -> None:
    done = await asyncio.gather(
        *(bootstrap_key(ingest_database.worker_dsn, name="first", force=False, dry_run=False) for _ in range(3)),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in done) == [Failed.__name__, Failed.__name__, "tuple"]


def test_another_roles_dsn_is_refused(ingest_database: ServiceDatabase) -> None:
    run = run_cli("keys", "bootstrap", settings={"ingest_worker_dsn": ingest_database.api_dsn})
    assert run.exit_code == 1
    assert "signs in as ingest_api" in run.stderr
