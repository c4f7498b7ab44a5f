"""Looking after connections: rotation of keys that survives a crash, ageing, announcing again, forgetting."""

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prometheus_client import REGISTRY

from libs.events.assets_connections import Connection as ConnectionState
from libs.platforms.base import TokenFacts
from libs.security.key_file import new_key, remove_key
from libs.vocabulary import Role
from services.asset_sync import metrics
from services.asset_sync.handlers import Deps, daily_forget, every_aging_interval, hourly_reseal, jobs, routes
from services.asset_sync.usecases.upkeep import announce_again, reseal_page
from tests.support.asgi import problem_of
from tests.support.asset_sync import TOKEN, World, world
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db


@pytest.fixture
async def w(asset_sync_database: ServiceDatabase, tmp_path: Path) -> AsyncIterator[World]:
    async with world(asset_sync_database, tmp_path) as made:
        yield made


def deps(w: World) -> Deps:
    return Deps(w.worker, w.ring, timedelta(days=7), 300.0)


class CrashError(Exception):
    """The process dies here."""


async def test_a_rotation_reseals_every_token_and_publishes_each_again(w: World) -> None:
    ids = [(await w.add(name=f"connection {number}"))["id"] for number in range(5)]
    new_key(w.key_file, key_id="second")
    async with await w.client(Role.SUPER_ADMIN, of_operator=True) as operator:
        plan = (await operator.post("/v1/connections:reseal", params={"dry_run": True})).json()
        assert plan == {"kek_id": "second", "resealed": 0, "failed": 0, "remaining": 5, "dry_run": True}
        done = (await operator.post("/v1/connections:reseal")).json()
        assert done == {"kek_id": "second", "resealed": 5, "failed": 0, "remaining": 0, "dry_run": False}
        again = (await operator.post("/v1/connections:reseal")).json()
        assert again["resealed"] == 0
    remove_key(w.key_file, "first")
    states = {each["subject"]: each for each in await w.published() if each["version"] == 2}
    assert sorted(states) == sorted(ids)
    for each in ids:
        assert w.opened(await w.sealed(each), each) == TOKEN
        published = ConnectionState.model_validate(states[each]["payload"]).sealed_access_token
        assert published.kek_id == "second"
        assert w.opened(published, each) == TOKEN
    audit = await w.rows("SELECT action, org_id FROM audit_log WHERE action = 'connections.resealed'")
    assert audit == [{"action": "connections.resealed", "org_id": None}]


async def test_a_rotation_that_dies_at_any_page_is_finished_by_the_next_run(w: World) -> None:
    ids = [(await w.add(name=f"connection {number}"))["id"] for number in range(5)]
    new_key(w.key_file, key_id="second")
    async with w.worker.transaction() as conn:
        page = await reseal_page(conn, w.ring, limit=2)
    assert (page.resealed, page.failed) == (2, 0)
    with pytest.raises(CrashError):
        async with w.worker.transaction() as conn:
            await reseal_page(conn, w.ring, after=page.last_id, limit=2)
            raise CrashError
    by_key = await w.rows("SELECT kek_id, version, count(*) AS count FROM connections GROUP BY 1, 2 ORDER BY 1")
    assert by_key == [
        {"kek_id": "first", "version": 1, "count": 3},
        {"kek_id": "second", "version": 2, "count": 2},
    ]
    for each in ids:  # half-way, every token still opens
        assert w.opened(await w.sealed(each), each) == TOKEN
    assert await hourly_reseal(deps(w), w.worker) == {"resealed": 3, "failed": 0}
    assert await hourly_reseal(deps(w), w.worker) == {"resealed": 0, "failed": 0}
    versions = await w.rows("SELECT DISTINCT version, kek_id FROM connections")
    assert versions == [{"version": 2, "kek_id": "second"}]
    assert len(await w.published()) == 10


