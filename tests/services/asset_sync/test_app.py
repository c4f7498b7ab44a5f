"""The service as its composition root builds it: a key arrives by Kafka, a connection leaves by Kafka."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from libs.events.assets_connections import Connection as ConnectionState
from libs.events.envelope import decode
from libs.events.ingest_identities import ApiKey, Organization
from libs.messaging.admin import apply_topics
from libs.messaging.settings import KafkaSettings
from libs.postgres import Database
from libs.runtime.service import ServiceApp
from libs.security.api_keys import new_api_key
from libs.security.key_file import new_key
from libs.security.sealing import KeyRing, connection_aad
from libs.vocabulary import OrgId, PlatformName, Role
from services.asset_sync.app import build
from services.asset_sync.models import Actor, KnownToken, NewConnection
from services.asset_sync.usecases.connecting import connect
from tests.support.asgi import client_of
from tests.support.asset_sync import LONG_AGO, TOKEN
from tests.support.bus import headers_for, publish, read_topic, until
from tests.support.databases import ServiceDatabase

pytestmark = [pytest.mark.db, pytest.mark.kafka]


@pytest.fixture
async def service(
    asset_sync_database: ServiceDatabase, kafka_bootstrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ServiceApp]:
    new_key(tmp_path / "kek.json")
    for name, value in {
        "SECRETS_KEK_FILE": str(tmp_path / "kek.json"),
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "ASSET_SYNC_WORKER_DSN": asset_sync_database.worker_dsn,
        "ASSET_SYNC_API_DSN": asset_sync_database.api_dsn,
        "META_GRAPH_URL": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    await apply_topics(KafkaSettings(bootstrap_servers=kafka_bootstrap, replication_factor=1))
    made = await build()
    async with running(made):
        yield made


@asynccontextmanager
async def running(service: ServiceApp) -> AsyncIterator[None]:
    stop = asyncio.Event()
    tasks = [asyncio.create_task(_run(part.run, stop)) for part in service.parts]
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 60)
        await service.close()


async def _run(run: object, stop: asyncio.Event) -> None:
    assert callable(run)
    await run(stop)


async def test_a_key_arrives_by_kafka_and_a_connection_leaves_by_kafka(
    service: ServiceApp, asset_sync_database: ServiceDatabase, kafka_bootstrap: str, tmp_path: Path
) -> None:
    org_id, made = uuid4(), new_api_key()
    organization = Organization(org_id=org_id, name="Label", active=True, created_at=LONG_AGO)
    key = ApiKey(
        key_id=uuid4(), org_id=org_id, name="ci", role=Role.ADMIN, key_hash=made.key_hash, hint=made.hint,
        expires_at=None, revoked_at=None, created_at=LONG_AGO,
    )  # fmt: skip
    records = [
        (str(org_id).encode(), organization.model_dump_json().encode(), headers_for(Organization, version=1)),
        (f"{org_id}/{key.key_id}".encode(), key.model_dump_json().encode(), headers_for(ApiKey, version=1)),
    ]
    await publish(kafka_bootstrap, "ingest.identities", records)
    async with client_of(service.app, key=made.text) as http:
        await until(lambda: answers(http), "the key has arrived", seconds=60)
        ring = KeyRing.from_file(tmp_path / "kek.json")
        database = await Database.connect(asset_sync_database.worker_dsn, role="worker", application_name="test")
        async with database.transaction() as conn:
            connected = await connect(
                conn,
                ring,
                OrgId(org_id),
                NewConnection(PlatformName.META, "Label's ads", "1001", TOKEN),
                KnownToken(TOKEN, "user", "1001", "77", (), None),
                idempotency_key=None,
                actor=Actor(None, None),
                now=LONG_AGO,
                expiring=timedelta(days=7),
            )
        await database.close()
        listed = (await http.get("/v1/connections")).json()["connections"]
        assert [each["id"] for each in listed] == [str(connected.row.id)]
    state = await published(kafka_bootstrap, f"{org_id}/{connected.row.id}")
    aad = connection_aad(org_id, connected.row.id, "access_token")
    assert ring.open(state.sealed_access_token, aad=aad) == TOKEN


async def answers(http: httpx.AsyncClient) -> bool:
    return (await http.get("/v1/connections")).status_code == 200


async def published(bootstrap: str, key: str) -> ConnectionState:
    """Wait for a connection's first record and give its state, which the envelope must vouch for."""
    async with asyncio.timeout(60):
        while True:
            for record in await read_topic(bootstrap, "assets.connections"):
                if record.key == key.encode():
                    envelope, state = decode(record.headers, record.value)
                    assert isinstance(state, ConnectionState)
                    assert (envelope.version, str(envelope.org_id)) == (1, key.split("/")[0])
                    assert envelope.source == "platformbus/asset_sync"
                    return state
