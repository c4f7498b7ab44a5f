"""asset_sync in this process: its real tables and routes, and a platform that says what a test wants."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import httpx

from libs.events.ingest_identities import ApiKey, Organization
from libs.platforms.base import Credential, Platform, TokenFacts, Tokens
from libs.platforms.meta.webhooks import ACCOUNT_TYPES as META_ACCOUNTS
from libs.postgres import Connection, Database
from libs.runtime.auth import Authenticator
from libs.runtime.health import Health
from libs.runtime.http import create_app
from libs.security.api_keys import new_api_key
from libs.security.identities import apply_identity
from libs.security.key_file import new_key
from libs.security.sealing import KeyRing, SealedSecret, connection_aad
from libs.vocabulary import PlatformName, Role
from services.asset_sync.api import ApiDeps, build_routers
from tests.support.asgi import client_of
from tests.support.databases import ServiceDatabase

TOKEN = "EAAcanaryTokenOfOneConnection0001"
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = TokenFacts(True, "user", "1001", ("ads_read", "pages_read"), None, "77")


@dataclass
class FakeTokens:
    """Answers as the test says: facts, or an error to raise."""

    answer: TokenFacts | Exception = GOOD
    asked: list[Credential] = field(default_factory=list)

    async def inspect(self, credential: Credential) -> TokenFacts:
        self.asked.append(credential)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass
class World:
    """One organization with an administrator's client, and what a test looks at."""

    http: httpx.AsyncClient
    org_id: UUID
    tokens: FakeTokens
    ring: KeyRing
    key_file: Path
    worker: Database
    api: Database
    dsns: ServiceDatabase
    app: Any

    async def client(self, role: Role, org_id: UUID | None = None, *, of_operator: bool = False) -> httpx.AsyncClient:
        """Give a client with a new key of this role."""
        key = await add_key(self.worker, None if of_operator else org_id or self.org_id, role)
        headers = {"Authorization": f"Bearer {key}"}
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://service.test", headers=headers)

    async def add(self, **changes: Any) -> dict[str, Any]:
        """Add a connection and give the answer's body."""
        headers = changes.pop("headers", {})
        answer = await self.http.post("/v1/connections", json=body(**changes), headers=headers)
        assert answer.status_code == 201, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    async def rows(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        """Look into the tables as worker."""
        async with self.worker.acquire() as conn:
            return [dict(row.items()) for row in await conn.fetch(query, *arguments)]

    async def published(self) -> list[dict[str, Any]]:
        """What waits for the relay, in order; payloads decoded."""
        rows = await self.rows(
            "SELECT aggregatetype, aggregateid, type, version, payload, org_id, source, subject FROM outbox ORDER BY id"
        )
        return [row | {"payload": json.loads(row["payload"]) if row["payload"] else None} for row in rows]

    async def sealed(self, connection_id: str) -> SealedSecret:
        """The sealed token of a connection's row."""
        rows = await self.rows("SELECT sealed_access_token FROM connections WHERE id = $1", UUID(connection_id))
        return SealedSecret.model_validate_json(rows[0]["sealed_access_token"])

    def opened(self, sealed: SealedSecret, connection_id: str) -> str:
        """Open a connection's token as the batcher would."""
        return self.ring.open(sealed, aad=connection_aad(self.org_id, UUID(connection_id), "access_token"))


def body(**changes: Any) -> dict[str, Any]:
    """What an administrator sends to add a connection."""
    return {"platform": "meta", "name": "Label's ads", "access_token": TOKEN, "app_id": "1001"} | changes


@asynccontextmanager
async def world(dsns: ServiceDatabase, folder: Path) -> AsyncIterator[World]:
    """Build the service's routes over a test's own database."""
    key_file = folder / "kek.json"
    new_key(key_file, key_id="first")
    ring, tokens, org_id = KeyRing.from_file(key_file, clock=_Looking()), FakeTokens(), uuid4()
    async with AsyncExitStack() as stack:
        worker = await Database.connect(dsns.worker_dsn, role="worker", application_name="test")
        stack.push_async_callback(worker.close)
        api = await Database.connect(dsns.api_dsn, role="api", application_name="test")
        stack.push_async_callback(api.close)
        asked = cast(Tokens, tokens)  # the service only ever asks what a token is
        platforms = {PlatformName.META: Platform(PlatformName.META, "v0", META_ACCOUNTS, tokens=asked)}
        deps = ApiDeps(api, worker, platforms, ring, 5.0, timedelta(days=7))
        authenticator = Authenticator(worker, cache_seconds=0)
        app = create_app("asset_sync", routers=build_routers(deps), health=Health(), authenticator=authenticator)
        key = await add_key(worker, org_id, Role.ADMIN)
        http = await stack.enter_async_context(client_of(app, key=key))
        yield World(http, org_id, tokens, ring, key_file, worker, api, dsns, app)


async def add_key(database: Database, org_id: UUID | None, role: Role) -> str:
    """Let asset_sync know of a key, and of its organization."""
    made = new_api_key()
    async with database.transaction() as conn:
        if org_id is not None:
            await add_organization(conn, org_id)
        key = ApiKey(
            key_id=uuid4(),
            org_id=org_id,
            name="test",
            role=role,
            key_hash=made.key_hash,
            hint=made.hint,
            expires_at=None,
            revoked_at=None,
            created_at=LONG_AGO,
        )
        await apply_identity(conn, key, 1)
    return made.text


async def add_organization(conn: Connection, org_id: UUID) -> None:
    """Let asset_sync know of an organization."""
    await apply_identity(conn, Organization(org_id=org_id, name="Label", active=True, created_at=LONG_AGO), 1)


class _Looking:
    """A clock on which a second passes at each look, so that a changed key file is seen at once."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        self._now += 1.0
        return self._now
