"""Ids of deliveries, and the sample of what is refused: bounded, in the background, never in anybody's way."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from libs.postgres import Database
from services.webhook_receiver.metrics import REFUSALS_SEEN
from services.webhook_receiver.models import Arrival
from services.webhook_receiver.usecases.arriving import Refusals, new_delivery_id
from tests.support.databases import ServiceDatabase
from tests.support.until import until

pytestmark = pytest.mark.db


@pytest.fixture
async def database(webhook_receiver_database: ServiceDatabase) -> AsyncIterator[Database]:
    made = await Database.connect(webhook_receiver_database.api_dsn, role="api", application_name="test")
    yield made
    made.terminate()


def arrival(app: str = "1", raw: bytes = b"body") -> Arrival:
    delivery_id, received_at = new_delivery_id()
    return Arrival(delivery_id, received_at, "meta", app, 0, "sha256=00", "{}", raw, None, None, None)


def seen(outcome: str) -> float:
    value: float = REFUSALS_SEEN.labels(outcome)._value.get()
    return value


async def kept(dsns: ServiceDatabase) -> dict[str, int]:
    database = await Database.connect(dsns.worker_dsn, role="worker", application_name="test")
    async with database.acquire() as conn:
        rows = await conn.fetch("SELECT app, count(*) AS count FROM webhook_events GROUP BY app")
    await database.close()
    return {row["app"]: row["count"] for row in rows}


async def run_through(refusals: Refusals) -> None:
    """Start the background and tell it to stop: what waits is written."""
    stop = asyncio.Event()
    stop.set()
    await refusals.run(stop)


def test_ids_are_unique_and_have_the_order_of_their_times() -> None:
    made = [new_delivery_id() for _ in range(10_000)]
    assert len({delivery_id for delivery_id, _ in made}) == 10_000
    assert {delivery_id.version for delivery_id, _ in made} == {7}
    assert {delivery_id.variant for delivery_id, _ in made} == {"specified in RFC 4122"}
    times = [delivery_id.int >> 80 for delivery_id, _ in made]
    assert times == sorted(times)
    assert abs(made[0][1] - datetime.now(UTC)) < timedelta(minutes=1)


async def test_each_app_has_its_own_number_a_minute(
    webhook_receiver_database: ServiceDatabase, database: Database
) -> None:
    refusals, before = Refusals(database, per_minute=2), seen("only_counted")
    for app in ("1", "1", "1", "2"):
        refusals.keep(arrival(app), "signature_wrong")
    assert not refusals.wants("meta", "1")
    assert refusals.wants("meta", "2")
    await run_through(refusals)
    assert await kept(webhook_receiver_database) == {"1": 2, "2": 1}
    assert seen("only_counted") == before + 1


async def test_what_waits_to_be_written_is_bounded(
    webhook_receiver_database: ServiceDatabase, database: Database
) -> None:
    refusals = Refusals(database, max_waiting=3)
    for _ in range(10):
        refusals.keep(arrival(), "signature_wrong")
    await run_through(refusals)
    assert await kept(webhook_receiver_database) == {"1": 3}


async def test_a_sample_that_cannot_be_written_is_given_up_and_the_next_one_is_tried(
    webhook_receiver_database: ServiceDatabase, database: Database
) -> None:
    refusals, before, stop = Refusals(database), seen("failed"), asyncio.Event()
    running = asyncio.create_task(refusals.run(stop))
    refusals.keep(arrival(app="not one word\x00"), "signature_wrong")
    refusals.keep(arrival(), "signature_wrong")

    async def written() -> bool:
        return await kept(webhook_receiver_database) == {"1": 1}

    await until(written, "the second sample")
    assert seen("failed") == before + 1
    stop.set()
    await running


async def test_the_log_has_one_line_for_all_refusals_of_a_minute(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    refusals = Refusals(database)
    for _ in range(1_000):
        refusals.count("meta", "signature_wrong")
    with caplog.at_level(logging.WARNING):
        refusals.log_summary()
        refusals.log_summary()
    (record,) = caplog.records
    assert record.__dict__["refused"] == {"meta signature_wrong": 1_000}
