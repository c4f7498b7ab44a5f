"""The batcher's routes over a real database, for operators and for organizations."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from libs.events.ingest_identities import ApiKey, Organization
from libs.postgres import Database
from libs.quota.limiter import Limiter
from libs.runtime.auth import Authenticator
from libs.runtime.health import Health
from libs.runtime.http import create_app
from libs.security.api_keys import new_api_key
from libs.security.identities import apply_identity
from libs.security.key_file import new_key
from libs.security.sealing import KeyRing
from libs.vocabulary import Role
from services.batcher.api import ApiDeps, build_routers
from tests.support.asgi import client_of, problem_of
from tests.support.batcher import Bench, build_bench
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db
NOW = datetime.now(UTC)


@dataclass
class Scene:
    """The routes, and a key of each kind."""

    bench: Bench
    operator: httpx.AsyncClient
    admin: httpx.AsyncClient
    """Of the bench's organization."""
    reader: httpx.AsyncClient
    """Its analyst."""
    stranger: httpx.AsyncClient
    """Admin of another organization."""


@pytest.fixture
async def scene(batcher_database: ServiceDatabase, valkey_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    new_key(tmp_path / "keys.json")
    async with AsyncExitStack() as stack:
        worker = await Database.connect(batcher_database.worker_dsn, role="worker", application_name="test")
        stack.push_async_callback(worker.close)
        api = await Database.connect(batcher_database.api_dsn, role="api", application_name="test")
        stack.push_async_callback(api.close)
        limiter = Limiter(valkey_url)
        stack.push_async_callback(limiter.close)
        bench = build_bench(worker, limiter, KeyRing.from_file(tmp_path / "keys.json"))
        deps = ApiDeps(api, worker, bench.deps.platforms, bench.deps.enabled)
        app = create_app("batcher", routers=build_routers(deps), health=Health(), authenticator=Authenticator(worker))

        async def client(org_id: UUID | None, role: Role) -> httpx.AsyncClient:
            return await stack.enter_async_context(client_of(app, key=await make_key(worker, org_id, role)))

        yield Scene(
            bench,
            operator=await client(None, Role.SUPER_ADMIN),
            admin=await client(bench.org_id, Role.ADMIN),
            reader=await client(bench.org_id, Role.ANALYST),
            stranger=await client(uuid4(), Role.ADMIN),
        )


async def make_key(database: Database, org_id: UUID | None, role: Role) -> str:
    made = new_api_key()
    key = ApiKey(
        key_id=uuid4(),
        org_id=org_id,
        name="test",
        role=role,
        key_hash=made.key_hash,
        hint=made.hint,
        expires_at=None,
        revoked_at=None,
        created_at=NOW,
    )
    async with database.transaction() as conn:
        if org_id is not None:
            organization = Organization(org_id=org_id, name="test", active=True, created_at=NOW)
            await apply_identity(conn, organization, 1)
        await apply_identity(conn, key, 1)
    return made.text


async def test_operators_see_all_and_what_was_saved(scene: Scene) -> None:
    bench = scene.bench
    await bench.connect()
    await bench.ask("1", "1", "2", max_wait_seconds=0)
    await bench.work()
    await bench.ask("3", org_id=bench.org_id)
    (meta,) = (await scene.operator.get("/v1/batches/stats")).json()["platforms"]
    assert (meta["completed"], meta["pending"], meta["failed"]) == (3, 1, 0)
    assert meta["window_totals"] == {"asks": 3, "calls": 2, "http_calls": 1, "quota_units": 2, "rate_limited": 0}
    assert meta["calls"]["waiting"] == 1
    assert (meta["paused"], meta["enabled"]) == (False, True)
    assert meta["oldest_open_ask_seconds"] >= 0


async def test_an_organization_sees_only_its_own(scene: Scene) -> None:
    await scene.bench.connect()
    await scene.bench.ask("1", "2")
    (ours,) = (await scene.reader.get("/v1/batches/stats")).json()["platforms"]
    assert ours["pending"] == 2
    assert ours["window_totals"] is None
    (theirs,) = (await scene.stranger.get("/v1/batches/stats?platform=meta")).json()["platforms"]
    assert theirs["pending"] == 0
    named = {"X-Organization-Id": str(scene.bench.org_id)}
    (chosen,) = (await scene.operator.get("/v1/batches/stats", headers=named)).json()["platforms"]
    assert (chosen["pending"], chosen["calls"]) == (2, None)


async def test_the_api_role_sees_and_changes_calls_of_its_own_connections_only(
    scene: Scene, batcher_database: ServiceDatabase
) -> None:
    await scene.bench.connect()
    await scene.bench.ask("1", "2")
    api = await Database.connect(batcher_database.api_dsn, role="api", application_name="test")
    seen = {}
    for org_id in (scene.bench.org_id, uuid4()):
        async with api.tenant_transaction(org_id) as conn:
            changed = await conn.execute("UPDATE calls SET due_at = now()")
            seen[org_id] = (await conn.fetchval("SELECT count(*) FROM calls"), changed)
    await api.close()
    assert list(seen.values()) == [(2, "UPDATE 2"), (0, "UPDATE 0")]


async def test_a_flush_makes_waiting_calls_due(scene: Scene) -> None:
    await scene.bench.connect()
    await scene.bench.ask("1", "2")
    dry = await scene.admin.post("/v1/batches:flush", json={"platform": "meta", "dry_run": True})
    assert dry.json() == {"platform": "meta", "connections": 1, "calls_made_due": 2, "dry_run": True}
    assert await scene.bench.work() == 0
    theirs = await scene.stranger.post("/v1/batches:flush", json={"platform": "meta"})
    assert theirs.json()["calls_made_due"] == 0
    ours = await scene.admin.post("/v1/batches:flush", json={"platform": "meta"})
    assert ours.json()["calls_made_due"] == 2
    assert await scene.bench.work() == 1


async def test_an_operator_flushes_for_everybody(scene: Scene) -> None:
    await scene.bench.ask("1", "2")  # of a connection that is not known here yet
    answer = await scene.operator.post("/v1/batches:flush", json={"platform": "meta"})
    assert answer.json() == {"platform": "meta", "connections": 1, "calls_made_due": 2, "dry_run": False}


async def test_one_connection_can_be_flushed_by_its_owner_only(scene: Scene) -> None:
    await scene.bench.connect()
    await scene.bench.ask("1")
    body = {"platform": "meta", "connection_id": str(scene.bench.connection_id)}
    refused = problem_of(await scene.stranger.post("/v1/batches:flush", json=body), 404, "connection_unknown")
    assert refused["errors"][0]["where"] == "/connection_id"
    assert (await scene.admin.post("/v1/batches:flush", json=body)).json()["calls_made_due"] == 1


async def test_a_paused_platform_sends_nothing_until_it_is_resumed(scene: Scene) -> None:
    await scene.bench.connect()
    paused = await scene.operator.post("/v1/batches:pause", json={"platform": "meta"})
    assert paused.json() == {"platform": "meta", "paused": True, "changed": True}
    again = await scene.operator.post("/v1/batches:pause", json={"platform": "meta"})
    assert again.json()["changed"] is False
    await scene.bench.ask("1", max_wait_seconds=0)
    assert await scene.bench.work() == 0
    (meta,) = (await scene.reader.get("/v1/batches/stats")).json()["platforms"]
    assert meta["paused"] is True
    resumed = await scene.operator.post("/v1/batches:resume", json={"platform": "meta"})
    assert resumed.json() == {"platform": "meta", "paused": False, "changed": True}
    assert await scene.bench.work() == 1


async def test_what_is_not_allowed_or_malformed_is_refused_with_words(scene: Scene) -> None:
    problem_of(await scene.admin.post("/v1/batches:pause", json={"platform": "meta"}), 403, "operators_only")
    problem_of(await scene.reader.post("/v1/batches:flush", json={"platform": "meta"}), 403, "role_missing")
    for body in ({"platform": "myspace"}, {}, {"platform": "meta", "conection_id": str(uuid4())}):
        answer = await scene.admin.post("/v1/batches:flush", json=body)
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"]
    assert (await scene.admin.get("/v1/batches/stats?hours=0")).status_code == 422
    nobody = await scene.operator.get("/v1/batches/stats", headers={"X-Organization-Id": str(uuid4())})
    problem_of(nobody, 404, "organization_unknown")
