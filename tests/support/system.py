"""The whole of platformbus as processes: the sandbox and every service, split by parts, against real servers."""

import json
import secrets
import sys
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import asyncpg
import httpx

from deploy.local import ports
from libs.events.topics import TOPICS
from libs.messaging.admin import apply_topics
from libs.messaging.settings import KafkaSettings
from libs.postgres.schemas import SCHEMAS
from tests.support.databases import TestDatabase, dsn_to
from tests.support.processes import ROOT, Fleet, Spec

WHOLE: Mapping[str, tuple[str, str | None]] = {name: (name, None) for name in SCHEMAS}
"""One process per service."""

SPLIT: Mapping[str, tuple[str, str | None]] = {
    f"{service}-{part}": (service, parts)
    for service in SCHEMAS
    for part, parts in {"http": "http,jobs", "consumers": "consumers", "relay": "relay", "workers": "workers"}.items()
    if part != "workers" or service in ("batcher", "webhook_receiver")
}
"""A process per part, as they are scaled in production."""


class Addresses(Protocol):
    """Where the test reaches the servers: the session's `Servers`, or a `Cluster` of its own."""

    @property
    def kafka_bootstrap(self) -> str: ...
    @property
    def valkey_url(self) -> str: ...


@dataclass(slots=True)
class System:
    """Everything that runs, and how to talk to it. Built by `System.start`, ended by `close`."""

    folder: Path
    kafka_bootstrap: str
    database: TestDatabase
    fleet: Fleet
    urls: dict[str, str]
    sandbox_url: str
    environment: dict[str, str]
    operator_key: str = ""
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @classmethod
    async def start(
        cls,
        folder: Path,
        servers: Addresses,
        database: TestDatabase,
        *,
        layout: Mapping[str, tuple[str, str | None]] = WHOLE,
        extra: Mapping[str, str] | None = None,
        own: Mapping[str, Mapping[str, str]] | None = None,
    ) -> Self:
        """Apply the topics, start the sandbox, then the services, and return when all are ready.

        `extra` comes before what the services are told otherwise, such as the addresses of servers; `own` is for
        single processes, by their names.
        """
        chosen: list[int] = []
        for _ in range(len(layout) + 1):
            chosen.append(ports.choose(chosen))
        sandbox = f"http://127.0.0.1:{chosen[0]}"
        fleet = Fleet(folder)
        kek = folder / "kek.json"
        kek.write_text(json.dumps({"active": "t", "keys": {"t": b64encode(secrets.token_bytes(32)).decode()}}))
        environment = _environment(servers, database, sandbox, kek) | dict(extra or {})
        replicas = int(environment["KAFKA_REPLICATION_FACTOR"])
        await apply_topics(KafkaSettings(bootstrap_servers=servers.kafka_bootstrap, replication_factor=replicas))
        made = cls(folder, servers.kafka_bootstrap, database, fleet, {}, sandbox, environment)
        made._stack.push_async_callback(fleet.stop)
        try:
            await made._start_processes(layout, chosen, own or {})
        except BaseException:
            await made.close()
            raise
        return made

    async def _start_processes(
        self,
        layout: Mapping[str, tuple[str, str | None]],
        chosen: Sequence[int],
        told: Mapping[str, Mapping[str, str]],
    ) -> None:
        arguments = ["services.sandbox", "--port", str(chosen[0])]
        await self.fleet.start(Spec("sandbox", arguments, {}, f"{self.sandbox_url}/_sandbox/world"))
        world = await self.world()
        apps = {app["id"]: app["secret"] for app in world["platforms"]["meta"]["apps"]}
        self.environment["META_APP_SECRETS"] = json.dumps(apps)
        specs = []
        for (name, (service, only)), port in zip(layout.items(), chosen[1:], strict=True):
            url = f"http://127.0.0.1:{port}"
            if only is None or "http" in only:
                self.urls[service] = url
            own = {f"{service.upper()}_PORT": str(port), f"{service.upper()}_SPANS_FILE": str(self.spans(name))}
            arguments = [f"services.{service}", *(["--only", only] if only else [])]
            environment = {**self.environment, **own, **told.get(name, {})}
            specs.append(Spec(name, arguments, environment, f"{url}/ready"))
        await self.fleet.start(*specs)

    async def close(self) -> None:
        await self._stack.aclose()

    def spans(self, name: str) -> Path:
        return self.folder / f"{name}.spans.jsonl"

    async def world(self) -> Any:
        """What the sandbox made up."""
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            return (await client.get(f"{self.sandbox_url}/_sandbox/world")).json()

    async def rows(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Ask the database itself, past every service: the witness's view."""
        connection = await asyncpg.connect(dsn_to(self.database.admin_dsn, self.database.name))
        try:
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()


def _environment(servers: Addresses, database: TestDatabase, sandbox: str, kek: Path) -> dict[str, str]:
    made = {
        "KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap,
        "KAFKA_REPLICATION_FACTOR": "1",
        "VALKEY_URL": servers.valkey_url,
        "SECRETS_KEK_FILE": str(kek),
        "META_GRAPH_URL": f"{sandbox}/graph.facebook.com",
        "META_INSTAGRAM_URL": f"{sandbox}/graph.instagram.com",
        "META_INSTAGRAM_LOGIN_URL": f"{sandbox}/api.instagram.com",
        "META_THREADS_URL": f"{sandbox}/graph.threads.net",
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for service in SCHEMAS:
        for role in ("owner", "worker", "api"):
            made[f"{service.upper()}_{role.upper()}_DSN"] = database.dsn(service, role)
    return made


def topic_names() -> list[str]:
    return [topic.name for topic in TOPICS]


PYTHON = sys.executable
