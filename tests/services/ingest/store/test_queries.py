import ast
import importlib
from pathlib import Path
from typing import Any

import pytest

import services.ingest.store as package
from libs.postgres import Database
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db


def queries() -> list[tuple[str, str]]:
    """Every constant of the store that is SQL, by module and name."""
    found = []
    for path in sorted(Path(package.__path__[0]).glob("[a-z]*.py")):
        module: Any = importlib.import_module(f"services.ingest.store.{path.stem}")
        names = [
            node.target.id
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id.isupper()
        ]
        found += [(f"{path.stem}.{name}", getattr(module, name)) for name in names]
    return found


async def test_every_query_fits_the_migrated_schema(ingest_database: ServiceDatabase) -> None:
    database = await Database.connect(ingest_database.worker_dsn, role="worker", application_name="test")
    try:
        async with database.acquire() as conn:
            for name, query in queries():
                assert await conn.prepare(query), name
    finally:
        await database.close()
    assert len(queries()) > 20
