"""ingest over a real database: an organization with keys, a producer and a connection, and what its tables hold."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from fastapi import FastAPI

from libs.events.assets_connections import Connection as ConnectionState
from libs.events.assets_connections import SealedSecret
from libs.events.envelope import Envelope, new_event_id
from libs.events.ingest_identities import Producer
from libs.events.requests import RequestSubmitted
from libs.events.webhooks_events import WebhookReceived
from libs.messaging.messages import Message
from libs.platforms.meta.settings import MetaSettings
from libs.platforms.registry import PlatformSettings, build_platforms
from libs.postgres import Connection, Database
from libs.runtime.auth import Authenticator
from libs.runtime.health import Health
from libs.runtime.http import create_app
from libs.vocabulary import AccountRef, ConnectionStatus, KeyId, OrgId, PlatformName, Role
from services.ingest.api import ApiDeps, build_routers
from services.ingest.handlers import Deps
from services.ingest.models import ON_KAFKA, Actor, Ask
from services.ingest.usecases.connections import apply_connections
from services.ingest.usecases.identities import create_key, create_organization, put_producer
from tests.support.databases import Databases, ServiceDatabase

PLATFORMS = build_platforms(None, PlatformSettings(meta=MetaSettings()))
OPERATOR = Actor(KeyId(UUID(int=1)), Role.SUPER_ADMIN)
SOURCE = "crm"
RESULT_LIMIT_BYTES = 1_000
RECEIVED_AT = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
DEPS = Deps(PLATFORMS, RESULT_LIMIT_BYTES, request_keep_days=30)


def a_payload(connection_id: UUID, /, **changes: Any) -> dict[str, Any]:
    """A valid payload of an api_request, with changes."""
    good: dict[str, Any] = {
        "platform": "meta",
        "connection_id": str(connection_id),
        "request_type": "get_object",
        "params": {"object_id": "120330000000001", "fields": ["id", "name"]},
    }
    return good | changes


def a_connection(org_id: UUID, connection_id: UUID, status: ConnectionStatus) -> ConnectionState:
    return ConnectionState(
        connection_id=connection_id,
        org_id=org_id,
        platform=PlatformName.META,
        name="ads",
        app_id=None,
        status=status,
        scopes=(),
        expires_at=None,
        sealed_access_token=SealedSecret(kek_id="k", wrapped_key="planted-secret", ciphertext="planted-secret"),
        updated_at=datetime.now(UTC),
    )


@dataclass
class Ingest:
    """One organization that may ask, in a database of this test's own."""

    worker: Database
    api: Database
    org_id: OrgId
    connection_id: UUID
    keys: Mapping[Role, str]
    operator_key: str

    async def put_connection(self, status: ConnectionStatus, *, org_id: UUID | None = None) -> UUID:
        """Let a new connection be known, and give its id."""
        connection_id = uuid4()
        async with self.worker.transaction() as conn:
            await apply_connections(conn, [(a_connection(org_id or self.org_id, connection_id, status), 1)], [])
        return connection_id

    def payload(self, **changes: Any) -> dict[str, Any]:
        return a_payload(self.connection_id, **changes)

    def ask(self, key: str | None = None, **changes: Any) -> Ask:
        """An ask over Kafka; `key` is its idempotency key."""
        event_id = new_event_id()
        cause = Envelope(id=event_id, type=RequestSubmitted.event_type, source=SOURCE, time=datetime.now(UTC))
        values: dict[str, Any] = {
            "org_id": self.org_id,
            "source": SOURCE,
            "kind": "api_request",
            "object_key": "campaign-1",
            "payload": self.payload(),
            "idempotency_key": key or event_id,
            "via": "kafka",
            "places": ON_KAFKA,
            "cause": cause,
        }
        return Ask(**(values | changes))

    def message(self, **changes: Any) -> Message:
        """A record of `requests`, as the consume loop gives it."""
        values: dict[str, Any] = {
            "event_id": new_event_id(),
            "source": SOURCE,
            "key": "campaign-1",
            "idempotency_key": None,
            "header_org_id": None,
            "kind": "api_request",
            "org_id": self.org_id,
            "payload": self.payload(),
        } | changes
        envelope = Envelope(
            id=values["event_id"],
            type=RequestSubmitted.event_type,
            source=values["source"],
            time=datetime.now(UTC),
            org_id=values["header_org_id"],
            idempotency_key=values["idempotency_key"],
        )
        event = RequestSubmitted(kind=values["kind"], org_id=values["org_id"], payload=values["payload"])
        return Message(envelope, event, values["key"], "requests", 0, 0)

    def app(self) -> FastAPI:
        """The service's HTTP application, without the operators' routes."""
        authenticator = Authenticator(self.worker, cache_seconds=0.0)
        routers = build_routers(ApiDeps(self.api, self.worker, authenticator, PLATFORMS))
        return create_app("ingest", routers=routers, health=Health(), authenticator=authenticator)

    async def rows(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        """What a query gives, as worker."""
        async with self.worker.acquire() as conn:
            return [dict(row.items()) for row in await conn.fetch(query, *arguments)]

    async def outbox(self, topic: str) -> list[dict[str, Any]]:
        """Events that wait for the relay, in order, bodies read."""
        rows = await self.rows("SELECT * FROM outbox WHERE aggregatetype = $1 ORDER BY id", topic)
        return [row | {"body": json.loads(row["payload"])} for row in rows]


TABLES = (
    "organizations, api_keys, producers, audit_log, requests, request_result_parts, connections, webhooks, outbox,"
    " inbox, state_versions, dead_letters, parked_keys, parked, identity_organizations, identity_api_keys,"
    " identity_producers"
)


def a_webhook(ingest: Ingest, **changes: Any) -> WebhookReceived:
    """A change that a platform told of the organization's account."""
    good: dict[str, Any] = {
        "webhook_id": uuid4(),
        "position": 0,
        "org_id": ingest.org_id,
        "connection_id": ingest.connection_id,
        "platform": PlatformName.META,
        "app": "1001",
        "object": "page",
        "field": "leadgen",
        "change_type": "lead.created",
        "account": AccountRef("page", "153125381133"),
        "external_event_id": "page/leadgen/1",
        "occurred_at": None,
        "received_at": RECEIVED_AT,
        "value": {"leadgen_id": "1"},
    }
    return WebhookReceived(**(good | changes))


class IngestServer:
    """A database that the tests of a module share; each gets it empty but for its organization."""

    def __init__(self, worker: Database, api: Database, admin_dsn: str) -> None:
        self._worker = worker
        self._api = api
        self.admin_dsn = admin_dsn

    async def fresh(self) -> Ingest:
        """Give an ingest whose outbox is empty and whose organization may ask by every way."""
        admin = await asyncpg.connect(self.admin_dsn)
        try:
            await admin.execute(f"SET search_path = ingest; TRUNCATE {TABLES}")
        finally:
            await admin.close()
        async with self._worker.transaction() as conn:
            made = await _populate(conn, self._worker, self._api)
            await conn.execute("DELETE FROM outbox")
        made.connection_id = await made.put_connection(ConnectionStatus.HEALTHY)
        return made


@asynccontextmanager
async def an_ingest_server(databases: Databases) -> AsyncIterator[IngestServer]:
    """Make the database and its pools, and drop them in the end."""
    database = await databases.create("ingest")
    dsn = ServiceDatabase("ingest", database)
    worker = await Database.connect(dsn.worker_dsn, role="worker", max_size=5, application_name="test")
    api = await Database.connect(dsn.api_dsn, role="api", max_size=5, application_name="test")
    try:
        yield IngestServer(worker, api, dsn.admin_dsn)
    finally:
        await worker.close()
        await api.close()
        await databases.drop(database)


async def _populate(conn: Connection, worker: Database, api: Database) -> Ingest:
    organization = await create_organization(conn, OPERATOR, "Example Music")
    org_id = OrgId(organization.org_id)
    roles: list[Role] = [role for role in Role if role is not Role.SUPER_ADMIN]
    keys = {role: (await create_key(conn, OPERATOR, org_id, role.value, role, None)).text for role in roles}
    operator = await create_key(conn, OPERATOR, None, "operator", Role.SUPER_ADMIN, None)
    await put_producer(conn, OPERATOR, Producer(source=SOURCE, org_ids=(org_id,), kinds=("api_request",), active=True))
    return Ingest(worker, api, org_id, UUID(int=0), keys, operator.text)
