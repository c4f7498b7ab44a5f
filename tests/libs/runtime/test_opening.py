"""What all composition roots do alike: nothing stays open when a service cannot be built."""

from contextlib import AsyncExitStack
from functools import partial
from typing import NoReturn

import asyncpg
import pytest
from pydantic import SecretStr

from libs.postgres.pool import WrongRole
from libs.runtime.opening import name_process, open_databases, open_service
from libs.runtime.settings import ServiceSettings
from tests.support.databases import ServiceDatabase
from tests.support.until import until


@pytest.mark.db
async def test_a_service_gets_a_pool_for_each_of_its_roles(ingest_database: ServiceDatabase) -> None:
    async with AsyncExitStack() as opened:
        worker, api = await open_databases(opened, settings_of(ingest_database), "ingest")
        for database, role in ((worker, "ingest_worker"), (api, "ingest_api")):
            async with database.acquire() as conn:
                assert await conn.fetchval("SELECT current_user") == role


@pytest.mark.db
async def test_what_was_opened_is_closed_when_the_rest_cannot_be_built(ingest_database: ServiceDatabase) -> None:
    wrong = ingest_database.worker_dsn

    async def build(opened: AsyncExitStack) -> NoReturn:
        await open_databases(opened, settings_of(ingest_database, api_dsn=wrong), "opening-test")
        raise AssertionError("a worker's DSN passed for the api's")

    with pytest.raises(WrongRole):
        await open_service(partial(build))
    admin = await asyncpg.connect(ingest_database.admin_dsn)

    async def are_gone() -> bool:
        query = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'opening-test')"
        return bool(await admin.fetchval(query))

    await until(are_gone, "the server has let go of every connection")
    await admin.close()


def test_no_two_starts_have_the_same_name() -> None:
    assert name_process("ingest") != name_process("ingest")
    assert name_process("ingest").startswith("ingest-")


def settings_of(database: ServiceDatabase, *, api_dsn: str | None = None) -> ServiceSettings:
    return ServiceSettings(
        worker_dsn=SecretStr(database.worker_dsn), api_dsn=SecretStr(api_dsn or database.api_dsn), _env_file=None
    )
