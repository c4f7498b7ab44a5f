from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import REGISTRY

from libs.events.envelope import new_event_id
from libs.vocabulary import AccountRef
from services.ingest.handlers import jobs
from services.ingest.usecases import webhooks
from services.ingest.usecases.webhooks import keep_webhooks, prune_webhooks
from tests.support.databases import Databases
from tests.support.ingest import DEPS, Ingest, IngestServer, a_webhook, an_ingest_server

pytestmark = pytest.mark.db


@pytest.fixture(scope="module")
async def server(databases: Databases) -> AsyncIterator[IngestServer]:
    async with an_ingest_server(databases) as made:
        yield made


@pytest.fixture
async def ingest(server: IngestServer) -> Ingest:
    return await server.fresh()


def event_id_of(at: datetime) -> str:
    """The first of the version 7 ids that are made at that time."""
    return str(UUID(int=int(at.timestamp() * 1_000) << 80 | 0x7 << 76 | 0x2 << 62))


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("ingest_webhooks_total", {"platform": "meta", "outcome": outcome}) or 0.0


async def test_each_event_is_kept_once_though_it_comes_again(ingest: Ingest) -> None:
    before, repeated = counted("kept"), counted("repeated")
    first, second = a_webhook(ingest, position=0), a_webhook(ingest, position=1)
    async with ingest.worker.transaction() as conn:
        await keep_webhooks(conn, [("e1", first), ("e2", second)])
        await keep_webhooks(conn, [("e2", second), ("e3", second.model_copy(update={"position": 2}))])
    rows = await ingest.rows("SELECT event_id, position FROM webhooks ORDER BY event_id")
    assert [(row["event_id"], row["position"]) for row in rows] == [("e1", 0), ("e2", 1), ("e3", 2)]
    assert (counted("kept") - before, counted("repeated") - repeated) == (3, 1)


async def test_values_of_any_json_are_kept(ingest: Ingest) -> None:
    values: list[Any] = [None, True, 7, 1.5, "text", [], {}, {"a": [{"b": "ä\u2028'\\"}]}, "x" * 900_000, float("inf")]
    async with ingest.worker.transaction() as conn:
        await keep_webhooks(conn, [(f"e{place}", a_webhook(ingest, value=value)) for place, value in enumerate(values)])
        await keep_webhooks(conn, [])
    rows = await ingest.rows("SELECT jsonb_typeof(value) AS kind FROM webhooks ORDER BY event_id")
    kinds = ["null", "boolean", "number", "number", "string", "array", "object", "object", "string", "null"]
    assert [row["kind"] for row in rows] == kinds


async def test_what_is_old_is_forgotten_in_parts_and_the_rest_stays(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "PRUNE_ROWS", 3)
    now, event_ids = datetime.now(UTC), [new_event_id() for _ in range(7)]
    async with ingest.worker.transaction() as conn:
        await keep_webhooks(conn, [(event_id, a_webhook(ingest)) for event_id in event_ids])
    assert await prune_webhooks(ingest.worker, 30, now=now + timedelta(days=29, hours=23)) == {"webhooks_deleted": 0}
    later = now + timedelta(days=31)
    young = a_webhook(ingest, account=AccountRef("page", "2"))
    async with ingest.worker.transaction() as conn:
        await keep_webhooks(conn, [(event_id_of(later), young)])
    assert await prune_webhooks(ingest.worker, 30, now=later) == {"webhooks_deleted": 7}
    assert [row["event_id"] for row in await ingest.rows("SELECT event_id FROM webhooks")] == [event_id_of(later)]


async def test_what_was_delivered_long_ago_and_published_just_now_is_kept(ingest: Ingest) -> None:
    """An organization that connects late gets by a replay what came weeks before."""
    now = datetime.now(UTC)
    async with ingest.worker.transaction() as conn:
        await keep_webhooks(conn, [(new_event_id(), a_webhook(ingest, received_at=now - timedelta(days=60)))])
    assert await prune_webhooks(ingest.worker, 8, now=now) == {"webhooks_deleted": 0}


def test_forgetting_is_a_job() -> None:
    assert "prune_webhooks" in {job.name for job in jobs(DEPS)}
