from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import asyncpg
import httpx
import pytest

from libs.events.webhooks_events import WebhookReceived
from libs.vocabulary import AccountRef, OrgId, Role
from services.ingest.usecases.identities import create_key, create_organization
from services.ingest.usecases.webhooks import keep_webhooks
from tests.support.asgi import client_of, problem_of
from tests.support.databases import Databases
from tests.support.ingest import OPERATOR, RECEIVED_AT, Ingest, IngestServer, a_webhook, an_ingest_server

pytestmark = pytest.mark.db


@pytest.fixture(scope="module")
async def server(databases: Databases) -> AsyncIterator[IngestServer]:
    async with an_ingest_server(databases) as made:
        yield made


@pytest.fixture
async def ingest(server: IngestServer) -> Ingest:
    return await server.fresh()


@pytest.fixture
async def client(ingest: Ingest) -> AsyncIterator[httpx.AsyncClient]:
    """HTTP with the key of an internal system."""
    async with client_of(ingest.app(), key=ingest.keys[Role.API_USER]) as made:
        yield made


async def kept(ingest: Ingest, **events: WebhookReceived) -> None:
    async with ingest.worker.transaction() as conn:
        await keep_webhooks(conn, list(events.items()))


async def listed(client: httpx.AsyncClient, **params: str) -> list[str]:
    answer = await client.get("/v1/webhooks", params=params)
    assert answer.status_code == 200, answer.text
    return [item["event_id"] for item in answer.json()["items"]]


async def test_what_a_platform_told_is_shown_whole_and_listed_in_short(
    ingest: Ingest, client: httpx.AsyncClient
) -> None:
    event = a_webhook(ingest, value={"leadgen_id": "1", "new": [1.5, None, "ä"]}, occurred_at=RECEIVED_AT)
    await kept(ingest, e1=event)

    shown = (await client.get("/v1/webhooks/e1")).json()
    assert shown.pop("value") == {"leadgen_id": "1", "new": [1.5, None, "ä"]}
    assert shown == (await client.get("/v1/webhooks")).json()["items"][0]
    assert WebhookReceived.model_validate(shown | {"value": event.value}) == event
    assert shown["event_id"] == "e1"


async def test_the_list_comes_newest_first_in_pages(ingest: Ingest, client: httpx.AsyncClient) -> None:
    await kept(ingest, **{f"e{number}": a_webhook(ingest) for number in range(5)})
    first = (await client.get("/v1/webhooks", params={"limit": 3})).json()
    rest = (await client.get("/v1/webhooks", params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [item["event_id"] for item in first["items"] + rest["items"]] == ["e4", "e3", "e2", "e1", "e0"]
    assert rest["next_cursor"] is None


async def test_the_list_can_be_narrowed(ingest: Ingest, client: httpx.AsyncClient) -> None:
    connection_id, webhook_id = uuid4(), uuid4()
    await kept(
        ingest,
        plain=a_webhook(ingest),
        connection=a_webhook(ingest, connection_id=connection_id),
        comment=a_webhook(ingest, change_type="comment.created"),
        account=a_webhook(ingest, account=AccountRef("instagram", "a:b")),
        delivery=a_webhook(ingest, webhook_id=webhook_id),
    )
    assert await listed(client, connection_id=str(connection_id)) == ["connection"]
    assert await listed(client, change_type="comment.created") == ["comment"]
    assert await listed(client, account="instagram:a:b") == ["account"]
    assert await listed(client, webhook_id=str(webhook_id)) == ["delivery"]
    assert len(await listed(client, platform="meta")) == 5
    assert await listed(client, account="page:nobody") == []


async def test_an_organization_sees_its_own_alone(ingest: Ingest, client: httpx.AsyncClient) -> None:
    async with ingest.worker.transaction() as conn:
        other = await create_organization(conn, OPERATOR, "Other Music")
        their_key = (await create_key(conn, OPERATOR, OrgId(other.org_id), "k", Role.API_USER, None)).text
    await kept(ingest, ours=a_webhook(ingest), theirs=a_webhook(ingest, org_id=other.org_id))

    assert await listed(client) == ["ours"]
    problem_of(await client.get("/v1/webhooks/theirs"), 404, "not_found")
    async with client_of(ingest.app(), key=their_key) as theirs:
        assert await listed(theirs) == ["theirs"]
        problem_of(await theirs.get("/v1/webhooks/ours"), 404, "not_found")
    async with ingest.api.tenant_transaction(ingest.org_id) as conn:
        assert await conn.fetchval("SELECT count(*) FROM webhooks") == 1
        for query in (
            "INSERT INTO webhooks SELECT * FROM webhooks",
            "DELETE FROM webhooks",
            "UPDATE webhooks SET app = 'x'",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with conn.transaction():
                    await conn.execute(query)
    async with ingest.api.transaction() as conn:
        assert await conn.fetchval("SELECT count(*) FROM webhooks") == 0


async def test_only_roles_that_may_look_at_requests_look_at_webhooks(ingest: Ingest) -> None:
    await kept(ingest, e1=a_webhook(ingest))
    may_look = {Role.ADMIN, Role.EDITOR, Role.API_USER, Role.ANALYST}
    for role, key in ingest.keys.items():
        async with client_of(ingest.app(), key=key) as client:
            for path in ("/v1/webhooks", "/v1/webhooks/e1"):
                assert (await client.get(path)).status_code == (200 if role in may_look else 403), (role, path)


@pytest.mark.parametrize(
    "params",
    [
        {"account": "page"},
        {"account": "page:"},
        {"account": "page:\x00"},
        {"change_type": "\x00"},
        {"cursor": "\x00"},
        {"cursor": "x" * 201},
        {"limit": "0"},
        {"limit": "201"},
        {"webhook_id": "7"},
        {"platform": "orkut"},
    ],
)
async def test_what_cannot_be_asked_for_is_refused(client: httpx.AsyncClient, params: dict[str, str]) -> None:
    problem_of(await client.get("/v1/webhooks", params=params), 422, "invalid")


async def test_an_id_that_cannot_be_one_is_refused_or_unknown(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/webhooks/nothing")).status_code == 404
    for text in ("%00", "a%20b", "x" * 201, "%F0%9F%98%80"):
        assert (await client.get(f"/v1/webhooks/{text}")).status_code == 422


async def test_a_delivery_late_in_its_retention_is_still_shown(ingest: Ingest, client: httpx.AsyncClient) -> None:
    await kept(ingest, e1=a_webhook(ingest, received_at=RECEIVED_AT - timedelta(days=20)))
    assert await listed(client) == ["e1"]
