"""What becomes of deliveries, round by round, over real tables: whom they reach, how they fail, how they repeat."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from libs.postgres import Database
from libs.vocabulary import AccountRef, ConnectionStatus
from services.webhook_receiver.handlers import keep_fresh, keep_measuring, on_due_deliveries
from services.webhook_receiver.store import listing
from tests.support.databases import ServiceDatabase
from tests.support.until import until
from tests.support.webhook_receiver import LONG_AGO, PAGE, Bench, bench, change, held

pytestmark = pytest.mark.db

INSTAGRAM = AccountRef("instagram", "17")
OURS, THEIRS = uuid4(), uuid4()


@pytest.fixture
async def receiver(webhook_receiver_database: ServiceDatabase, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(webhook_receiver_database, tmp_path) as made:
        yield made


async def test_a_delivery_is_split_and_each_change_reaches_its_organization(receiver: Bench) -> None:
    connection_id = await receiver.connect(OURS, PAGE)
    delivery_id = await receiver.receive(change("a"), change("b"))
    assert await receiver.work() == 1
    row = await receiver.delivery(delivery_id)
    assert (row["status"], row["attempts"], row["reason"], row["locked_by"]) == ("processed", 1, None, None)
    assert row["processed_at"] >= row["received_at"]
    assert await receiver.changes(delivery_id) == [("a", "processed"), ("b", "processed")]
    first, second = await receiver.published()
    assert first["aggregatetype"] == "webhooks.events"
    assert first["aggregateid"] == second["aggregateid"] == f"{OURS}/meta/page:4711"
    assert (first["type"], first["source"], first["org_id"]) == (
        "webhook.received.v1",
        "platformbus/webhook_receiver",
        OURS,
    )
    assert first["subject"] == first["correlation_id"] == str(delivery_id)
    assert [each["data"]["position"] for each in (first, second)] == [0, 1]
    assert first["data"]["connection_id"] == str(connection_id)
    assert first["data"]["webhook_id"] == str(delivery_id)
    assert first["data"]["account"] == {"type": "page", "id": "4711"}
    assert first["data"]["value"] == change("a")
    kept = await receiver.rows("SELECT outbox_event_id FROM webhook_keys ORDER BY position")
    assert [row["outbox_event_id"] for row in kept] == [first["event_id"], second["event_id"]]


async def test_a_repeated_delivery_publishes_nothing_new(receiver: Bench) -> None:
    await receiver.connect(OURS, PAGE)
    await receiver.receive(change("a"))
    again = await receiver.receive(change("a"))
    await receiver.work()
    later = await receiver.receive(change("a"), change("b"))
    await receiver.work()
    assert await receiver.keys_published() == ["a", "b"]
    assert await receiver.status(again) == "duplicate"
    assert await receiver.changes(later) == [("a", "duplicate"), ("b", "processed")]
    assert await receiver.status(later) == "processed"


async def test_a_change_that_is_told_twice_in_one_delivery_is_published_once(receiver: Bench) -> None:
    await receiver.connect(OURS, PAGE)
    delivery_id = await receiver.receive(change("a"), change("a"))
    await receiver.work()
    assert await receiver.keys_published() == ["a"]
    assert await receiver.changes(delivery_id) == [("a", "processed"), ("a", "duplicate")]


async def test_two_organizations_with_one_page_get_one_event_each(receiver: Bench) -> None:
    connections = {OURS: await receiver.connect(OURS, PAGE), THEIRS: await receiver.connect(THEIRS, PAGE, INSTAGRAM)}
    await receiver.connect(OURS, PAGE)
    await receiver.receive(change("a"), change("b", INSTAGRAM))
    await receiver.work()
    assert await receiver.keys_published(OURS) == ["a"]
    assert await receiver.keys_published(THEIRS) == ["a", "b"]
    for event in await receiver.published():
        if event["org_id"] == THEIRS:
            assert event["data"]["connection_id"] == str(connections[THEIRS])


async def test_the_oldest_connection_that_works_wins_and_a_disconnected_one_never_does(receiver: Bench) -> None:
    new = LONG_AGO.replace(month=6)
    await receiver.connect(OURS, PAGE, status=ConnectionStatus.DISCONNECTED)
    broken = await receiver.connect(OURS, PAGE, status=ConnectionStatus.EXPIRED)
    healthy = await receiver.connect(OURS, PAGE, created_at=new)
    expiring = await receiver.connect(OURS, PAGE, created_at=new.replace(day=2), status=ConnectionStatus.EXPIRING)

    async def winner(key: str) -> str:
        await receiver.receive(change(key))
        await receiver.work()
        return str((await receiver.published())[-1]["data"]["connection_id"])

    assert await winner("a") == str(healthy)
    await receiver.connect(OURS, PAGE, connection_id=healthy, created_at=new, status=ConnectionStatus.REVOKED)
    assert await winner("b") == str(expiring)
    await receiver.end(OURS, expiring)
    assert await winner("c") == str(broken)
    await receiver.end(OURS, broken)
    await receiver.end(OURS, healthy)
    last = await receiver.receive(change("d"))
    await receiver.work()
    assert await receiver.status(last) == "ignored"


async def test_an_older_state_of_a_connection_changes_nothing(receiver: Bench) -> None:
    connection_id = await receiver.connect(OURS, PAGE, version=5)
    await receiver.connect(OURS, INSTAGRAM, connection_id=connection_id, version=4)
    await receiver.receive(change("a"), change("b", INSTAGRAM))
    await receiver.end(OURS, connection_id, version=3)
    await receiver.work()
    assert await receiver.keys_published() == ["a"]


async def test_a_connection_that_names_other_accounts_loses_the_former(receiver: Bench) -> None:
    connection_id = await receiver.connect(OURS, PAGE)
    await receiver.connect(OURS, INSTAGRAM, connection_id=connection_id)
    delivery_id = await receiver.receive(change("a"), change("b", INSTAGRAM))
    await receiver.work()
    assert await receiver.changes(delivery_id) == [("a", "ignored"), ("b", "processed")]


async def test_what_belongs_to_nobody_is_ignored_and_says_why(receiver: Bench) -> None:
    delivery_id = await receiver.receive(change("a"))
    empty = await receiver.receive()
    await receiver.work()
    row = await receiver.delivery(delivery_id)
    assert (row["status"], row["reason"]) == ("ignored", "no organization has connected page 4711")
    assert row["raw"] is not None
    assert (await receiver.delivery(empty))["reason"] == "it tells of no change"
    assert await receiver.published() == []


async def test_events_of_an_account_leave_in_the_order_of_arrival(receiver: Bench) -> None:
    await receiver.connect(OURS, PAGE)
    for number in range(450):  # more than two rounds
        await receiver.receive(change(f"{number:04d}"))
    assert await receiver.work() == 450
    assert await receiver.keys_published() == [f"{number:04d}" for number in range(450)]


async def test_a_shape_that_nobody_knows_fails_at_once_and_harms_no_other(receiver: Bench) -> None:
    await receiver.connect(OURS, PAGE)
    strange = await receiver.receive(body=b'{"object": "new"}')
    good = await receiver.receive(change("a"))
    await receiver.work()
    row = await receiver.delivery(strange)
    assert (row["status"], row["reason"], row["next_attempt_at"]) == ("failed", "unknown_shape", None)
    assert row["error"] == "a delivery is a list, at /"
    assert row["raw"] == b'{"object": "new"}'
    assert await receiver.status(good) == "processed"


async def test_a_delivery_that_fails_each_time_is_tried_again_later_and_then_no_more(receiver: Bench) -> None:
    await receiver.connect(OURS, PAGE)
    poison = await receiver.receive({"raise": "a bug"})
    good = await receiver.receive(change("a"))
    await receiver.work()
    assert await receiver.status(good) == "processed"
    row = await receiver.delivery(poison)
    assert (row["status"], row["reason"], row["attempts"]) == ("failed", "error", 1)
    assert "a bug" in row["error"]
    assert row["next_attempt_at"] is not None
    for attempt in range(2, 11):
        await receiver.run("UPDATE webhook_events SET next_attempt_at = now() WHERE id = $1", poison)
        assert await receiver.work() == 1
        row = await receiver.delivery(poison)
        assert row["attempts"] == attempt
    assert (row["status"], row["next_attempt_at"]) == ("failed", None)
    assert await receiver.work() == 0


async def test_what_cannot_be_stored_fails_alone_and_the_rest_of_its_round_goes_on(receiver: Bench) -> None:
    await receiver.connect(OURS, PAGE)
    before = await receiver.receive(change("a"))
    poison = await receiver.receive(change("nul\x00"))  # U+0000 is in no text of Postgres
    after = await receiver.receive(change("b"))
    await receiver.work()
    assert await receiver.keys_published() == ["a", "b"]
    assert [await receiver.status(each) for each in (before, poison, after)] == ["processed", "failed", "processed"]
    row = await receiver.delivery(poison)
    assert row["next_attempt_at"] is not None


async def test_an_error_whose_words_cannot_be_stored_holds_nobody_up(receiver: Bench) -> None:
    await receiver.connect(OURS, PAGE)
    poison = await receiver.receive({"raise": "no \x00 and \ud800 here"})
    good = await receiver.receive(change("a"))
    await receiver.work()
    assert await receiver.status(good) == "processed"
    row = await receiver.delivery(poison)
    assert (row["status"], row["error"]) == ("failed", "RuntimeError: no \ufffd and ? here")


async def test_a_change_larger_than_its_topic_fails_at_once(receiver: Bench) -> None:
    await receiver.connect(OURS, PAGE)
    large = await receiver.receive(change("a", text="x" * 1_100_000))
    good = await receiver.receive(change("b"))
    await receiver.work()
    row = await receiver.delivery(large)
    assert (row["status"], row["reason"], row["next_attempt_at"]) == ("failed", "too_large", None)
    assert await receiver.status(good) == "processed"
    assert await receiver.keys_published() == ["b"]


async def test_the_body_goes_once_it_is_processed_where_it_is_not_to_be_kept(receiver: Bench) -> None:
    receiver.deps = replace(receiver.deps, store_raw=False)
    await receiver.connect(OURS, PAGE)
    processed = await receiver.receive(change("a"))
    duplicate = await receiver.receive(change("a"))
    ignored = await receiver.receive(change("b", INSTAGRAM))
    failed = await receiver.receive(body=b"{}")
    await receiver.work()
    kept = [(await receiver.delivery(each))["raw"] is not None for each in (processed, duplicate, ignored, failed)]
    assert kept == [False, False, True, True]


async def test_a_body_stays_as_long_as_a_change_in_it_has_found_nobody(receiver: Bench) -> None:
    receiver.deps = replace(receiver.deps, store_raw=False)
    await receiver.connect(OURS, PAGE)
    delivery_id = await receiver.receive(change("a"), change("b", INSTAGRAM))
    await receiver.work()
    assert await receiver.changes(delivery_id) == [("a", "processed"), ("b", "ignored")]
    await receiver.connect(THEIRS, INSTAGRAM)
    row = await receiver.delivery(delivery_id)
    async with receiver.database.transaction() as conn:
        assert await listing.replay(conn, [delivery_id], [row["received_at"]]) == {delivery_id}
    await receiver.work()
    assert await receiver.keys_published(THEIRS) == ["b"]
    assert (await receiver.delivery(delivery_id))["raw"] is None


async def test_a_round_takes_no_more_bodies_than_memory_allows(receiver: Bench) -> None:
    for _ in range(3):
        await receiver.receive(change("a", text="x" * 5_000_000))
    assert [await on_due_deliveries(receiver.deps) for _ in range(4)] == [1, 1, 1, 0]


@pytest.mark.parametrize("table", ["webhook_events", "webhook_apps"])
async def test_a_table_that_somebody_locks_for_long_does_not_end_the_process(
    receiver: Bench, caplog: pytest.LogCaptureFixture, table: str
) -> None:
    """An ALTER or a VACUUM FULL outlasts the lock time-out; the edge goes on meanwhile, and so does what measures."""
    stop = asyncio.Event()
    impatient = f"{receiver.dsns.worker_dsn}?lock_timeout=50"
    database = await Database.connect(impatient, role="worker", application_name="test", max_size=1)
    try:
        async with held(receiver.dsns.owner_dsn, f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"):
            if table == "webhook_events":
                task = asyncio.create_task(keep_measuring(replace(receiver.deps, database=database), stop))
            else:
                task = asyncio.create_task(keep_fresh(receiver.directory, database, stop))

            async def is_said() -> bool:
                return "lock timeout" in caplog.text or task.done()

            await until(is_said, "the loop says that it could not")
        stop.set()
        await asyncio.wait_for(task, 10)
    finally:
        await database.close()
