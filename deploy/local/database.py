"""The database, the roles of `deploy/postgres/roles.sql`, and a password for each of them."""

from collections.abc import Mapping
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from libs.postgres import roles


async def create_database(admin_dsn: str, name: str) -> None:
    """Create the database unless it exists."""
    connection = await asyncpg.connect(admin_dsn)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()


async def apply_roles(admin_dsn: str, passwords: Mapping[str, str]) -> None:
    """Make the roles and schemas in this database and give each named role its password. Safe to repeat."""
    await roles.apply_roles(admin_dsn)
    connection = await asyncpg.connect(admin_dsn)
    try:
        # Two test runs on one server alter the same roles: the second waits instead of failing on the changed row.
        async with connection.transaction():
            await connection.execute("LOCK TABLE pg_catalog.pg_authid IN SHARE ROW EXCLUSIVE MODE")
            for role, password in passwords.items():
                await connection.execute(f"ALTER ROLE {role} PASSWORD '{password}'")
    finally:
        await connection.close()


def dsn_of(admin_dsn: str, role: str, password: str, database: str | None = None) -> str:
    """The admin's address with another user's name, and another database if one is named."""
    parts = urlsplit(admin_dsn)
    address = f"{parts.hostname}:{parts.port or 5432}"
    path = parts.path if database is None else f"/{database}"
    return urlunsplit((parts.scheme, f"{quote(role)}:{quote(password)}@{address}", path, parts.query, ""))
