"""Migrations: both ways, by two processes at once, and never edited once merged."""

import asyncio
import hashlib
from pathlib import Path

import asyncpg
import pytest

from libs.postgres import SCHEMAS
from libs.postgres.migrations import (
    MigrationFailed,
    dbmate_path,
    dbmate_url,
    migrate_down,
    migrate_up,
    migration_files,
    migration_status,
)
from tests.support.databases import TestDatabase

ROOT = Path(__file__).parents[3]
CHECKSUMS = Path(__file__).with_name("migration_checksums.txt")
RANGES = {"messaging": (1, 19), "jobs": (20, 29), "security": (30, 39), "postgres": (40, 49)}

db = pytest.mark.db


def all_files() -> list[Path]:
    return sorted({path for service in SCHEMAS for path in migration_files(service)})


async def tables(dsn: str) -> set[str]:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind <> 'i'"
            " UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = current_schema()::regnamespace"
            " UNION ALL SELECT typname FROM pg_type"
            " WHERE typnamespace = current_schema()::regnamespace AND typtype = 'e'"
        )
    finally:
        await connection.close()
    return {row[0] for row in rows}


@db
@pytest.mark.parametrize("service", SCHEMAS)
async def test_every_migration_goes_up_and_down_and_up_again(empty_database: TestDatabase, service: str) -> None:
    owner_dsn = empty_database.dsn(service, "owner")
    names = tuple(path.name for path in migration_files(service))
    assert (await migration_status(service, owner_dsn)).pending == names

    assert await migrate_up(service, owner_dsn) == names
    made = await tables(owner_dsn)
    status = await migration_status(service, owner_dsn)
    assert (status.applied, status.pending, status.unknown) == (names, (), ())

    assert await migrate_down(service, owner_dsn, len(names)) == tuple(reversed(names))
    assert await tables(owner_dsn) == {"schema_migrations"}, "a down migration left something behind"

    assert await migrate_up(service, owner_dsn) == names
    assert await tables(owner_dsn) == made


@db
async def test_each_migration_can_be_taken_back_alone(empty_database: TestDatabase) -> None:
    owner_dsn = empty_database.dsn("ingest", "owner")
    names = await migrate_up("ingest", owner_dsn)
    assert await migrate_down("ingest", owner_dsn, 1) == (names[-1],)
    assert (await migration_status("ingest", owner_dsn)).pending == (names[-1],)
    assert await migrate_up("ingest", owner_dsn) == (names[-1],)


@db
async def test_of_several_migrations_at_once_one_does_the_work(empty_database: TestDatabase) -> None:
    owner_dsn = empty_database.dsn("batcher", "owner")
    done = await asyncio.gather(*(migrate_up("batcher", owner_dsn) for _ in range(3)))
    assert sorted(map(len, done)) == [0, 0, len(migration_files("batcher"))]


@db
async def test_a_migration_waits_for_the_one_that_runs_and_says_so_when_it_gives_up(
    empty_database: TestDatabase,
) -> None:
    owner_dsn = empty_database.dsn("ingest", "owner")
    running = await asyncpg.connect(owner_dsn)
    await running.execute("SELECT pg_advisory_lock(hashtext('platformbus.migrations'), hashtext('ingest'))")
    with pytest.raises(MigrationFailed, match=r"another migration has been running for 0\.3 s"):
        await migrate_up("ingest", owner_dsn, wait_seconds=0.3)
    # Another service's schema is not held up.
    assert await migrate_up("batcher", empty_database.dsn("batcher", "owner"))

    waiting = asyncio.ensure_future(migrate_up("ingest", owner_dsn))
    await running.close()
    assert await waiting == tuple(path.name for path in migration_files("ingest"))


@db
async def test_a_waiting_migration_holds_no_snapshot_so_concurrent_indexes_can_be_built(
    empty_database: TestDatabase,
) -> None:
    owner_dsn = empty_database.dsn("ingest", "owner")
    await migrate_up("ingest", owner_dsn)
    running = await asyncpg.connect(owner_dsn)
    await running.execute("SELECT pg_advisory_lock(hashtext('platformbus.migrations'), hashtext('ingest'))")
    waiting = asyncio.ensure_future(migrate_up("ingest", owner_dsn))
    while not await running.fetchval("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'migrate ingest'"):
        assert not waiting.done()
    await running.execute("CREATE INDEX CONCURRENTLY leases_until ON leases (until)", timeout=30)
    await running.close()
    assert await waiting == ()


@db
async def test_a_database_of_newer_code_is_reported_and_not_taken_back(empty_database: TestDatabase) -> None:
    owner_dsn = empty_database.dsn("ingest", "owner")
    await migrate_up("ingest", owner_dsn)
    owner = await asyncpg.connect(owner_dsn)
    await owner.execute("INSERT INTO schema_migrations (version) VALUES ('9001')")
    await owner.close()
    assert (await migration_status("ingest", owner_dsn)).unknown == ("9001",)
    with pytest.raises(MigrationFailed, match="9001"):
        await migrate_down("ingest", owner_dsn, 1)


