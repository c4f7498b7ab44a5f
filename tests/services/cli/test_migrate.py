"""`platformbus migrate` against a real database."""

import asyncio
import json

import asyncpg
import pytest

from libs.postgres import SCHEMAS
from libs.postgres.migrations import migration_files
from tests.support.cli import run_cli
from tests.support.databases import TestDatabase, dsn_to

pytestmark = pytest.mark.db


@pytest.fixture
def settings(empty_database: TestDatabase) -> dict[str, str]:
    """The variables of an empty database."""
    owners = {f"{service}_owner_dsn": empty_database.dsn(service, "owner") for service in SCHEMAS}
    return owners | {"postgres_admin_dsn": dsn_to(empty_database.admin_dsn, empty_database.name)}


def test_up_status_and_down(settings: dict[str, str]) -> None:
    wanted = sum(len(migration_files(service)) for service in SCHEMAS)
    assert run_cli("migrate", "status", settings=settings).exit_code == 1, "something is pending"
    planned = run_cli("migrate", "up", "--dry-run", "--json", settings=settings)
    assert (planned.exit_code, len(planned.json)) == (0, wanted)
    assert run_cli("migrate", "status", settings=settings).exit_code == 1, "a dry run applies nothing"

    applied = run_cli("migrate", "up", "--json", settings=settings)
    assert applied.json == planned.json
    assert run_cli("migrate", "up", settings=settings).stdout == "everything is up to date\n"
    status = run_cli("migrate", "status", "batcher", "--json", settings=settings)
    assert (status.exit_code, status.json[0]["pending"]) == (0, [])

    last = migration_files("batcher")[-1].name
    down = ("migrate", "down", "batcher")
    assert run_cli(*down, "--dry-run", "--json", settings=settings).json == [{"service": "batcher", "migration": last}]
    assert run_cli(*down, settings=settings, stdin="n\n").exit_code == 2
    assert run_cli("migrate", "status", "batcher", settings=settings).exit_code == 0
    assert run_cli(*down, "--yes", "--json", settings=settings).json == [{"service": "batcher", "migration": last}]
    assert run_cli("migrate", "status", "batcher", settings=settings).exit_code == 1
    assert run_cli("migrate", "status", "ingest", settings=settings).exit_code == 0


def test_roles_are_made_where_they_are_missing(settings: dict[str, str]) -> None:
    async def drop_schema() -> None:
        admin = await asyncpg.connect(settings["postgres_admin_dsn"])
        await admin.execute("DROP SCHEMA assets CASCADE")
        await admin.close()

    assert "was there" in run_cli("migrate", "roles", settings=settings).stdout
    asyncio.run(drop_schema())
    for arguments in (("--dry-run",), ()):
        run = run_cli("migrate", "roles", "--json", *arguments, settings=settings)
        assert (run.exit_code, run.json["created"]) == (0, ["schema assets"])
    assert json.loads(run_cli("migrate", "roles", "--json", settings=settings).stdout)["created"] == []


def test_a_database_that_is_away_ends_with_1(settings: dict[str, str]) -> None:
    away = settings | {"ingest_owner_dsn": "postgresql://ingest_owner:planted-secret@127.0.0.1:1/none"}
    run = run_cli("migrate", "up", "ingest", settings=away)
    assert run.exit_code == 1
    assert "planted-secret" not in run.stdout + run.stderr
