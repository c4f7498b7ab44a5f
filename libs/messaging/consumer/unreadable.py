"""Records that the client library itself cannot read: the name of a header is not UTF-8, and its whole poll fails.

The failed poll also loses what it had read before that record, so the client is rebuilt and reads one record of one
partition at a time until it meets the bad one and knows its place. The rest of its batch cannot be read either, because
every fetch starts with the whole batch. Their bytes never reach us: dead letters name the places, and the records stay
in Kafka.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import TopicPartition

_POLL_MS: Final = 50

REASON: Final = (
    "a header's name here, or before it in the same batch, is not UTF-8, so the record cannot be read; "
    "it is still in Kafka at this place"
)


class Unreadable(Exception):  # noqa: N818
    """The next record of a partition cannot be read."""

    def __init__(self, record: "UnreadableRecord") -> None:
        super().__init__(f"{record.topic} {record.partition} @ {record.offset}: {REASON}")
        self.record = record


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """All that is known of it."""

    topic: str
    partition: int
    offset: int
    key: None = None
    value: None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()


async def next_record(client: Any) -> Mapping[TopicPartition, Sequence[Any]]:
    """Poll one record of any one partition; nothing when none has any. Raises: Unreadable."""
    partitions = list(client.assignment() - client.paused())
    random.shuffle(partitions)  # none may starve the others
    for partition in partitions:
        try:
            found: Mapping[TopicPartition, Sequence[Any]] = await client.getmany(
                partition, timeout_ms=_POLL_MS, max_records=1
            )
        except UnicodeDecodeError as error:
            offset = await client.position(partition)
            raise Unreadable(UnreadableRecord(partition.topic, partition.partition, offset)) from error
        if found:
            return found
    return {}
