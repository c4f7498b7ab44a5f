"""webhook_receiver over a real database, with a platform whose deliveries a test writes down as plain lists."""

import hashlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx

from libs.events.assets_connections import Connection as ConnectionState
from libs.events.assets_connections import SealedSecret
from libs.events.envelope import Envelope, new_event_id
from libs.messaging.messages import Message
from libs.platforms.base import Change, Headers, Platform, SignatureVerdict, UnknownShape
from libs.postgres import Connection, Database
from libs.runtime.auth import Authenticator
from libs.runtime.health import Health
from libs.runtime.http import create_app
from libs.security.key_file import new_key
from libs.security.sealing import KeyRing
from libs.vocabulary import AccountRef, ConnectionStatus, PlatformName, Role
from services.webhook_receiver.api import ApiDeps, build_routers
from services.webhook_receiver.handlers import Deps, on_connection, on_due_deliveries, refresh_apps
from services.webhook_receiver.models import shard_of
from services.webhook_receiver.usecases.directory import AppDirectory
from services.webhook_receiver.usecases.shards import Shards
from tests.support.asgi import client_of
from tests.support.asset_sync import add_key
from tests.support.databases import ServiceDatabase

PAGE = AccountRef("page", "4711")
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
SEALED = SealedSecret(kek_id="t", wrapped_key="", ciphertext="")


class PlainWebhooks:
    """A delivery is a JSON list of changes, each `{"account": "page:1", "key": "..."}`; anything else is unknown.

    `{"raise": "words"}` in place of a change makes splitting fail, as a bug of ours would.
    """

    on_split: Callable[[bytes], None] | None = None

    def needs_body(self, headers: Headers) -> SignatureVerdict | None:
        return None if any(name == b"x-signature" for name, _ in headers) else "missing"

    def check_signature(
        self, headers: Headers, body: bytes, secrets: Sequence[bytes]
    ) -> tuple[SignatureVerdict, str | None]:
        sent = next((value.decode() for name, value in headers if name == b"x-signature"), None)
        if sent is None:
            return "missing", None
        return ("valid" if any(sent == sign(body, secret) for secret in secrets) else "wrong"), sent

    def answer_handshake(self, query: bytes, verify_tokens: Sequence[bytes]) -> bytes | None:
        return b"challenge" if query in verify_tokens else None

    def split(self, body: bytes) -> list[Change]:
        if self.on_split is not None:
            self.on_split(body)
        told = json.loads(body)
        if not isinstance(told, list):
            raise UnknownShape("a delivery is a list, at /")
        return [_change(each) for each in told]


def sign(body: bytes, secret: bytes) -> str:
    return hashlib.sha256(secret + body).hexdigest()


def _change(told: dict[str, Any]) -> Change:
    if "raise" in told:
        raise RuntimeError(told["raise"])
    account_type, _, account_id = told["account"].partition(":")
    return Change(
        object=account_type,
        field="feed",
        change_type="post.created",
        account_type=account_type,
        account_id=account_id,
        external_event_id=told["key"],
        occurred_at=None,
        value=told,
    )


def change(key: str, account: AccountRef = PAGE, **more: Any) -> dict[str, Any]:
    """One change of a delivery."""
    return {"account": str(account), "key": key, **more}


