"""The service as its composition root builds it: a connection arrives by Kafka, what was pushed leaves by Kafka."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from libs.events.assets_connections import Connection as ConnectionState
from libs.events.envelope import decode
from libs.events.webhooks_events import WebhookReceived
from libs.messaging.admin import apply_topics
from libs.messaging.settings import KafkaSettings
from libs.runtime.service import ServiceApp
from libs.security.key_file import new_key
from libs.vocabulary import AccountRef, ConnectionStatus, PlatformName
from services.webhook_receiver.app import build
from tests.support.bus import headers_for, publish, read_topic, until
from tests.support.databases import ServiceDatabase
from tests.support.webhook_receiver import LONG_AGO, SEALED

pytestmark = [pytest.mark.db, pytest.mark.kafka]

SECRET, TOKEN = "secret-of-the-settings", "token-of-the-settings"
FEED = {
    "object": "page",
    "entry": [
        {
            "id": "4711",
            "time": 1_700_000_000,
            "changes": [
                {
                    "field": "feed",
                    "value": {
                        "item": "status",
                        "verb": "add",
                        "post_id": "4711_1",
                        "from": {"id": "9", "name": "A"},
                        "created_time": 1_700_000_000,
                        "message": "hello",
                    },
                }
            ],
        }
    ],
}


@pytest.fixture
async def service(
    webhook_receiver_database: ServiceDatabase, kafka_bootstrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ServiceApp]:
    new_key(tmp_path / "kek.json")
    for name, value in {
        "SECRETS_KEK_FILE": str(tmp_path / "kek.json"),
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "WEBHOOK_RECEIVER_WORKER_DSN": webhook_receiver_database.worker_dsn,
        "WEBHOOK_RECEIVER_API_DSN": webhook_receiver_database.api_dsn,
        "META_APP_SECRETS": json.dumps({"1001": SECRET}),
        "WEBHOOK_VERIFY_TOKENS": json.dumps({"meta/1001": TOKEN}),
    }.items():
        monkeypatch.setenv(name, value)
    await apply_topics(KafkaSettings(bootstrap_servers=kafka_bootstrap, replication_factor=1))
    made = await build()
    async with running(made):
        yield made


@asynccontextmanager
async def running(service: ServiceApp) -> AsyncIterator[None]:
    stop = asyncio.Event()
    tasks = [asyncio.ensure_future(part.run(stop)) for part in service.parts]
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 60)
        await service.close()


async def test_a_connection_arrives_by_kafka_and_what_was_pushed_leaves_by_kafka(
    service: ServiceApp, webhook_receiver_database: ServiceDatabase, kafka_bootstrap: str
) -> None:
    org_id, connection_id = uuid4(), uuid4()
    state = ConnectionState(
        connection_id=connection_id,
        org_id=org_id,
        platform=PlatformName.META,
        name="Label's page",
        app_id="1001",
        status=ConnectionStatus.HEALTHY,
        scopes=(),
        expires_at=None,
        sealed_access_token=SEALED,
        updated_at=LONG_AGO,
        accounts=(AccountRef("page", "4711"),),
        created_at=LONG_AGO,
    )
    record = (
        f"{org_id}/{connection_id}".encode(),
        state.model_dump_json().encode(),
        headers_for(type(state), version=1),
    )
    await publish(kafka_bootstrap, "assets.connections", [record])
    worker = await asyncpg.connect(webhook_receiver_database.worker_dsn)

    async def is_known() -> bool:
        return bool(await worker.fetchval("SELECT count(*) FROM connection_accounts WHERE org_id = $1", org_id))

    await until(is_known, "the connection has arrived", seconds=60)
    await worker.close()
    raw = json.dumps(FEED).encode()
    signature = "sha256=" + hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=service.app), base_url="http://test") as http:
        answers = [
            await http.post("/webhooks/meta/1001", content=raw, headers={"X-Hub-Signature-256": sent})
            for sent in (signature, "sha256=" + "0" * 64, signature)
        ]
        shaken = await http.get(f"/webhooks/meta/1001?hub.mode=subscribe&hub.verify_token={TOKEN}&hub.challenge=4711")
    assert [answer.status_code for answer in answers] == [200, 401, 200]
    assert (shaken.status_code, shaken.text) == (200, "4711")
    event = await received(kafka_bootstrap, f"{org_id}/meta/page:4711")
    assert (event.position, event.connection_id) == (0, connection_id)
    assert (event.object, event.field, event.change_type) == ("page", "feed", "post.created")
    assert event.value["message"] == "hello"
    worker = await asyncpg.connect(webhook_receiver_database.worker_dsn)

    async def are_ended() -> bool:
        rows = await worker.fetch("SELECT status, signature_valid, reason FROM webhook_events ORDER BY status")
        wanted = [
            ("duplicate", True, "was published before"),
            ("ignored", False, "signature_wrong"),
            ("processed", True, None),
        ]
        return [tuple(row) for row in rows] == wanted

    await until(are_ended, "every delivery has ended as it should", seconds=60)
    await worker.close()
    assert len(await records(kafka_bootstrap, f"{org_id}/meta/page:4711")) == 1


async def received(bootstrap: str, key: str) -> WebhookReceived:
    """Wait for the first event of an account, which its envelope must vouch for."""
    async with asyncio.timeout(60):
        while not (found := await records(bootstrap, key)):
            await asyncio.sleep(0)
    envelope, event = decode(found[0].headers, found[0].value)
    assert isinstance(event, WebhookReceived)
    assert str(envelope.org_id) == key.split("/")[0]
    assert envelope.correlation_id == str(event.webhook_id)
    return event


async def records(bootstrap: str, key: str) -> list[Any]:
    """Give what is on the topic under this key."""
    return [record for record in await read_topic(bootstrap, "webhooks.events") if record.key == key.encode()]


async def test_every_part_that_scales_apart_is_there(service: ServiceApp) -> None:
    assert {part.name for part in service.parts} == {"http", "consumers", "workers", "jobs", "relay"}
