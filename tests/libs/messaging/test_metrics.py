"""What consumers report: by value, not by call."""

from datetime import UTC, datetime, timedelta

from aiokafka import TopicPartition
from prometheus_client import REGISTRY

from libs.events.envelope import Envelope
from libs.events.ingest_identities import Organization
from libs.events.requests import RequestSubmitted
from libs.messaging.consumer.lag import LagAges
from libs.messaging.consumer.partitions import Assignment
from libs.messaging.messages import Message, Route
from libs.messaging.processing import DEAD, HANDLED, PARKED, count, note_delays
from libs.messaging.records import Incoming, Routing
from libs.postgres import Connection
from tests.support.bus import declare, lookup

FACTS = declare("metered-facts", "fact", RequestSubmitted)
STATES = declare("metered-states", "state", Organization)


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def nothing(_: Connection, __: object) -> None:
    """A handler that the tests do not call."""


def settled(topic: str, age_seconds: float) -> Incoming:
    """A record whose event was created that long ago."""
    created_at = datetime.now(UTC) - timedelta(seconds=age_seconds)
    message = Message(Envelope(id="1", type="metered.v1", source="tests", time=created_at), None, "k", topic, 0, 0)
    return Incoming(message, message=message)  # type: ignore[arg-type]  # only its topic is read


def test_records_are_counted_by_topic_type_and_outcome() -> None:
    count({("counted", HANDLED, "a.v1"): 3, ("counted", DEAD, "unknown"): 2, ("counted", PARKED, "a.v1"): 1})
    labels = {"topic": "counted", "type": "a.v1"}
    assert value("events_processed_total", outcome="handled", **labels) == 3
    assert value("events_processed_total", outcome="parked", **labels) == 1
    assert value("events_processed_total", topic="counted", type="unknown", outcome="dead_letter") == 2
    assert value("dead_letters_total", topic="counted") == 2
    assert value("parked_total", topic="counted") == 1


def test_the_age_of_events_is_observed_and_that_of_repeated_state_is_not() -> None:
    routing = Routing(
        [Route(FACTS.name, (RequestSubmitted,), nothing), Route(STATES.name, (Organization,), nothing)],
        lookup(FACTS, STATES),
    )
    note_delays(routing, [[settled(FACTS.name, 0.0), settled(FACTS.name, 40.0)], [settled(STATES.name, 99.0)], []])
    assert value("event_end_to_end_seconds_count", type="metered.v1") == 2
    assert 40 <= value("event_end_to_end_seconds_sum", type="metered.v1") < 60
    assert value("event_end_to_end_seconds_bucket", type="metered.v1", le="30.0") == 1


async def test_partitions_are_counted_by_topic_until_they_are_taken_away() -> None:
    before = value("consumer_rebalances_total")
    assignment = Assignment(1.0, LagAges())
    mine = {TopicPartition("metered", 0), TopicPartition("metered", 1), TopicPartition("other-metered", 0)}
    await assignment.on_partitions_assigned(mine)
    assert value("consumer_assigned_partitions", topic="metered") == 2
    assert value("consumer_assigned_partitions", topic="other-metered") == 1
    assert value("consumer_rebalances_total") == before + 1
    await assignment.on_partitions_revoked(mine)
    assert value("consumer_assigned_partitions", topic="metered") == 0
