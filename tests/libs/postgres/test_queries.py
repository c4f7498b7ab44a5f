"""Every statement of the libraries, and of the command, is prepared against every migrated schema."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType

import asyncpg
import pytest

import libs
from libs.postgres import SCHEMAS
from tests.support.databases import Databases

pytestmark = pytest.mark.db

SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\s", re.IGNORECASE)
OWNERS_ONLY = {"libs.postgres.migrations", "libs.postgres.roles"}
"""What these say is said by the owner or a superuser, and proven by their own tests."""


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(libs.__path__, "libs."):
        yield importlib.import_module(found.name)


def queries(module: ModuleType) -> dict[str, str]:
    """The module's own statements: its constants in capitals that begin as SQL does."""
    return {
        f"{module.__name__}.{name}": value
        for name, value in vars(module).items()
        if name.lstrip("_").isupper() and isinstance(value, str) and SQL.match(value) and "{" not in value
    }


async def test_every_statement_fits_the_schema_of_every_service(databases: Databases) -> None:
    wanted = {
        name: text
        for module in modules()
        if module.__name__ not in OWNERS_ONLY
        for name, text in queries(module).items()
    }
    assert len(wanted) > 30, "the statements were not found"
    database = await databases.create(*SCHEMAS)
    for service in SCHEMAS:
        worker = await asyncpg.connect(database.dsn(service, "worker"))
        for name, text in wanted.items():
            try:
                await worker.prepare(text)
            except asyncpg.PostgresError as error:
                pytest.fail(f"{name} does not fit the schema of {service}: {error}")
        await worker.close()
    await databases.drop(database)


async def test_the_statements_of_the_first_key_fit_ingest(databases: Databases) -> None:
    wanted = queries(importlib.import_module("services.cli.bootstrap"))
    assert len(wanted) >= 3
    database = await databases.create("ingest")
    worker = await asyncpg.connect(database.dsn("ingest", "worker"))
    for text in wanted.values():
        await worker.prepare(text)
    await worker.close()
    await databases.drop(database)
