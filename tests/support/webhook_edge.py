"""The edge for webhooks behind the real server and over a real Postgres whose network can be broken."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
from fastapi import APIRouter

from deploy.local import ports
from libs.platforms.registry import build_platforms
from libs.postgres import Database
from libs.postgres.group_commit import GroupCommit
from libs.runtime.health import Health
from libs.runtime.http import create_app
from libs.runtime.limits import ProtocolLimits
from libs.vocabulary import PlatformName
from services.webhook_receiver.api.edge import Edge, EdgeLimits
from services.webhook_receiver.models import App, Arrival
from services.webhook_receiver.usecases.arriving import Refusals, keep_arrivals
from tests.support.databases import ServiceDatabase
from tests.support.proxy import Proxy
from tests.support.sockets import serving
from tests.support.until import until

OLD, NEW, RETIRED = b"old secret", b"new secret", b"retired secret"
TOKEN = b"verify me"
BODY = json.dumps({"object": "page", "entry": [{"id": "1", "time": 1, "changes": []}]}).encode()
MAX = 20_000


def signature(body: bytes, secret: bytes = NEW) -> str:
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


@dataclass
class Directory:
    apps: dict[tuple[str, str], App] = field(default_factory=dict)

    def find(self, platform: str, app: str) -> App | None:
        return self.apps.get((platform, app))


@dataclass
class Door:
    """The edge as it is served, and a look into the table."""

    port: int
    proxy: Proxy
    http: httpx.AsyncClient
    worker: Database
    commit: GroupCommit[Arrival]
    refusals: Refusals
    woken: list[int]

    async def post(
        self, body: bytes = BODY, secret: bytes = NEW, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        headers = {"X-Hub-Signature-256": signature(body, secret)} | (headers or {})
        return await self.http.post("/webhooks/meta/1", content=body, headers=headers)

    async def rows(self) -> list[dict[str, Any]]:
        async with self.worker.acquire() as conn:
            return [dict(row.items()) for row in await conn.fetch("SELECT * FROM webhook_events ORDER BY seq")]

    async def kept(self, count: int) -> list[dict[str, Any]]:
        """What the background kept, once there are so many rows."""

        async def there() -> bool:
            return len(await self.rows()) == count

        await until(there, f"{count} rows")
        return await self.rows()

    async def open_again(self) -> None:
        async def is_open() -> bool:
            return not self.commit.is_away

        await until(is_open, "the gate to open")


@asynccontextmanager
async def opened(
    dsns: ServiceDatabase,
    *,
    limits: EdgeLimits | None = None,
    protocol: ProtocolLimits | None = None,
    per_minute: int = 30,
    secrets: tuple[bytes, ...] = (OLD, NEW),
    **commit: Any,
) -> AsyncIterator[Door]:
    async with AsyncExitStack() as stack:
        through = urlsplit(dsns.api_dsn)
        proxy = Proxy(ports.choose(), through.port or 5432)
        proxy.start()
        stack.push_async_callback(proxy.close)
        dsn = through._replace(netloc=f"{through.username}:{through.password}@127.0.0.1:{proxy.port}").geturl()
        database = await Database.connect(dsn, role="api", application_name="edge")
        stack.callback(database.terminate)
        worker = await Database.connect(dsns.worker_dsn, role="worker", application_name="test")
        stack.push_async_callback(worker.close)
        woken: list[int] = []

        async def keep(conn: Any, batch: Any) -> None:
            await keep_arrivals(lambda: woken.append(len(batch)), conn, batch)

        made: GroupCommit[Arrival] = GroupCommit(database, keep, name="test", **commit)
        stack.push_async_callback(made.close)
        refusals = Refusals(database, per_minute=per_minute)
        stop = asyncio.Event()
        writing = asyncio.create_task(refusals.run(stop))
        webhooks = build_platforms(None)[PlatformName.META].webhooks
        assert webhooks is not None
        app = App(PlatformName.META, "1", secrets, (TOKEN,), webhooks)
        edge = Edge(
            create_app("webhook_receiver", routers=[_elsewhere()], health=Health()),
            directory=Directory({("meta", "1"): app}),
            commit=made,
            refusals=refusals,
            limits=limits or EdgeLimits(body_bytes=MAX),
        )
        port = await stack.enter_async_context(serving(edge, protocol))
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20)
        )
        yield Door(port, proxy, http, worker, made, refusals, woken)
        stop.set()
        await writing


def _elsewhere() -> APIRouter:
    router = APIRouter()

    @router.get("/v1/things")
    async def get_things() -> str:
        return "things"

    return router
