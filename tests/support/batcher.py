"""The batcher over a real database and limiter, with Meta's Graph API played by a function."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import httpx

from libs.events.assets_connections import Connection as ConnectionState
from libs.events.envelope import Envelope, new_event_id
from libs.events.ingest_accepted import ApiRequestAccepted
from libs.messaging.messages import Message
from libs.platforms.meta.settings import MetaSettings
from libs.platforms.registry import PlatformSettings, build_platforms
from libs.postgres import Connection, Database
from libs.quota.limiter import Limiter
from libs.security.key_file import new_key
from libs.security.sealing import KeyRing, connection_aad
from libs.vocabulary import ConnectionStatus, PlatformName
from services.batcher.handlers import Deps, every_flush_interval, on_api_request_accepted, on_connection, on_due_calls
from services.batcher.usecases.settling import Limits
from tests.support.databases import ServiceDatabase

LIMITS = Limits(
    max_attempts=3,
    retry_base_seconds=2.0,
    retry_cap_seconds=60.0,
    give_up_seconds=3_600.0,
    connection_wait_seconds=60.0,
    token_wait_seconds=900.0,
)
Item = dict[str, Any] | None
Answer = Callable[[str], Item]


def good(object_id: str) -> Item:
    return {"code": 200, "headers": [], "body": json.dumps({"id": object_id, "name": f"Name of {object_id}"})}


def error_item(status: int, code: int, subcode: int | None = None) -> Item:
    error = {"message": "refused", "type": "OAuthException", "code": code, "error_subcode": subcode}
    return {"code": status, "headers": [], "body": json.dumps({"error": error})}


@dataclass
class Graph:
    """Stands in for Meta: answers batches item by item, and remembers them."""

    item: Answer = good
    whole: Callable[[list[str], str], httpx.Response | None] | None = None
    """Answers the whole call when it gives something; gets the object ids and the token."""
    before: Callable[[], Any] | None = None
    """Awaited while a call is on its way."""
    batches: list[list[str]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        form = parse_qs(request.content.decode())
        ids = [urlsplit(item["relative_url"]).path.split("/")[-1] for item in json.loads(form["batch"][0])]
        token = form["access_token"][0]
        self.batches.append(ids)
        self.tokens.append(token)
        if self.before is not None:
            await self.before()
        whole = self.whole(ids, token) if self.whole is not None else None
        return whole if whole is not None else httpx.Response(200, json=[self.item(each) for each in ids])

    @property
    def units(self) -> int:
        return sum(len(batch) for batch in self.batches)


@dataclass
class Bench:
    """A batcher without its process: what the loops would call is called by the test."""

    database: Database
    deps: Deps
    graph: Graph
    ring: KeyRing
    org_id: UUID = field(default_factory=uuid4)
    connection_id: UUID = field(default_factory=uuid4)
    app_id: str = "4711"
    offset: int = 0

    async def connect(
        self,
        *,
        version: int = 1,
        token: str = "token-1",
        status: ConnectionStatus = ConnectionStatus.HEALTHY,
        org_id: UUID | None = None,
        connection_id: UUID | None = None,
    ) -> None:
        """Let the batcher learn a state of the connection."""
        org = org_id or self.org_id
        connection = connection_id or self.connection_id
        state = ConnectionState(
            connection_id=connection,
            org_id=org,
            platform=PlatformName.META,
            name="test",
            app_id=self.app_id,
            status=status,
            scopes=(),
            expires_at=None,
            sealed_access_token=self.ring.seal(token, aad=connection_aad(org, connection, "access_token")),
            updated_at=datetime.now(UTC),
        )
        await self._handle_connection(state, version, org, connection)

    async def disconnect(self, *, version: int) -> None:
        """Let the batcher read the connection's tombstone."""
        await self._handle_connection(None, version, self.org_id, self.connection_id)

    async def _handle_connection(
        self, state: ConnectionState | None, version: int, org_id: UUID, connection_id: UUID
    ) -> None:
        envelope = Envelope(
            new_event_id(), "connection.v1", "platformbus/asset_sync", datetime.now(UTC), version=version
        )
        message = Message(envelope, state, f"{org_id}/{connection_id}", "assets.connections", 0, self._next())
        async with self.database.transaction() as conn:
            await on_connection(conn, [message])

    async def ask(self, *object_ids: str, **changes: Any) -> list[UUID]:
        """Ask for objects; give the requests' ids."""
        messages = [self.accepted(object_id, **changes) for object_id in object_ids]
        await self.handle(messages)
        return [message.data.request_id for message in messages if isinstance(message.data, ApiRequestAccepted)]

    async def handle(self, messages: Sequence[Message]) -> None:
        async with self.database.transaction() as conn:
            await on_api_request_accepted(self.deps, conn, messages)

    def accepted(self, object_id: str, **changes: Any) -> Message:
        """Make the record of one accepted request."""
        fields: dict[str, Any] = {
            "request_id": uuid4(),
            "org_id": self.org_id,
            "source": "crm",
            "object_key": f"object-{object_id}",
            "platform": PlatformName.META,
            "connection_id": self.connection_id,
            "request_type": "get_object",
            "params": {"object_id": object_id, "fields": ["id", "name"]},
            "priority": 5,
            "max_wait_seconds": None,
            "accepted_at": datetime.now(UTC),
        }
        data = ApiRequestAccepted.model_validate({**fields, **changes})
        envelope = Envelope(
            id=new_event_id(),
            type=data.event_type,
            source="platformbus/ingest",
            time=datetime.now(UTC),
            org_id=data.org_id,
            correlation_id=f"correlation-{object_id}",
        )
        return Message(envelope, data, f"{data.org_id}/{data.object_key}", "ingest.accepted", 0, self._next())

    async def work(self, rounds: int = 100) -> int:
        """Work until nothing is due; give the number of rounds that had work."""
        for done in range(rounds):
            if not await on_due_calls(self.deps):
                return done
        raise AssertionError(f"still busy after {rounds} rounds")

    async def flush(self) -> int:
        """Make everything due that only waits for company; give how many calls."""
        return (await every_flush_interval(PlatformName.META, self.database))["calls_made_due"]

    async def results(self) -> list[dict[str, Any]]:
        """Give the events in the outbox, oldest first, each with its `type` and `key`."""
        rows = await self.fetch(
            "SELECT type, aggregateid, payload, causation_id, correlation_id FROM outbox ORDER BY id"
        )
        return [
            {
                **json.loads(row["payload"]),
                "type": row["type"],
                "key": row["aggregateid"],
                "causation_id": row["causation_id"],
                "correlation_id": row["correlation_id"],
            }
            for row in rows
        ]

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        async with self.database.acquire() as conn:
            return list(await conn.fetch(query, *args))

    async def run(self, query: str, *args: Any) -> None:
        async with self.database.acquire() as conn:
            await conn.execute(query, *args)

    async def statuses(self, table: str = "batch_request_queue") -> dict[str, int]:
        """Count the rows of a table by status."""
        rows = await self.fetch(f"SELECT status, count(*) AS n FROM {table} GROUP BY status")
        return {row["status"]: row["n"] for row in rows}

    def _next(self) -> int:
        self.offset += 1
        return self.offset


