"""From a Kafka record to a message of a route, or to the reason why it does not fit its contract."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from libs.events.envelope import Undecodable, decode
from libs.events.topics import Topic
from libs.events.topics import topic as declared_topic
from libs.messaging.messages import Message, Route

MAX_KEY_BYTES: Final = 1_024
_MAX_BLOCKING_KEY_BYTES: Final = 2_048

Declarations = Callable[[str], Topic]
"""Finds the declaration of a topic by its name; `libs.events.topics.topic` outside of tests."""


class RawRecord(Protocol):
    """What is read of a Kafka record, whoever holds it."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


@dataclass(slots=True, eq=False)  # not frozen: one is made per record, and freezing doubles its price
class Incoming:
    """A record that was read. One of three: a message with its route, a dead letter with its reason, or unwanted."""

    record: RawRecord
    message: Message | None = None
    route: Route | None = None
    reason: str | None = None


class Routing:
    """The routes of one consumer, by topic and event type."""

    def __init__(self, routes: Sequence[Route], declarations: Declarations = declared_topic) -> None:
        self._topics: dict[str, Topic] = {}
        self._routes: dict[tuple[str, str], Route] = {}
        self._counts: dict[str, int] = {}
        self._blocking: dict[str, Callable[[Message], str] | None] = {}
        for route in routes:
            topic = self._topics.setdefault(route.topic, declarations(route.topic))
            if topic.kind == "state" and not route.once:
                raise ValueError(f"{topic.name} carries state, of which only newer versions are handled")
            self._counts[topic.name] = self._counts.get(topic.name, 0) + 1
            if self._blocking.setdefault(topic.name, route.blocking_key) != route.blocking_key:
                raise ValueError(f"the routes of {topic.name} block different keys")
            for event in route.events:
                if event not in topic.events:
                    raise ValueError(f"{event.__name__} is not declared for topic {topic.name}")
                if self._routes.setdefault((topic.name, event.event_type), route) is not route:
                    raise ValueError(f"two routes want {event.event_type} of {topic.name}")
        self._types = {name: {event.event_type for event in topic.events} for name, topic in self._topics.items()}
        self._states = {name for name, topic in self._topics.items() if topic.kind == "state"}

    @property
    def topics(self) -> list[str]:
        """The topics to subscribe to."""
        return sorted(self._topics)

    def is_state(self, topic: str) -> bool:
        """Whether records of the topic are whole states with a version."""
        return topic in self._states

    def has_one_route(self, topic: str) -> bool:
        """Whether all that is wanted of the topic goes to one handler."""
        return self._counts[topic] == 1

    def blocking_key(self, item: Incoming) -> str:
        """Name what is blocked when the record is parked. One without a key blocks, and is blocked by, nothing."""
        message = item.message
        if message is None or not message.key:
            return f"(none) {item.record.partition}@{item.record.offset}"
        chosen = self._blocking[message.topic]
        key = message.key if chosen is None else chosen(message)
        size = len(key.encode())
        # An index takes rows of up to 2,704 bytes.
        return key if size <= _MAX_BLOCKING_KEY_BYTES else f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"

    def read(self, record: RawRecord) -> Incoming:
        """Read one record by its contract. Never raises: whatever is wrong with it becomes the reason."""
        try:
            envelope, data = decode(record.headers, record.value)
            key = _key(record.key)
            self._check(record.topic, envelope.type, key, envelope.version, tombstone=data is None)
        except Undecodable as error:
            return Incoming(record, reason=error.reason)
        route = self._routes.get((record.topic, envelope.type))
        if route is None:
            return Incoming(record)
        message = Message(envelope, data, key, record.topic, record.partition, record.offset)
        return Incoming(record, message, route)

    def _check(self, topic: str, event_type: str, key: str, version: int | None, *, tombstone: bool) -> None:
        if event_type not in self._types[topic]:
            raise Undecodable(f"events of type {event_type} do not belong on topic {topic}")
        if topic not in self._states:
            if tombstone:
                raise Undecodable(f"{topic} carries no state, so it has no tombstones")
            return
        if not key:
            raise Undecodable(f"state on {topic} has no key")
        if version is None:
            raise Undecodable(f"state on {topic} has no header ce_version")


def _key(key: bytes | None) -> str:
    if key is None:
        return ""
    if len(key) > MAX_KEY_BYTES:
        raise Undecodable(f"the key has {len(key)} bytes, more than the {MAX_KEY_BYTES} that are read")
    try:
        text = key.decode()
    except UnicodeDecodeError:
        raise Undecodable("the key is not UTF-8") from None
    if "\x00" in text:
        raise Undecodable("the key holds the character U+0000, which cannot be stored")
    return text
