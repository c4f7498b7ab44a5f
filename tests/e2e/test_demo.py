"""The demo tells the truth about a whole system, the first time and again."""

import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rich.console import Console

from deploy.local.demo.faults import Victims
from deploy.local.demo.run import run_demo
from libs.postgres.schemas import SCHEMAS
from tests.support.databases import Databases
from tests.support.servers import Servers
from tests.support.system import System

pytestmark = pytest.mark.e2e
SAID = (
    "3 HTTP calls, 120 quota units",
    "duplicates dropped",
    "28 calls asked, 1 HTTP calls made, 14 quota units spent",
    "calls asked, 5 HTTP calls made",
    "44 calls asked, 1 HTTP calls made, 22 quota units spent",
    "request to result",
    "161 signed, 32 of them repeated",
    "12 with a wrong signature refused",
    "webhook_receiver (SIGKILL, back after",
    "batcher (SIGKILL, back after",
    "nothing: see below",
    "Postgres, batcher",
    "Postgres, webhook_receiver",
)


@pytest.fixture
async def system(servers: Servers, databases: Databases, tmp_path: Path) -> AsyncIterator[System]:
    database = await databases.create(*SCHEMAS)
    made = await System.start(tmp_path, servers, database)
    try:
        yield made
    finally:
        await made.close()
        await databases.drop(database)


async def test_every_number_of_the_demo_is_as_it_must_be_also_when_it_runs_again(system: System) -> None:
    urls = {f"{service.upper()}_URL": url for service, url in system.urls.items()}
    values = {**system.environment, **urls, "SANDBOX_URL": system.sandbox_url}
    kept: list[str] = []

    async def kill(name: str) -> None:
        await system.fleet[name].kill()
        await system.fleet.ready(name)

    victims = Victims(("webhook_receiver", "batcher"), kill)
    for _ in range(2):
        shown = io.StringIO()
        console = Console(file=shown, width=140)
        assert await run_demo(values, console, kept.append, victims, steady_seconds=2), shown.getvalue()
        for line in SAID:
            assert line in shown.getvalue()
        values["PLATFORMBUS_KEY"] = kept[0]
    assert len(kept) == 1
