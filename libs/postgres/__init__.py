"""Postgres: the pool, the three roles, migrations and leases."""

from libs.postgres.connection import Connection, Record
from libs.postgres.pool import Database, WrongRole, is_available_error
from libs.postgres.schemas import SCHEMAS, DatabaseRole, role_name

__all__ = [
    "SCHEMAS",
    "Connection",
    "Database",
    "DatabaseRole",
    "Record",
    "WrongRole",
    "is_available_error",
    "role_name",
]
