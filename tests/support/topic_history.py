"""What is on the topics, read from their start: the witness that no service can talk round."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

_READ_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Published:
    """One record."""

    topic: str
    partition: int
    offset: int
    key: str
    event_id: str
    type: str
    org_id: str | None
    version: int | None
    body: Any
    """None: a tombstone."""


async def read_topics(bootstrap: str, topics: Sequence[str]) -> list[Published]:
    """Read every record from the start to where the topics end now, each partition in its order."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        async with asyncio.timeout(_READ_SECONDS):
            places = [
                TopicPartition(topic, number)
                for topic in topics
                for number in consumer.partitions_for_topic(topic) or await _partitions(consumer, topic)
            ]
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            found: list[Published] = []
            while any([await consumer.position(place) < end for place, end in ends.items()]):
                polled = await consumer.getmany(timeout_ms=500)
                found += [_published(record) for records in polled.values() for record in records]
            return found
    finally:
        await consumer.stop()


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    known = await consumer._client._wait_on_metadata(topic)
    return set(known)


def _published(record: Any) -> Published:
    headers = {name: value.decode() for name, value in record.headers}
    return Published(
        record.topic,
        record.partition,
        record.offset,
        (record.key or b"").decode(),
        headers["ce_id"],
        headers["ce_type"],
        headers.get("ce_orgid"),
        int(headers["ce_version"]) if "ce_version" in headers else None,
        json.loads(record.value) if record.value else None,
    )


def first_of_each(records: Iterable[Published]) -> list[Published]:
    """Drop what is there again: a relay may send a record twice, with the same id."""
    seen: set[tuple[str, str]] = set()
    found = []
    for record in records:
        if (record.topic, record.event_id) not in seen:
            seen.add((record.topic, record.event_id))
            found.append(record)
    return found


def out_of_order(
    records: Iterable[Published], key: Callable[[Published], Hashable], place: Callable[[Published], int]
) -> list[str]:
    """Name every record whose place is not after those that came before it under the same key."""
    last: dict[Hashable, int] = {}
    found = []
    for record in records:
        known = last.get(key(record))
        if known is not None and place(record) <= known:
            found.append(
                f"{record.topic}/{record.partition}@{record.offset}: {key(record)} {place(record)} after {known}"
            )
        last[key(record)] = max(place(record), known if known is not None else place(record))
    return found


def keys_on_several_partitions(records: Iterable[Published]) -> list[str]:
    """Name the keys that were spread: they would have no order."""
    places: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for record in records:
        places[record.topic, record.key].add(record.partition)
    return [f"{topic} {key}: {numbers}" for (topic, key), numbers in places.items() if len(numbers) > 1]


async def consumers_behind(bootstrap: str, reads: Mapping[str, Collection[str]]) -> list[str]:
    """Name the partitions in which a group has not committed everything: `group topic/partition: 3 of 7`.

    Of a topic that a group has committed anything of, or that it reads (`reads`: group -> topics), also those of which
    it has committed nothing: a group that the brokers do not know has read nothing.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await asyncio.gather(admin.start(), consumer.start())
    try:
        groups = reads.keys() | {name for name, _ in await admin.list_consumer_groups()}
        behind = []
        for group in sorted(groups):
            committed = await admin.list_consumer_group_offsets(group)
            topics = {place.topic for place in committed} | set(reads.get(group, ()))
            ends = await consumer.end_offsets(
                [TopicPartition(topic, number) for topic in topics for number in await _partitions(consumer, topic)]
            )
            at = {place: max(0, known.offset) for place, known in committed.items()}
            behind += [
                f"{group} {place.topic}/{place.partition}: {at.get(place, 0)} of {end}"
                for place, end in ends.items()
                if at.get(place, 0) < end
            ]
        return behind
    finally:
        await asyncio.gather(admin.close(), consumer.stop())