def build_bench(
    database: Database, limiter: Limiter, ring: KeyRing, *, meta: MetaSettings | None = None, **changes: Any
) -> Bench:
    """Build the batcher's dependencies around a graph that answers everything."""
    graph = Graph()
    settings = meta or MetaSettings(graph_url="https://graph.facebook.com")
    http = httpx.AsyncClient(transport=httpx.MockTransport(graph))
    fields: dict[str, Any] = {
        "database": database,
        "platforms": build_platforms(http, PlatformSettings(meta=settings)),
        "enabled": (PlatformName.META,),
        "ring": ring,
        "limiter": limiter,
        "limits": LIMITS,
        "worker": "test",
        "lease_seconds": 60.0,
        "call_timeout_seconds": 30.0,
        "retention_seconds": 86_400.0,
    }
    return Bench(database, Deps(**{**fields, **changes}), graph, ring)


@asynccontextmanager
async def open_bench(
    database: ServiceDatabase, valkey_url: str, folder: Path, *, meta: MetaSettings | None = None, **changes: Any
) -> AsyncIterator[Bench]:
    """Open what a bench needs, and close it again; its keys lie in `folder`."""
    new_key(folder / "keys.json")
    opened = await Database.connect(database.worker_dsn, role="worker", max_size=12, application_name="test")
    limiter = Limiter(valkey_url)
    try:
        yield build_bench(opened, limiter, KeyRing.from_file(folder / "keys.json"), meta=meta, **changes)
    finally:
        await limiter.close()
        await opened.close()


__all__ = ["LIMITS", "Bench", "Connection", "Graph", "build_bench", "error_item", "good", "open_bench"]
