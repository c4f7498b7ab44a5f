"""Topics on the broker and their declaration."""

import dataclasses
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from libs.events.ingest_identities import Organization
from libs.events.requests import RequestSubmitted
from libs.events.topics import Topic
from libs.messaging.admin import Difference, apply_topics, compare_topics
from tests.support.bus import declare, kafka_settings, until

pytestmark = pytest.mark.kafka


@pytest.fixture
async def client(kafka_bootstrap: str) -> AsyncIterator[Any]:
    made = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def declared(client: Any) -> AsyncIterator[list[Topic]]:
    suffix = uuid.uuid4().hex[:12]
    made = [
        declare(f"facts.{suffix}", "fact", RequestSubmitted),
        declare(f"states.{suffix}", "state", Organization),
    ]
    yield made
    await client.delete_topics([topic.name for topic in made])


async def test_missing_topics_are_made_and_then_nothing_differs(kafka_bootstrap: str, declared: list[Topic]) -> None:
    kafka = kafka_settings(kafka_bootstrap)
    missing = [Difference(topic.name, "topic", "12 partitions", None, "apply") for topic in declared]
    assert await compare_topics(kafka, declared) == missing
    assert await apply_topics(kafka, declared) == missing
    assert await compare_topics(kafka, declared) == []
    assert await apply_topics(kafka, declared) == []


async def test_a_changed_setting_is_mended_and_an_operators_own_stays(
    kafka_bootstrap: str, declared: list[Topic], client: Any
) -> None:
    kafka = kafka_settings(kafka_bootstrap)
    await apply_topics(kafka, declared)
    name = declared[0].name
    theirs = {**declared[0].config(), "retention.ms": "1000", "segment.ms": "3600000"}
    await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, theirs)])
    difference = Difference(name, "retention.ms", declared[0].config()["retention.ms"], "1000", "apply")

    async def shows() -> bool:
        return await compare_topics(kafka, declared) == [difference]

    await until(shows, "the broker has the change")
    assert await apply_topics(kafka, declared) == [difference]
    assert await compare_topics(kafka, declared) == []
    resource = ConfigResource(ConfigResourceType.TOPIC, name, {"segment.ms": ""})
    (answer,) = await client.describe_configs([resource])
    assert answer.to_object()["resources"][0]["config_entries"][0]["config_value"] == "3600000"


async def test_partitions_grow_only_when_the_topic_is_named(kafka_bootstrap: str, declared: list[Topic]) -> None:
    kafka = kafka_settings(kafka_bootstrap)
    small = [dataclasses.replace(topic, partitions=2) for topic in declared]
    await apply_topics(kafka, small)
    by_hand = [Difference(topic.name, "partitions", "12", "2", "hand") for topic in declared]
    assert await apply_topics(kafka, declared) == by_hand
    assert await compare_topics(kafka, declared) == by_hand
    await apply_topics(kafka, declared, grow=[declared[0].name])
    assert await compare_topics(kafka, declared) == by_hand[1:]
