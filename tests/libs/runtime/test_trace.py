from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from libs.events.ingest_identities import ApiKey, Organization
from libs.messaging.trace import Step
from libs.postgres import Connection, Database
from libs.runtime.auth import Authenticator
from libs.runtime.health import Health
from libs.runtime.http import create_app
from libs.runtime.trace import MOST_IDS, trace_router
from libs.security.api_keys import new_api_key
from libs.security.identities import apply_identity
from libs.vocabulary import Role
from tests.support.asgi import client_of, problem_of
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db

NOW = datetime.now(UTC)
TOKEN = "EAAGm0PX4ZCpsBAKZBZC"


async def add_key(conn: Connection, role: Role, org_id: UUID | None) -> str:
    made = new_api_key()
    key = ApiKey(
        key_id=uuid4(),
        org_id=org_id,
        name="k",
        role=role,
        key_hash=made.key_hash,
        hint=made.hint,
        expires_at=None,
        revoked_at=None,
        created_at=NOW,
    )
    await apply_identity(conn, key, 1)
    return made.text


async def find(_: Connection, ids: Sequence[str]) -> list[Step]:
    return [
        Step(at=NOW, what="asked", kind="request", id=name, follow=(name,), detail={"error": f"access_token={TOKEN}"})
        for name in ids
    ]


@pytest.fixture
async def clients(ingest_database: ServiceDatabase) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """An operator's client and one of an organization's administrator."""
    database = await Database.connect(ingest_database.worker_dsn, role="worker", application_name="test")
    org_id = uuid4()
    async with database.transaction() as conn:
        operator, admin = await add_key(conn, Role.SUPER_ADMIN, None), await add_key(conn, Role.ADMIN, org_id)
        await apply_identity(conn, Organization(org_id=org_id, name="o", active=True, created_at=NOW), 1)
        await conn.execute("INSERT INTO inbox VALUES ('ingest', 'crm', 'e1', $1)", datetime(2026, 1, 1, tzinfo=UTC))
    router = trace_router("ingest", database, find)
    app = create_app("ingest", routers=[router], health=Health(), authenticator=Authenticator(database))
    async with client_of(app, key=operator) as by_operator, client_of(app, key=admin) as by_admin:
        yield by_operator, by_admin
    await database.close()


Clients = tuple[httpx.AsyncClient, httpx.AsyncClient]


async def test_only_the_bus_own_operators_see_what_belongs_to_all_organizations(clients: Clients) -> None:
    operator, admin = clients
    problem_of(await admin.get("/admin/trace", params={"id": "e1"}), 403, "operators_only")
    assert (await operator.get("/admin/trace", params={"id": "e1"})).status_code == 200


async def test_a_services_own_steps_and_those_of_the_shared_tables_come_oldest_first(clients: Clients) -> None:
    answer = (await clients[0].get("/admin/trace", params={"id": ["e1", "e2"]})).json()
    assert answer["service"] == "ingest"
    assert [(step["kind"], step["id"]) for step in answer["steps"]] == [
        ("event", "e1"),
        ("request", "e1"),
        ("request", "e2"),
    ]


async def test_no_secret_is_shown_wherever_somebody_has_written_one(clients: Clients) -> None:
    answer = await clients[0].get("/admin/trace", params={"id": [f"access_token={TOKEN}"]})
    assert TOKEN not in answer.text
    assert "[redacted]" in answer.text


@pytest.mark.parametrize("ids", [[], [""], ["a\x00b"], ["x" * 1_025], [str(n) for n in range(MOST_IDS + 1)]])
async def test_what_can_be_no_id_is_refused(clients: Clients, ids: list[Any]) -> None:
    problem_of(await clients[0].get("/admin/trace", params={"id": ids}), 422, "invalid")
