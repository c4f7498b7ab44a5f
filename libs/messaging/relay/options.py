"""How a relay works, and what it has learned of the brokers."""

import time
from dataclasses import dataclass, field
from typing import Final

from libs.events.topics import topic as declared_topic

MAX_BATCH_BYTES: Final = 524_288
DEFAULT_TOPIC_BYTES: Final = 1_048_588
"""Largest batch of a topic that is not declared here. Source: Kafka 4.3 "Topic Configs", max.message.bytes."""
_HOLD_TOPIC_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """The numbers come from benchmarks/relay.py."""

    batch_rows: int = 2_000
    large_bytes: int = 8_388_608
    """Budget of one read for values above store.LARGE_BYTES."""
    at_once: int = 3
    """Sends in flight; with a backlog each takes a share of the shards."""
    lease_seconds: float = 2.0
    poll_min_seconds: float = 0.001
    poll_max_seconds: float = 0.010
    send_limit_seconds: float = 30.0
    stop_limit_seconds: float = 10.0


@dataclass(slots=True)
class Knowledge:
    """What outlives a session: sizes that brokers refused, topics that cannot be written now, failures in a row."""

    failures: int = 0
    alive_at: float = field(default_factory=time.monotonic)
    """When the loop last turned, by the monotonic clock; waiting for database or broker is turning."""
    _batch_bytes: dict[str, int] = field(default_factory=dict)
    _held_topics: dict[str, float] = field(default_factory=dict)

    def batch_bytes(self, topic: str) -> int:
        """Largest batch to make for a topic."""
        return min(self._batch_bytes.get(topic, MAX_BATCH_BYTES), _declared_bytes(topic))

    def was_too_large(self, topic: str) -> None:
        """Make batches of the topic half as large: it takes less than it was declared to."""
        self._batch_bytes[topic] = max(1, self.batch_bytes(topic) // 2)

    def hold(self, topic: str) -> None:
        """Leave the topic's rows alone for a moment, so that others of the same shard go on."""
        self._held_topics[topic] = time.monotonic() + _HOLD_TOPIC_SECONDS

    def held_topics(self) -> list[str]:
        """Topics whose rows are left alone now."""
        if self._held_topics:
            now = time.monotonic()
            self._held_topics = {topic: until for topic, until in self._held_topics.items() if until > now}
        return list(self._held_topics)


def _declared_bytes(topic: str) -> int:
    try:
        return declared_topic(topic).max_message_bytes
    except KeyError:
        return DEFAULT_TOPIC_BYTES
