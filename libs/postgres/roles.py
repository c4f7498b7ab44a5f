"""Runs deploy/postgres/roles.sql, and tells what it would make. Both need a superuser."""

from pathlib import Path
from typing import Any, Final

import asyncpg

from libs.postgres.schemas import SCHEMAS, DatabaseRole, role_name

ROLES_SQL: Final = Path(__file__).resolve().parents[2] / "deploy" / "postgres" / "roles.sql"
_ROLES: Final[tuple[DatabaseRole, ...]] = ("owner", "worker", "api")

MISSING_ROLES: Final = """
SELECT wanted.name FROM unnest($1::text[]) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name)
ORDER BY wanted.name
"""

MISSING_SCHEMAS: Final = """
SELECT wanted.name FROM unnest($1::text[]) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = wanted.name)
ORDER BY wanted.name
"""


async def missing_roles(admin_dsn: str) -> tuple[str, ...]:
    """The roles and schemas that `apply_roles` would create in this database: `role x`, `schema y`."""
    connection: Any = await asyncpg.connect(admin_dsn, timeout=10)
    try:
        names = [role_name(service, role) for service in SCHEMAS for role in _ROLES]
        roles = await connection.fetch(MISSING_ROLES, names)
        schemas = await connection.fetch(MISSING_SCHEMAS, list(SCHEMAS.values()))
    finally:
        await connection.close()
    return (*(f"role {row['name']}" for row in roles), *(f"schema {row['name']}" for row in schemas))


async def apply_roles(admin_dsn: str) -> tuple[str, ...]:
    """Make the roles and schemas as the file says, in the DSN's database; return what was missing before.

    Safe to run again: limits and rights that somebody changed by hand are set back. Passwords are left as they are.
    """
    missing = await missing_roles(admin_dsn)
    connection: Any = await asyncpg.connect(admin_dsn, timeout=10)
    try:
        await connection.execute(ROLES_SQL.read_text())
    finally:
        await connection.close()
    return missing
