"""Which handler gets what in which order, without a database: nothing is new or old here but what the fake says."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from libs.events.ingest_accepted import ApiRequestAccepted, RequestRejected
from libs.events.ingest_identities import Organization
from libs.events.requests import RequestSubmitted
from libs.messaging.messages import Message, Route
from libs.messaging.processing import DUPLICATE, HANDLED, UNWANTED, Processor
from libs.messaging.records import Incoming, Routing
from libs.postgres import Connection
from tests.support.bus import Headers, a_request, an_organization, declare, headers_for, lookup

MIXED = declare("mixed", "fact", RequestSubmitted, Organization, ApiRequestAccepted, RequestRejected)
STATES = declare("states", "state", Organization)
BODIES = {
    RequestSubmitted: a_request().model_dump_json().encode(),
    Organization: an_organization("x").model_dump_json().encode(),
}


class EverythingIsNew:
    """Answers the two statements of the inbox as an empty database would."""

    async def fetch(self, _: str, __: str, first: Sequence[str], second: Sequence[str], *___: Any) -> list[Any]:
        names = ("source", "event_id") if not ___ else ("topic", "key")
        return [dict(zip(names, pair, strict=True)) for pair in zip(first, second, strict=True)]


@dataclass
class Record:
    key: bytes
    model: Any
    offset: int
    version: int | None = None
    topic: str = MIXED.name
    partition: int = 0
    event_id: str | None = None
    headers: Headers = field(default_factory=list)

    def __post_init__(self) -> None:
        self.headers = headers_for(self.model, event_id=self.event_id, version=self.version)

    @property
    def value(self) -> bytes:
        return BODIES[self.model]


class Calls:
    """Handlers that note what they were called with."""

    def __init__(self) -> None:
        self.made: list[tuple[str, list[str]]] = []

    def route(self, name: str, topic: str, *events: Any, once: bool = True) -> Route:
        async def handle(_: Connection, messages: Sequence[Message]) -> None:
            self.made.append((name, [f"{message.key}@{message.offset}" for message in messages]))

        return Route(topic, events, handle, once=once)


async def _apply(routes: Sequence[Route], records: Sequence[Record]) -> tuple[Any, list[Incoming]]:
    routing = Routing(routes, lookup(MIXED, STATES))
    incoming = [routing.read(record) for record in records]
    connection: Any = EverythingIsNew()
    return await Processor("test", routing).apply(connection, incoming), incoming


async def test_a_keys_messages_stay_in_order_across_the_handlers_of_a_topic() -> None:
    calls = Calls()
    routes = [calls.route("asked", "mixed", RequestSubmitted), calls.route("named", "mixed", Organization)]
    await _apply(
        routes,
        [
            Record(b"a", RequestSubmitted, 0),
            Record(b"b", Organization, 1),
            Record(b"a", Organization, 2),
            Record(b"b", Organization, 3),
            Record(b"a", RequestSubmitted, 4),
        ],
    )
    assert calls.made == [
        ("asked", ["a@0"]),
        ("named", ["b@1", "b@3"]),
        ("named", ["a@2"]),
        ("asked", ["a@4"]),
    ]


async def test_messages_of_one_handler_come_in_one_call() -> None:
    calls = Calls()
    await _apply(
        [calls.route("all", "mixed", RequestSubmitted, Organization)],
        [Record(b"a", RequestSubmitted, 0), Record(b"a", Organization, 1), Record(b"b", RequestSubmitted, 2)],
    )
    assert calls.made == [("all", ["a@0", "a@1", "b@2"])]


async def test_the_newest_state_of_a_key_is_all_that_comes() -> None:
    calls = Calls()
    outcomes, _ = await _apply(
        [calls.route("states", "states", Organization)],
        [
            Record(key, Organization, offset, version, "states")
            for offset, (key, version) in enumerate([(b"a", 1), (b"b", 9), (b"a", 3), (b"a", 2)])
        ],
    )
    assert calls.made == [("states", ["b@1", "a@2"])]
    assert outcomes == {("states", HANDLED, "organization.v1"): 2, ("states", DUPLICATE, "organization.v1"): 2}


async def test_an_id_that_comes_twice_in_a_poll_is_handled_at_its_first_place() -> None:
    calls = Calls()
    twins = [Record(b"a", RequestSubmitted, offset, event_id="twin") for offset in (0, 1)]
    outcomes, _ = await _apply([calls.route("all", "mixed", RequestSubmitted)], twins)
    assert calls.made == [("all", ["a@0"])]
    assert outcomes == {("mixed", HANDLED, "request.submitted.v1"): 1, ("mixed", DUPLICATE, "request.submitted.v1"): 1}


async def test_a_route_that_looks_for_repeats_itself_gets_every_delivery_in_its_keys_order() -> None:
    calls = Calls()
    routes = [
        calls.route("asked", "mixed", RequestSubmitted, once=False),
        calls.route("named", "mixed", Organization),
    ]
    outcomes, _ = await _apply(
        routes,
        [
            Record(b"a", RequestSubmitted, 0, event_id="twin"),
            Record(b"a", Organization, 1, event_id="other"),
            Record(b"a", RequestSubmitted, 2, event_id="twin"),
            Record(b"a", Organization, 3, event_id="other"),
        ],
    )
    assert calls.made == [("asked", ["a@0"]), ("named", ["a@1"]), ("asked", ["a@2"])]
    assert outcomes == {
        ("mixed", HANDLED, "request.submitted.v1"): 2,
        ("mixed", HANDLED, "organization.v1"): 1,
        ("mixed", DUPLICATE, "organization.v1"): 1,
    }


async def test_an_event_that_no_route_wants_is_passed_over() -> None:
    calls = Calls()
    outcomes, (item,) = await _apply([calls.route("named", "mixed", Organization)], [Record(b"a", RequestSubmitted, 0)])
    assert (calls.made, item.message, item.reason) == ([], None, None)
    assert outcomes == {("mixed", UNWANTED, "unknown"): 1}


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (Record(b"", Organization, 0, 1, "states"), "has no key"),
        (Record(b"k", Organization, 0, None, "states"), "has no header ce_version"),
        (Record(b"k", RequestSubmitted, 0, 1, "states"), "do not belong on topic states"),
        (Record(b"\xff", RequestSubmitted, 0), "the key is not UTF-8"),
        (Record(b"a\x00", RequestSubmitted, 0), "U+0000"),
        (Record(b"k" * 1_025, RequestSubmitted, 0), "the key has 1025 bytes"),
    ],
)
def test_a_record_that_breaks_its_topics_rules_says_which(record: Record, words: str) -> None:
    routing = Routing(
        [Calls().route("a", "mixed", RequestSubmitted), Calls().route("b", "states", Organization)],
        lookup(MIXED, STATES),
    )
    reason = routing.read(record).reason
    assert reason
    assert words in reason


def test_routes_that_contradict_each_other_or_their_topic_are_refused() -> None:
    calls = Calls()
    with pytest.raises(ValueError, match="two routes want"):
        Routing([calls.route("a", "mixed", Organization), calls.route("b", "mixed", Organization)], lookup(MIXED))
    with pytest.raises(ValueError, match="is not declared"):
        Routing([calls.route("a", "states", RequestSubmitted)], lookup(STATES))
    with pytest.raises(ValueError, match="only newer versions"):
        Routing([calls.route("a", "states", Organization, once=False)], lookup(STATES))