@db
async def test_the_worker_cannot_rewrite_the_history(empty_database: TestDatabase) -> None:
    await migrate_up("ingest", empty_database.dsn("ingest", "owner"))
    worker = await asyncpg.connect(empty_database.dsn("ingest", "worker"))
    assert await worker.fetchval("SELECT count(*) FROM schema_migrations") == len(migration_files("ingest"))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await worker.execute("DELETE FROM schema_migrations")
    await worker.close()


@db
async def test_a_migration_that_fails_is_taken_back_whole_and_the_ones_before_it_stay(
    empty_database: TestDatabase,
) -> None:
    owner_dsn = empty_database.dsn("ingest", "owner")
    owner = await asyncpg.connect(owner_dsn)
    await owner.execute("CREATE TABLE leases (in_the_way integer)")
    with pytest.raises(MigrationFailed, match='relation "leases" already exists'):
        await migrate_up("ingest", owner_dsn)
    status = await migration_status("ingest", owner_dsn)
    assert status.pending[0] == "0040_create_leases.sql"
    assert len(status.applied) > 1
    await owner.execute("DROP TABLE leases")
    await owner.close()
    assert await migrate_up("ingest", owner_dsn) == status.pending


@db
async def test_a_wrong_password_is_reported_without_the_password(empty_database: TestDatabase) -> None:
    owner_dsn = empty_database.dsn("ingest", "owner").replace("ingest_owner:", "nobody_at_all:planted-secret-")
    with pytest.raises((MigrationFailed, asyncpg.PostgresError)) as raised:
        await migrate_up("ingest", owner_dsn)
    assert "planted-secret" not in str(raised.value)


def test_merged_migrations_are_never_edited() -> None:
    """A new file: add its line (`sha256sum <path>`). A changed line: write a new migration instead."""
    lines = [line.split("  ", 1) for line in CHECKSUMS.read_text().splitlines()]
    known = {path: digest for digest, path in lines}
    found = {str(path.relative_to(ROOT)): hashlib.sha256(path.read_bytes()).hexdigest() for path in all_files()}
    missing = [f"{digest}  {path}" for path, digest in found.items() if path not in known]
    assert not missing, "add to migration_checksums.txt:\n" + "\n".join(missing)
    assert {path: found.get(path, "is gone") for path in known} == known


def test_numbers_are_unique_and_within_the_range_of_their_owner() -> None:
    by_number: dict[str, Path] = {}
    for path in all_files():
        number = int(path.name[:4])
        first, last = RANGES.get(path.parent.parent.name, (100, 9999))
        assert first <= number <= last, f"{path} must have a number from {first:04} to {last:04}"
        if number < 100:
            assert by_number.setdefault(path.name[:4], path) == path


def test_every_migration_says_why_and_can_be_taken_back() -> None:
    for path in all_files():
        text = path.read_text()
        assert text.startswith("-- "), f"{path} must begin with a line that says why, and whether before the new code"
        assert "Runs before" in text or "Runs after" in text, (
            f"{path} must say whether it runs before or after the code"
        )
        up, _, down = text.partition("-- migrate:down")
        assert "-- migrate:up" in up, path
        assert down.strip(), f"{path} has no way back"
        assert "lock_timeout" in up or "transaction:false" in up, f"{path} must set lock_timeout"


def test_a_number_used_twice_is_refused(tmp_path: Path) -> None:
    copy = tmp_path / "migrations"
    copy.mkdir()
    for name in ("0001_one.sql", "0001_other.sql"):
        (copy / name).write_text("-- why\n-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 1;\n")
    with pytest.raises(MigrationFailed, match="the same number"):
        migration_files("ingest", folders=(copy,))
    (copy / "0001_other.sql").rename(copy / "second-file.sql")
    with pytest.raises(MigrationFailed, match="must be named like"):
        migration_files("ingest", folders=(copy,))


def test_an_unknown_service_is_refused() -> None:
    with pytest.raises(MigrationFailed, match="unknown service 'publisher'"):
        migration_files("publisher")


def test_dbmate_comes_from_its_wheel() -> None:
    assert dbmate_path().is_file()


@pytest.mark.parametrize(
    ("dsn", "url"),
    [
        ("postgresql://o:p@127.0.0.1:5432/db", "postgresql://o:p@127.0.0.1:5432/db?search_path=ingest&sslmode=disable"),
        ("postgresql://o:p@db.example/db", "postgresql://o:p@db.example/db?search_path=ingest"),
        (
            "postgresql://o:p%40@localhost/db?sslmode=require",
            "postgresql://o:p%40@localhost/db?sslmode=require&search_path=ingest",
        ),
        ("postgresql://o@/db?host=/run/pg", "postgresql://o@/db?host=%2Frun%2Fpg&search_path=ingest&sslmode=disable"),
    ],
)
def test_dbmate_gets_the_schema_and_no_tls_on_this_machine(dsn: str, url: str) -> None:
    assert dbmate_url(dsn, "ingest") == url
