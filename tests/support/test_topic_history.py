"""The judges of histories notice what they are for: a judge that cannot fail says nothing."""

import asyncio
import uuid
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests.support.topic_history import (
    Published,
    consumers_behind,
    first_of_each,
    keys_on_several_partitions,
    out_of_order,
)
from tests.support.topics import Topics

FIRST = Published("t", 0, 0, "a", "1", "thing.happened.v1", None, 1, {})
SECOND = replace(FIRST, offset=1, event_id="2", version=2)


def of_key(record: Published) -> str:
    return record.key


def version(record: Published) -> int:
    return record.version or 0


def test_what_was_sent_twice_counts_at_its_first_place() -> None:
    again = replace(FIRST, offset=2)
    assert first_of_each([FIRST, SECOND, again]) == [FIRST, SECOND]


def test_a_place_that_goes_back_or_comes_twice_is_out_of_order_and_another_keys_is_not() -> None:
    assert out_of_order([FIRST, SECOND], of_key, version) == []
    assert out_of_order([SECOND, FIRST], of_key, version) == ["t/0@0: a 1 after 2"]
    assert out_of_order([FIRST, replace(FIRST, offset=3)], of_key, version) == ["t/0@3: a 1 after 1"]
    assert out_of_order([SECOND, replace(FIRST, key="b")], of_key, version) == []


def test_a_key_on_two_partitions_is_named() -> None:
    assert keys_on_several_partitions([FIRST, SECOND]) == []
    assert keys_on_several_partitions([FIRST, replace(SECOND, partition=3)]) == ["t a: {0, 3}"]


@pytest.mark.kafka
async def test_a_group_is_behind_where_it_committed_less_than_there_is_and_where_it_committed_nothing(
    topics: Topics,
) -> None:
    topic, group = await topics.create("behind", partitions=3), f"behind-{uuid.uuid4().hex}"
    async with AIOKafkaProducer(bootstrap_servers=topics.bootstrap) as producer:
        await asyncio.gather(*(producer.send_and_wait(topic, b"x", partition=n) for n in (0, 0, 1, 1)))
    async with AIOKafkaConsumer(bootstrap_servers=topics.bootstrap, group_id=group, enable_auto_commit=False) as client:
        client.assign([TopicPartition(topic, 0)])
        await client.commit({TopicPartition(topic, 0): 1})
    behind = [line for line in await consumers_behind(topics.bootstrap, {}) if line.startswith(group)]
    assert sorted(behind) == [f"{group} {topic}/0: 1 of 2", f"{group} {topic}/1: 0 of 2"]


@pytest.mark.kafka
async def test_a_group_that_the_brokers_do_not_know_is_behind_in_all_that_it_should_read(topics: Topics) -> None:
    topic, other, group = await topics.create("unread"), await topics.create("read"), f"away-{uuid.uuid4().hex}"
    async with AIOKafkaProducer(bootstrap_servers=topics.bootstrap) as producer:
        await producer.send_and_wait(topic, b"x", partition=0)
    behind = await consumers_behind(topics.bootstrap, {group: [topic, other]})
    assert [line for line in behind if line.startswith(group)] == [f"{group} {topic}/0: 0 of 1"]
