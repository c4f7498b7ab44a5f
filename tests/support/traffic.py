"""Callers of platformbus: an organization with its key, producer and connection, and the two ways in.

Both senders behave as a caller should: they try again with the same idempotency key until they have an answer.
"""

import asyncio
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from libs.postgres.schemas import SCHEMAS
from services.cli.bootstrap import bootstrap_key
from tests.support.system import System
from tests.support.until import until

_ANSWER_SECONDS = 300.0
_PAUSE_SECONDS = 0.05
_LIMITS = httpx.Limits(max_connections=32, max_keepalive_connections=32)
_TRY_AGAIN = (409, 429, 502, 503, 504)


class Refused(AssertionError):  # noqa: N818  reads as the fact it reports
    """A service answered that it will not, or failed in a way that trying again does not mend."""


@dataclass(frozen=True, slots=True)
class Organization:
    """One customer, ready to ask."""

    org_id: str
    key: str
    source: str
    connection_id: str
    objects: tuple[str, ...]
    """Ids of objects that its token may read."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of a caller's, known by its idempotency key."""

    idempotency_key: str
    object_key: str
    object_id: str
    way: str
    """`http` or `kafka`."""
    priority: int = 5
    max_wait_seconds: float | None = None


@dataclass(slots=True)
class Client:
    """HTTP with a key, trying again while a service is away."""

    urls: Mapping[str, str]
    key: str
    org_id: str | None = None
    http: httpx.AsyncClient = field(
        default_factory=lambda: httpx.AsyncClient(trust_env=False, timeout=15, limits=_LIMITS)
    )

    async def ask(
        self, service: str, method: str, path: str, *, body: object = None, idempotency_key: str | None = None
    ) -> Any:
        """The answer's JSON. Raises: Refused with the problem document; TimeoutError with what was said last."""
        headers = {"Authorization": f"Bearer {self.key}"}
        if self.org_id:
            headers["X-Organization-Id"] = self.org_id
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        said = "nothing"
        deadline = time.monotonic() + _ANSWER_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = await self.http.request(method, self.urls[service] + path, json=body, headers=headers)
            except httpx.HTTPError as error:
                said = repr(error)
            else:
                if answer.status_code < 400:
                    return answer.json() if answer.content else None
                said = f"{method} {path}: {answer.status_code} {answer.text}"
                if answer.status_code not in _TRY_AGAIN:
                    raise Refused(said)
            await asyncio.sleep(_PAUSE_SECONDS)
        raise TimeoutError(said)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self.http.aclose()


async def make_operator(system: System) -> Client:
    """A client with an operators' key that every service knows."""
    dsn = system.environment["INGEST_WORKER_DSN"]
    key, made = await bootstrap_key(dsn, name="tests", force=True, dry_run=False)
    await _known_everywhere(system, key.key_id)
    return Client(system.urls, made.text)


async def make_organization(system: System, operator: Client, name: str) -> Organization:
    """An organization with a key, a producer and a connection that every service knows."""
    made = await operator.ask("ingest", "POST", "/v1/organizations", body={"name": name})
    org_id = made["org_id"]
    source = f"tests/{name}"
    producer = {"source": source, "org_ids": [org_id], "kinds": ["api_request"], "active": True}
    await operator.ask("ingest", "POST", "/v1/producers", body=producer)
    key = await operator.ask("ingest", "POST", "/v1/keys", body={"name": name, "role": "admin", "org_id": org_id})
    await _known_everywhere(system, uuid.UUID(key["key_id"]))
    token, objects = await _token_and_objects(system)
    wanted = {"platform": "meta", "name": name, "access_token": token["access_token"], "app_id": token["app"]}
    async with Client(system.urls, key["key"]) as client:
        idempotency_key = f"connection-{org_id}"
        connection = await client.ask(
            "asset_sync", "POST", "/v1/connections", body=wanted, idempotency_key=idempotency_key
        )
    await _connection_known(system, connection["id"])
    return Organization(org_id, key["key"], source, connection["id"], tuple(objects))


async def name_accounts(
    system: System, operator: Client, organization: Organization, accounts: Sequence[tuple[str, str]]
) -> None:
    """Say of which accounts the organization's connection is, as an operator; return when the receiver knows."""
    body = {"accounts": [{"type": kind, "id": account} for kind, account in accounts]}
    async with Client(operator.urls, operator.key, organization.org_id) as client:
        await client.ask("asset_sync", "PUT", f"/v1/connections/{organization.connection_id}/accounts", body=body)

    async def is_known() -> bool:
        query = "SELECT 1 FROM webhooks.connection_accounts WHERE connection_id = $1::text::uuid"
        return len(await system.rows(query, organization.connection_id)) == len(accounts)

    await until(is_known, "webhook_receiver to know the accounts")