async def test_a_token_that_does_not_open_is_left_and_reported_and_stops_no_other(
    w: World, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = (await w.add(name="good"))["id"], (await w.add(name="bad"))["id"]
    swapped = (await w.sealed(good)).model_dump_json()
    async with w.worker.transaction() as conn:
        await conn.execute("UPDATE connections SET sealed_access_token = $1 WHERE id = $2", swapped, UUID(bad))
    new_key(w.key_file, key_id="second")
    with caplog.at_level(logging.ERROR):
        assert await hourly_reseal(deps(w), w.worker) == {"resealed": 1, "failed": 1}
    assert "cannot be resealed" in caplog.text
    assert (await w.sealed(good)).kek_id == "second"
    assert (await w.sealed(bad)).kek_id == "first"


async def test_resealing_is_for_the_buss_own_operators(w: World) -> None:
    problem_of(await w.http.post("/v1/connections:reseal"), 403, "operators_only")


@pytest.mark.parametrize(("days", "status"), [(30.0, "healthy"), (3.0, "expiring"), (-1.0, "expired")])
async def test_a_token_ages_and_each_step_is_published_once(w: World, days: float, status: str) -> None:
    made = await w.add()
    await set_expiry(w, made["id"], days)
    marked = {"marked": 0 if status == "healthy" else 1}
    assert await every_aging_interval(deps(w), w.worker) == marked
    assert await every_aging_interval(deps(w), w.worker) == {"marked": 0}
    shown = (await w.http.get(f"/v1/connections/{made['id']}")).json()
    assert shown["status"] == status
    states = await w.published()
    assert len(states) == 1 + marked["marked"]
    assert states[-1]["payload"]["status"] == status
    assert states[-1]["version"] == shown["version"]


async def test_a_disconnected_connection_does_not_age(w: World) -> None:
    made = await w.add()
    await w.http.delete(f"/v1/connections/{made['id']}")
    await set_expiry(w, made["id"], -1)
    assert await every_aging_interval(deps(w), w.worker) == {"marked": 0}


async def test_announcing_again_repeats_state_and_tombstones_under_their_versions(w: World) -> None:
    kept, gone = await w.add(name="kept"), await w.add(name="gone")
    await w.http.post(f"/v1/connections/{kept['id']}/token", json={"access_token": TOKEN + "x"})
    await w.http.delete(f"/v1/connections/{gone['id']}", params={"forget": True})
    before = await w.published()
    async with w.worker.transaction() as conn:
        assert await announce_again(conn, datetime.now(UTC) - timedelta(days=2)) == 2
    again = (await w.published())[len(before) :]
    last = {each["subject"]: each for each in before}
    assert {each["subject"]: each for each in again} == last
    async with w.worker.transaction() as conn:
        assert await announce_again(conn, datetime.now(UTC) + timedelta(days=1)) == 0
        assert await announce_again(conn, None) == 2


async def test_what_is_old_is_forgotten(w: World) -> None:
    old, new = await w.add(name="old", headers={"Idempotency-Key": "1"}), await w.add(name="new")
    for each in (old, new):
        await w.http.delete(f"/v1/connections/{each['id']}", params={"forget": True})
    async with w.worker.transaction() as conn:
        await conn.execute("UPDATE idempotency_keys SET created_at = now() - interval '31 days'")
        await conn.execute(
            "UPDATE ended_connections SET ended_at = now() - interval '31 days' WHERE id = $1", UUID(old["id"])
        )
    assert await daily_forget(w.worker) == {"idempotency_keys": 1, "ended_connections": 1}
    assert [str(row["id"]) for row in await w.rows("SELECT id FROM ended_connections")] == [new["id"]]


async def test_connections_are_counted_by_state_and_by_how_soon_they_expire(w: World) -> None:
    w.tokens.answer = TokenFacts(True, "user", "1001", (), round(datetime.now(UTC).timestamp()) + 86_400, "77")
    await w.add()
    async with w.worker.transaction() as conn:
        await metrics.measure(conn, expiring_seconds=7 * 86_400)
    labels = {"platform": "meta", "status": "expiring"}
    assert REGISTRY.get_sample_value("connections", labels) == 1
    assert REGISTRY.get_sample_value("connections_expiring", {"platform": "meta"}) == 1


def test_the_service_reads_identities_and_declares_its_jobs(tmp_path: Path) -> None:
    names = [job.name for job in jobs(Deps(None, None, timedelta(days=7), 300.0))]  # type: ignore[arg-type]
    assert names == ["age_tokens", "reseal_connections", "reannounce_connections", "forget_old", "prune_parked"]
    assert [route.topic for route in routes()] == ["ingest.identities"]


async def set_expiry(w: World, connection_id: str, days: float) -> None:
    query: Any = "UPDATE connections SET token_expires_at = now() + make_interval(secs => $2) WHERE id = $1"
    async with w.worker.transaction() as conn:
        await conn.execute(query, UUID(connection_id), days * 86_400)


async def test_a_connection_of_an_organization_that_nobody_knows_is_still_resealed(w: World) -> None:
    async with await w.client(Role.ADMIN, uuid4()) as other:
        await other.post("/v1/connections", json={"platform": "meta", "name": "x", "access_token": TOKEN})
    new_key(w.key_file, key_id="second")
    assert await hourly_reseal(deps(w), w.worker) == {"resealed": 1, "failed": 0}
