from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from libs.vocabulary import AccountRef
from services.ingest.handlers import jobs
from services.ingest.usecases import webhooks
from services.ingest.usecases.webhooks import keep_webhooks, prune_webhooks
from tests.support.databases import Databases
from tests.support.ingest import DEPS, RECEIVED_AT, Ingest, IngestServer, a_webhook, an_ingest_server

pytestmark = pytest.mark.db


@pytest.fixture(scope="module")
async def server(databases: Databases) -> AsyncIterator[IngestServer]:
    async with an_ingest_server(databases) as made:
        yield made


@pytest.fixture
async def ingest(server: IngestServer) -> Ingest:
    return await server.fresh()


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
    old = RECEIVED_AT - timedelta(days=31)
    async with ingest.worker.transaction() as conn:
        await keep_webhooks(conn, [(f"old{place}", a_webhook(ingest, received_at=old)) for place in range(7)])
        await keep_webhooks(conn, [("young", a_webhook(ingest, account=AccountRef("page", "2")))])
    assert await prune_webhooks(ingest.worker, 30, now=RECEIVED_AT) == {"webhooks_deleted": 7}
    assert [row["event_id"] for row in await ingest.rows("SELECT event_id FROM webhooks")] == ["young"]


def test_forgetting_is_a_job() -> None:
    assert "prune_webhooks" in {job.name for job in jobs(DEPS)}