def request_body(organization: Organization, ask: Ask) -> dict[str, Any]:
    """The body of `POST /v1/requests`."""
    return {"kind": "api_request", "object_key": ask.object_key, "payload": _payload(organization, ask)}


async def send_by_http(client: Client, organization: Organization, ask: Ask) -> Any:
    return await client.ask(
        "ingest", "POST", "/v1/requests", body=request_body(organization, ask), idempotency_key=ask.idempotency_key
    )


async def send_by_kafka(producer: AIOKafkaProducer, organization: Organization, ask: Ask) -> None:
    """Publish `request.submitted` until Kafka has it; its `ce_id` differs each time, its idempotency key does not."""
    deadline = time.monotonic() + _ANSWER_SECONDS
    while True:
        try:
            await _publish(producer, organization, ask)
        except KafkaError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            return


async def _publish(producer: AIOKafkaProducer, organization: Organization, ask: Ask) -> None:
    headers = {
        "ce_id": str(uuid.uuid4()),
        "ce_type": "request.submitted.v1",
        "ce_source": organization.source,
        "ce_specversion": "1.0",
        "ce_time": datetime.now(UTC).isoformat(),
        "content-type": "application/json",
        "ce_orgid": organization.org_id,
        "ce_idempotencykey": ask.idempotency_key,
    }
    body = {"kind": "api_request", "org_id": organization.org_id, "payload": _payload(organization, ask)}
    await producer.send_and_wait(
        "requests",
        json.dumps(body).encode(),
        key=ask.object_key.encode(),
        headers=[(name, value.encode()) for name, value in headers.items()],
    )


@dataclass(frozen=True, slots=True)
class Heard:
    """One record of a topic, as a consumer of the results reads it."""

    event_id: str
    type: str
    body: Any


class Listener:
    """Reads a topic from its end on, without a group, and keeps everything: the history of the outside."""

    def __init__(self, bootstrap: str, *topics: str) -> None:
        self._consumer = AIOKafkaConsumer(*topics, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
        self.heard: list[Heard] = []
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._consumer.start()
        self._task = asyncio.create_task(self._listen())

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._consumer.stop()

    async def until(self, enough: Any, seconds: float) -> None:
        """Return when `enough(heard)` is true. Raises: TimeoutError."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(lambda: enough(self.heard))

    async def _listen(self) -> None:
        async for record in self._consumer:
            headers = {name: value.decode() for name, value in record.headers}
            body = json.loads(record.value) if record.value else None
            async with self._changed:
                self.heard.append(Heard(headers["ce_id"], headers["ce_type"], body))
                self._changed.notify_all()


def _payload(organization: Organization, ask: Ask) -> dict[str, Any]:
    return {
        "platform": "meta",
        "connection_id": organization.connection_id,
        "request_type": "get_object",
        "params": {"object_id": ask.object_id, "fields": ["id", "name"]},
        "priority": ask.priority,
        "max_wait_seconds": ask.max_wait_seconds,
    }


async def _token_and_objects(system: System) -> tuple[dict[str, Any], list[str]]:
    """A valid user token of the sandbox's world, and what it may read: the campaigns of its biggest ad account."""
    meta = (await system.world())["platforms"]["meta"]
    token = next(t for t in meta["tokens"] if t["state"] == "valid" and t["kind"] == "user")
    seen = {(one["type"], one["id"]) for one in token["sees"]}
    accounts = [a for a in meta["accounts"] if a["type"] == "ad_account" and (a["type"], a["id"]) in seen]
    biggest = max(accounts, key=lambda account: account["children"].get("campaigns", 0))
    objects = []
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        for child in ("campaigns", "adsets", "ads"):
            address = f"{system.sandbox_url}/_sandbox/world/meta/ad_account/{biggest['id']}/{child}"
            objects += [item["id"] for item in (await client.get(address)).json()["items"]]
    return token, objects


async def _known_everywhere(system: System, key_id: uuid.UUID) -> None:
    """Return when every service has a key that ingest announced, and its organization: it comes to each by Kafka."""
    knows = """
        SELECT FROM {}.identity_api_keys AS keys
        WHERE key_id = $1 AND (org_id IS NULL OR EXISTS (
            SELECT FROM {}.identity_organizations AS organizations WHERE organizations.org_id = keys.org_id
        ))
    """

    async def is_known() -> bool:
        return all([await system.rows(knows.format(schema, schema), key_id) for schema in SCHEMAS.values()])

    await until(is_known, "every service to know a new key")


async def _connection_known(system: System, connection_id: str) -> None:
    """Return when everybody who follows connections has one that asset_sync announced."""
    knows = "SELECT FROM {}.connections WHERE connection_id = $1::text::uuid"

    async def is_known() -> bool:
        return all(
            [await system.rows(knows.format(schema), connection_id) for schema in ("ingest", "batching", "webhooks")]
        )

    await until(is_known, "every service to know a new connection")