@dataclass
class Bench:
    """The service without its processes: what the loops would call is called by the test."""

    dsns: ServiceDatabase
    database: Database
    api_database: Database
    webhooks: PlainWebhooks
    ring: KeyRing
    deps: Deps
    directory: AppDirectory
    woken: int = 0
    """How often the API said that there is work."""
    versions: dict[UUID, int] = field(default_factory=dict)

    def another(self, **changes: Any) -> Deps:
        """Give what a second process of the service would work with."""
        lease_seconds = changes.pop("lease_seconds", 60.0)
        return replace(self.deps, shards=Shards(f"test-{uuid4().hex}", lease_seconds=lease_seconds), **changes)

    async def receive(self, *changes: Any, app: str = "1", body: bytes | None = None) -> UUID:
        """Keep a delivery as the edge does, and give its id."""
        raw = body if body is not None else json.dumps(list(changes)).encode()
        delivery_id = _uuid7()
        async with self.api_database.transaction() as conn:
            await conn.execute(
                "INSERT INTO webhook_events"
                " (id, received_at, platform, app, headers, raw, body_bytes, body_hash, shard)"
                " VALUES ($1, $2, 'meta', $3, '{}', $4, $5, $6, $7)",
                delivery_id,
                datetime.now(UTC),
                app,
                raw,
                len(raw),
                hashlib.sha256(raw).digest(),
                shard_of("meta", app),
            )
        return delivery_id

    async def connect(
        self,
        org_id: UUID,
        *accounts: AccountRef,
        connection_id: UUID | None = None,
        status: ConnectionStatus = ConnectionStatus.HEALTHY,
        created_at: datetime | None = LONG_AGO,
        version: int | None = None,
    ) -> UUID:
        """Let the service read a state of a connection."""
        made = connection_id or uuid4()
        state = ConnectionState(
            connection_id=made,
            org_id=org_id,
            platform=PlatformName.META,
            name="test",
            app_id="1",
            status=status,
            scopes=(),
            expires_at=None,
            sealed_access_token=SEALED,
            updated_at=LONG_AGO,
            accounts=accounts or (PAGE,),
            created_at=created_at,
        )
        await self._read(state, org_id, made, version)
        return made

    async def end(self, org_id: UUID, connection_id: UUID, *, version: int | None = None) -> None:
        """Let the service read a connection's tombstone."""
        await self._read(None, org_id, connection_id, version)

    async def _read(self, state: ConnectionState | None, org_id: UUID, made: UUID, version: int | None) -> None:
        number = version if version is not None else self.versions.get(made, 0) + 1
        self.versions[made] = max(number, self.versions.get(made, 0))
        envelope = Envelope(
            new_event_id(), "connection.v1", "platformbus/asset_sync", datetime.now(UTC), version=number
        )
        async with self.database.transaction() as conn:
            await on_connection(conn, [Message(envelope, state, f"{org_id}/{made}", "assets.connections", 0, 0)])

    async def work(self, deps: Deps | None = None, *, rounds: int = 1_000) -> int:
        """Work until nothing is due; give how many deliveries were handled."""
        handled = 0
        for _ in range(rounds):
            done = await on_due_deliveries(deps or self.deps)
            if not done:
                return handled
            handled += done
        raise AssertionError(f"there was work after {rounds} rounds")

    async def rows(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        """Look into the tables as worker."""
        async with self.database.acquire() as conn:
            return [dict(row.items()) for row in await conn.fetch(query, *arguments)]

    async def run(self, statement: str, *arguments: Any) -> str:
        """Change the tables as worker."""
        async with self.database.acquire() as conn:
            return await conn.execute(statement, *arguments)

    async def delivery(self, delivery_id: UUID) -> dict[str, Any]:
        """The row of a delivery."""
        (row,) = await self.rows("SELECT * FROM webhook_events WHERE id = $1", delivery_id)
        return row

    async def status(self, delivery_id: UUID) -> str:
        return str((await self.delivery(delivery_id))["status"])

    async def changes(self, delivery_id: UUID) -> list[tuple[str, str]]:
        """Pairs of natural key and outcome, in order."""
        rows = await self.rows(
            "SELECT external_event_id, status FROM webhook_changes WHERE event_id = $1 ORDER BY position", delivery_id
        )
        return [(row["external_event_id"], row["status"]) for row in rows]

    async def published(self) -> list[dict[str, Any]]:
        """What waits for the relay, in its order: columns, and `data` decoded."""
        rows = await self.rows(
            "SELECT aggregatetype, aggregateid, type, event_id, source, subject, org_id, correlation_id, traceparent,"
            " payload FROM outbox ORDER BY id"
        )
        return [row | {"data": json.loads(row["payload"])} for row in rows]

    async def keys_published(self, org_id: UUID | None = None) -> list[str]:
        """Natural keys in the order of publication."""
        return [
            event["data"]["external_event_id"]
            for event in await self.published()
            if org_id is None or event["org_id"] == org_id
        ]


@asynccontextmanager
async def bench(dsns: ServiceDatabase, folder: Path, **changes: Any) -> AsyncIterator[Bench]:
    """Build the service's parts over a test's own database."""
    new_key(folder / "kek.json", key_id="first")
    seconds = itertools.count()  # one passes at each look, so that a changed key file is seen at once
    ring, webhooks = KeyRing.from_file(folder / "kek.json", clock=lambda: float(next(seconds))), PlainWebhooks()
    async with AsyncExitStack() as stack:
        database = await Database.connect(dsns.worker_dsn, role="worker", application_name="test")
        stack.push_async_callback(database.close)
        api_database = await Database.connect(dsns.api_dsn, role="api", application_name="test")
        stack.push_async_callback(api_database.close)
        deps = Deps(
            database=database,
            platforms={PlatformName.META: Platform(PlatformName.META, "v0", webhooks=webhooks)},
            ring=ring,
            shards=Shards(f"test-{uuid4().hex}", lease_seconds=60.0),
            store_raw=True,
            retention_days=30.0,
        )
        directory = AppDirectory(ring, deps.platforms, secrets={}, verify_tokens={})
        yield Bench(dsns, database, api_database, webhooks, ring, replace(deps, **changes), directory)


@asynccontextmanager
async def operators_client(
    made: Bench, *, org_id: UUID | None = None, role: Role = Role.SUPER_ADMIN
) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of the service's routes with a key of the bus's operators, or of an organization."""

    def wake() -> None:
        made.woken += 1

    apps_changed = partial(refresh_apps, made.directory, made.database)
    routers = build_routers(ApiDeps(made.database, made.ring, apps_changed, made.directory.in_settings, wake))
    authenticator = Authenticator(made.database, cache_seconds=0)
    app = create_app("webhook_receiver", routers=routers, health=Health(), authenticator=authenticator)
    async with client_of(app, key=await add_key(made.database, org_id, role)) as http:
        yield http


@asynccontextmanager
async def held(dsn: str, statement: str, *arguments: Any) -> AsyncIterator[Connection]:
    """Keep a statement's locks for the length of the block, as a transaction that was paused would."""
    connection = await asyncpg.connect(dsn)
    transaction = connection.transaction()
    await transaction.start()
    await connection.fetch(statement, *arguments)
    try:
        yield connection
    finally:
        await transaction.rollback()
        await connection.close()


_LAST = [datetime.now(UTC) - timedelta(seconds=1)]


def _uuid7() -> UUID:
    """A version 7 id; each is later than the one before."""
    _LAST[0] = max(datetime.now(UTC), _LAST[0] + timedelta(milliseconds=1))
    milliseconds = int(_LAST[0].timestamp() * 1_000)
    return UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62) | (uuid4().int & ((1 << 62) - 1)))
