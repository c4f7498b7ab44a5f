"""One event's way as spans: created in the business transaction, sent by the relay, handled by the consumer."""

from collections.abc import Sequence

import asyncpg
import pytest

from libs.events.requests import RequestSubmitted
from libs.messaging.consumer import Consumer
from libs.messaging.messages import Message, Route
from libs.messaging.outbox import append
from libs.messaging.relay import Relay
from libs.postgres import Connection, Database
from libs.telemetry.tracing import start_span
from tests.support.bus import a_request, declare, kafka_settings, lookup, outbox_is_empty, running, until
from tests.support.databases import ServiceDatabase
from tests.support.spans import recorded_spans
from tests.support.topics import Topics

pytestmark = [pytest.mark.db, pytest.mark.kafka]


async def test_sending_and_handling_link_to_where_the_event_was_created(
    ingest_database: ServiceDatabase, topics: Topics
) -> None:
    topic = declare(await topics.create("requests"), "command", RequestSubmitted)
    kafka = kafka_settings(topics.bootstrap)
    database = await Database.connect(ingest_database.worker_dsn, role="worker", application_name="test")
    connection = await asyncpg.connect(ingest_database.worker_dsn)
    handled: list[Message] = []

    async def handle(conn: Connection, messages: Sequence[Message]) -> None:
        handled.extend(messages)
        cause = messages[0].envelope
        if cause.causation_id is None:
            await append(conn, topic=topic, key="k", event=a_request(), source="s", causation=cause)

    with recorded_spans() as spans:
        with start_span("a request from outside"):
            await append(connection, topic=topic, key="k", event=a_request(), source="s")
        relay = Relay(worker_dsn=ingest_database.worker_dsn, kafka=kafka, service="ingest")
        consumer = Consumer(
            service="ingest",
            database=database,
            kafka=kafka,
            routes=[Route(topic.name, (RequestSubmitted,), handle)],
            group_id=topic.name,
            declarations=lookup(topic),
        )
        async with running(relay, consumer):

            async def both() -> bool:
                return len(handled) == 2

            await until(both, "the event and its answer were handled")
            await until(outbox_is_empty(connection), "the outbox is empty")
    await connection.close()
    await database.close()
    found = {name: [span for span in spans.get_finished_spans() if span.name.startswith(name)] for name in NAMES}
    traces = {span.context.trace_id for span in found["create"] + found["process"] + found["a request"] if span.context}
    assert len(traces) == 1, "one trace runs from the first request to the answer of the answer"
    created = {span.context.span_id for span in found["create"] if span.context}
    assert {link.context.span_id for span in found["send"] for link in span.links} == created
    assert {span.parent.span_id for span in found["process"] if span.parent} == created


NAMES = ("a request", "create", "send", "process")
