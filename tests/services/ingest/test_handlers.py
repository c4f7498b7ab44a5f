"""ingest's routes on a real broker: what comes in, what is recorded, what goes to the dead letters."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from prometheus_client import REGISTRY

from libs.events.assets_connections import Connection as ConnectionState
from libs.events.batcher_results import ApiRequestCompleted
from libs.events.envelope import Envelope
from libs.events.model import Event
from libs.events.requests import RequestSubmitted
from libs.events.topics import Topic
from libs.events.topics import topic as declared
from libs.messaging.consumer import Consumer
from libs.postgres import Database
from libs.vocabulary import ConnectionStatus, PlatformName
from services.ingest.handlers import jobs, routes
from tests.support.bus import Crash, CrashesAfterCommit, Headers, kafka_settings, lookup, publish, running, until
from tests.support.databases import Databases
from tests.support.ingest import DEPS, SOURCE, Ingest, IngestServer, a_connection, a_webhook, an_ingest_server
from tests.support.topics import Topics

pytestmark = [pytest.mark.db, pytest.mark.kafka]

ACCEPTED = "api_request.accepted.v1"


@dataclass
class Bench:
    """ingest with topics of its own in place of the declared ones."""

    ingest: Ingest
    bootstrap: str
    topics: dict[str, Topic]

    def consumer(self, group_id: str | None = None, database: Database | None = None) -> Consumer:
        mine = [replace(route, topic=self.topics[route.topic].name) for route in routes(DEPS)]
        return Consumer(
            service="ingest",
            database=database or self.ingest.worker,
            kafka=kafka_settings(self.bootstrap),
            routes=mine,
            group_id=group_id or f"ingest-{uuid4()}",
            declarations=lookup(*self.topics.values()),
        )

    async def publish(self, topic: str, *records: tuple[bytes | None, bytes | None, Headers]) -> None:
        await publish(self.bootstrap, self.topics[topic].name, records)

    async def until_rows(self, count: int, query: str) -> None:
        async def enough() -> bool:
            return len(await self.ingest.rows(query)) >= count

        await until(enough, f"{count} rows of {query}")

    async def until_all_is_read(self) -> None:
        """Ask for one more and wait for it: it comes after all that was published before."""
        last = str(uuid4())
        await self.publish("requests", record(request(self), "last", id=last))
        await self.until_rows(1, f"SELECT 1 FROM requests WHERE event_id = '{last}'")

    async def answers(self) -> list[str]:
        """What was said of the requests but for the last ones, in order: the kind of event or of problem."""
        events = await self.ingest.outbox("ingest.accepted")
        said = [event for event in events if event["body"]["object_key"] != "last"]
        return [event["body"].get("problem", {"type": event["type"]})["type"].rpartition(":")[2] for event in said]


@pytest.fixture(scope="module")
async def server(databases: Databases) -> AsyncIterator[IngestServer]:
    async with an_ingest_server(databases) as made:
        yield made


@pytest.fixture
async def bench(server: IngestServer, topics: Topics, kafka_bootstrap: str) -> Bench:
    names = ("requests", "batcher.results", "assets.connections", "webhooks.events")
    made = {name: replace(declared(name), name=await topics.create(name)) for name in names}
    return Bench(await server.fresh(), kafka_bootstrap, made)


def record(event: Event | None, key: str, *, kind: type[Event] | None = None, **attributes: Any) -> Any:
    """A record as its producer would write it; None is a tombstone of `kind`."""
    values: dict[str, Any] = {"id": str(uuid4()), "source": SOURCE, "time": datetime.now(UTC)} | attributes
    model = kind or type(event)
    assert issubclass(model, Event)
    envelope = Envelope(type=model.event_type, **values)
    body = None if event is None else event.model_dump_json().encode()
    return key.encode(), body, list(envelope.to_headers())


def request(bench: Bench, **changes: Any) -> RequestSubmitted:
    values = {"kind": "api_request", "org_id": bench.ingest.org_id, "payload": bench.ingest.payload()}
    return RequestSubmitted(**(values | changes))


async def test_requests_are_accepted_rejected_deduplicated_or_dead_lettered(bench: Bench) -> None:
    good = record(request(bench), "campaign-1", id="e1")
    await bench.publish(
        "requests",
        good,
        good,  # redelivered: the same event
        record(request(bench), "campaign-1", idempotency_key="e1"),  # asked again in another event
        record(request(bench, kind="teleport"), "campaign-2"),
        record(request(bench), "campaign-3", source="stranger"),
        record(request(bench, payload={"params": [None]}), ""),
        (b"campaign-4", b'{"kind": ', good[2]),
        (b"campaign-5", good[1], [("ce_id", b"\xff")]),
        (b"campaign-6", good[1], [("ce_id", None)]),
    )
    async with running(bench.consumer()):
        await bench.until_rows(3, "SELECT 1 FROM dead_letters")

    rows = await bench.ingest.rows("SELECT status, object_key, source FROM requests ORDER BY object_key")
    assert [(row["status"], row["object_key"]) for row in rows] == [
        ("rejected", ""),
        ("accepted", "campaign-1"),
        ("rejected", "campaign-2"),
        ("rejected", "campaign-3"),
    ]
    events = await bench.ingest.outbox("ingest.accepted")
    assert [event["type"] for event in events] == ["api_request.accepted.v1", *["request.rejected.v1"] * 3]
    assert (events[0]["causation_id"], events[0]["body"]["source"]) == ("e1", SOURCE)
    letters = await bench.ingest.rows("SELECT key, value, reason FROM dead_letters ORDER BY record_offset")
    assert [letter["key"] for letter in letters] == [b"campaign-4", b"campaign-5", b"campaign-6"]
    assert (letters[0]["value"], letters[1]["value"]) == (b'{"kind": ', good[1])


async def test_a_request_goes_from_asked_to_ended_though_the_consumer_starts_anew(bench: Bench) -> None:
    await bench.publish("requests", record(request(bench), "campaign-1"))
    async with running(bench.consumer()):
        await bench.until_rows(1, "SELECT 1 FROM requests")
    [row] = await bench.ingest.rows("SELECT request_id FROM requests")
    ended = ApiRequestCompleted(
        request_id=row["request_id"],
        org_id=bench.ingest.org_id,
        platform=PlatformName.META,
        connection_id=bench.ingest.connection_id,
        request_type="get_object",
        ended_at=datetime.now(UTC),
        call_id=uuid4(),
        http_status=200,
        result={"id": "1"},
    )
    await bench.publish(
        "batcher.results",
        record(ended, str(row["request_id"]), source="batcher"),
        record(ended.model_copy(update={"result": "a second ending"}), str(row["request_id"]), source="batcher"),
    )
    # A group of its own reads everything again from the start.
    async with running(bench.consumer()):
        await bench.until_rows(1, "SELECT 1 FROM requests WHERE status = 'completed'")
        await bench.until_rows(2, "SELECT 1 FROM inbox")
        await bench.until_all_is_read()

    [row] = await bench.ingest.rows("SELECT result FROM requests WHERE status = 'completed'")
    assert row["result"] == '{"id": "1"}'
    assert await bench.answers() == [ACCEPTED]


async def test_webhooks_are_kept_once_and_what_is_none_is_dead_lettered_beside_them(bench: Bench) -> None:
    key = f"{bench.ingest.org_id}/meta/page:153125381133"
    told = [record(a_webhook(bench.ingest, position=place), key, id=f"w{place}", source="r") for place in range(3)]
    _, _, headers = told[1]
    await bench.publish(
        "webhooks.events",
        told[0],
        told[0],  # redelivered: the same event
        (key.encode(), b'{"webhook_id": 7', headers),
        (key.encode(), b"{}", headers),
        (key.encode(), b"\xff\x00", headers),
        told[1],
        told[2],
    )
    group_id = f"ingest-{uuid4()}"
    with pytest.raises(Crash):
        await bench.consumer(group_id, CrashesAfterCommit(bench.ingest.worker)).run(asyncio.Event())
    async with running(bench.consumer(group_id)):
        await bench.until_rows(3, "SELECT 1 FROM webhooks")
        await bench.until_rows(3, "SELECT 1 FROM dead_letters")
        await bench.until_all_is_read()

    rows = await bench.ingest.rows("SELECT event_id, position, org_id FROM webhooks ORDER BY event_id")
    assert [(row["event_id"], row["position"]) for row in rows] == [("w0", 0), ("w1", 1), ("w2", 2)]
    assert {row["org_id"] for row in rows} == {bench.ingest.org_id}
    letters = await bench.ingest.rows("SELECT value FROM dead_letters ORDER BY record_offset")
    assert [letter["value"] for letter in letters] == [b'{"webhook_id": 7', b"{}", b"\xff\x00"]


def duplicates() -> float:
    return REGISTRY.get_sample_value("ingest_requests_total", {"via": "kafka", "outcome": "duplicate"}) or 0.0


async def test_an_id_that_was_accepted_is_dropped_with_the_same_body_and_answered_with_another(bench: Bench) -> None:
    before = duplicates()
    good = record(request(bench), "campaign-1", id="o-1")
    async with running(bench.consumer()):
        await bench.publish("requests", good)
        await bench.until_rows(1, "SELECT 1 FROM requests")
        await bench.publish(
            "requests",
            good,
            record(request(bench, payload=bench.ingest.payload(priority=1)), "campaign-1", id="o-1"),
            record(request(bench, org_id=uuid4()), "campaign-1", id="o-1"),
        )
        await bench.until_all_is_read()

    assert await bench.answers() == [ACCEPTED, "idempotency_key_reused", "organization_not_allowed"]
    assert duplicates() - before == 1


async def test_a_refused_request_is_judged_afresh_under_its_id_once_its_reason_is_mended(bench: Bench) -> None:
    before = duplicates()
    revoked = await bench.ingest.put_connection(ConnectionStatus.REVOKED)
    asked = record(request(bench, payload=bench.ingest.payload(connection_id=str(revoked))), "campaign-1", id="o-1")
    async with running(bench.consumer()):
        await bench.publish("requests", asked, asked)  # not mended: the second has its answer already
        await bench.until_all_is_read()
        assert await bench.answers() == ["connection_not_usable"]
        async with bench.ingest.worker.transaction() as conn:
            await conn.execute("UPDATE connections SET status = 'healthy' WHERE connection_id = $1", revoked)
        await bench.publish("requests", asked, asked)
        await bench.until_all_is_read()

    assert await bench.answers() == ["connection_not_usable", ACCEPTED]
    assert duplicates() - before == 2


async def test_an_id_that_comes_twice_in_one_poll_is_answered_once(bench: Bench) -> None:
    good = record(request(bench), "campaign-1", id="o-1")
    bad = record(request(bench, kind="teleport"), "campaign-2", id="o-2")
    await bench.publish("requests", good, bad, good, bad)
    async with running(bench.consumer()):
        await bench.until_all_is_read()

    assert await bench.answers() == [ACCEPTED, "kind_unknown"]


async def test_a_poll_that_comes_again_after_a_crash_is_answered_once(bench: Bench) -> None:
    group_id = f"ingest-{uuid4()}"
    await bench.publish(
        "requests",
        record(request(bench), "campaign-1", id="o-1"),
        record(request(bench, kind="teleport"), "campaign-2", id="o-2"),
        record(request(bench, payload=bench.ingest.payload(priority=1)), "campaign-1", id="o-1"),
    )
    with pytest.raises(Crash):
        await bench.consumer(group_id, CrashesAfterCommit(bench.ingest.worker)).run(asyncio.Event())
    answered = await bench.answers()
    assert answered == [ACCEPTED, "kind_unknown", "idempotency_key_reused"]
    async with running(bench.consumer(group_id)):
        await bench.until_all_is_read()

    assert await bench.answers() == answered
    statuses = await bench.ingest.rows("SELECT status FROM requests WHERE object_key <> 'last' ORDER BY status")
    assert [row["status"] for row in statuses] == ["accepted", "rejected", "rejected"]


async def test_connections_are_known_by_their_newest_state_and_without_their_token(bench: Bench) -> None:
    org_id = bench.ingest.org_id
    kept, ended = UUID(int=1), UUID(int=2)

    def state(connection_id: UUID, version: int, status: ConnectionStatus) -> Any:
        event = a_connection(org_id, connection_id, status)
        return record(event, f"{org_id}/{connection_id}", source="asset_sync", version=version)

    await bench.publish(
        "assets.connections",
        state(kept, 2, ConnectionStatus.REVOKED),
        state(kept, 1, ConnectionStatus.HEALTHY),  # late: an older version
        state(ended, 1, ConnectionStatus.HEALTHY),
        record(None, f"{org_id}/{ended}", kind=ConnectionState, source="asset_sync", version=2),
        state(ended, 1, ConnectionStatus.HEALTHY),  # late again: what has ended stays ended
    )
    newest = "SELECT 1 FROM state_versions WHERE last_version = 2"
    async with running(bench.consumer()):
        await bench.until_rows(2, newest)

    rows = await bench.ingest.rows("SELECT connection_id, status, c::text AS words FROM connections AS c")
    mine = {row["connection_id"]: row["status"] for row in rows if row["connection_id"] != bench.ingest.connection_id}
    assert mine == {kept: "revoked"}
    assert not any("planted-secret" in row["words"] for row in rows)


async def test_many_requests_come_through_in_the_order_of_their_keys(bench: Bench) -> None:
    records = [record(request(bench), f"campaign-{number % 7}", id=f"{number:04d}") for number in range(700)]
    await bench.publish("requests", *records)
    async with running(bench.consumer()):
        await bench.until_rows(700, "SELECT 1 FROM requests")

    events = await bench.ingest.outbox("ingest.accepted")
    for number in range(7):
        ids = [event["causation_id"] for event in events if event["body"]["object_key"] == f"campaign-{number}"]
        assert ids == sorted(ids)
        assert len(ids) == 100


async def test_each_job_can_run_on_what_is_there(bench: Bench) -> None:
    counts = {job.name: dict(await job.run(bench.ingest.worker)) for job in jobs(DEPS)}
    assert counts["prune_requests"] == {"requests_deleted": 0}
    assert counts["reannounce_identities"]["ingest.identities"] == len(await bench.ingest.outbox("ingest.identities"))
