"""What one poll does inside its transaction: drop what was handled before, keep dead letters, call the handlers."""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Final

from libs.messaging import dead_letter_store, inbox, metrics
from libs.messaging.messages import Message, Route
from libs.messaging.records import Incoming, Routing
from libs.postgres import Connection
from libs.telemetry.spans import process_span
from libs.telemetry.tracing import tracing_is_on

HANDLED: Final = "handled"
DUPLICATE: Final = "duplicate"
DEAD: Final = "dead_letter"
UNWANTED: Final = "unwanted"
PARKED: Final = "parked"

_MOST_OBSERVED: Final = 50
"""Records of one partition and poll whose age is looked at."""
UNKNOWN_TYPE: Final = "unknown"
"""Stands for the types of records that are no message of ours: theirs could be anything."""

Outcomes = dict[tuple[str, str, str], int]
"""Records by (topic, how they ended, type)."""


class Processor:
    """Applies records for one consumer."""

    def __init__(self, consumer: str, routing: Routing) -> None:
        self._consumer = consumer
        self._routing = routing

    async def apply(self, conn: Connection, incoming: Sequence[Incoming]) -> Outcomes:
        """Apply records in the given order, which is each partition's; either all of it happens or an error passes.

        Of a state topic only the newest version of a key is handed on. An id that comes twice is handled at its
        first place, but for routes whose handlers look for repeats themselves.
        """
        facts: dict[tuple[str, str], Incoming] = {}
        states: dict[tuple[str, str], Incoming] = {}
        every: list[Incoming] = []
        dead = []
        for item in incoming:
            if item.message is None or item.route is None:
                if item.reason is not None:
                    dead.append((item.record, item.reason))
            elif self._routing.is_state(item.message.topic):
                _keep_newest(states, item)
            elif not item.route.once:
                every.append(item)
            else:
                facts.setdefault((item.message.envelope.source, item.message.envelope.id), item)
        if dead:
            await dead_letter_store.keep(conn, self._consumer, dead)
        fresh = await self._fresh(conn, facts, states)
        if every:
            fresh = _in_order(incoming, fresh + every)
        for wave in self._waves(fresh):
            for route, messages in wave:
                await self._call(conn, route, messages)
        return _outcomes(incoming, fresh)

    async def _fresh(
        self,
        conn: Connection,
        facts: dict[tuple[str, str], Incoming],
        states: dict[tuple[str, str], Incoming],
    ) -> list[Incoming]:
        fresh: list[Incoming] = []
        if facts:
            new = await inbox.remember(conn, self._consumer, list(facts))
            fresh += facts.values() if len(new) == len(facts) else [item for at, item in facts.items() if at in new]
        if states:
            versions = {at: _version(item) for at, item in states.items()}
            new = await inbox.advance(conn, self._consumer, versions)
            fresh += states.values() if len(new) == len(states) else [item for at, item in states.items() if at in new]
        return fresh

    def _waves(self, fresh: Sequence[Incoming]) -> list[list[tuple[Route, list[Message]]]]:
        """Group messages into calls so that a key's messages stay in order though handlers share its topic."""
        waves: list[dict[int, tuple[Route, list[Message]]]] = []
        last: dict[tuple[str, str], tuple[int, Route]] = {}
        for item in fresh:
            message, route = item.message, item.route
            if message is None or route is None:
                continue
            number = 0
            if not self._routing.has_one_route(message.topic):
                before = last.get((message.topic, message.key))
                if before is not None:
                    number = before[0] if before[1] is route else before[0] + 1
                last[message.topic, message.key] = (number, route)
            if number == len(waves):
                waves.append({})
            waves[number].setdefault(id(route), (route, []))[1].append(message)
        return [list(wave.values()) for wave in waves]

    async def _call(self, conn: Connection, route: Route, messages: list[Message]) -> None:
        span = (
            process_span(route.topic, [message.envelope.traceparent for message in messages], group=self._consumer)
            if tracing_is_on()
            else nullcontext()
        )
        with span:
            await route.handle(conn, messages)


def _keep_newest(states: dict[tuple[str, str], Incoming], item: Incoming) -> None:
    assert item.message is not None
    at = (item.message.topic, item.message.key)
    known = states.get(at)
    if known is None or _version(known) < _version(item):
        states.pop(at, None)  # its place is that of the newer record
        states[at] = item


def _in_order(incoming: Sequence[Incoming], some: Sequence[Incoming]) -> list[Incoming]:
    wanted = {id(item) for item in some}
    return [item for item in incoming if id(item) in wanted]


def _version(item: Incoming) -> int:
    assert item.message is not None
    version = item.message.envelope.version
    assert version is not None, "a state record without a version is a dead letter"
    return version


def _outcomes(incoming: Sequence[Incoming], fresh: Sequence[Incoming]) -> Outcomes:
    outcomes: Outcomes = {}
    handled = {id(item) for item in fresh}
    for item in incoming:
        if item.reason is not None:
            outcome = DEAD
        elif item.message is None:
            outcome = UNWANTED
        else:
            outcome = HANDLED if id(item) in handled else DUPLICATE
        message = item.message
        at = (item.record.topic, outcome, UNKNOWN_TYPE if message is None else message.envelope.type)
        outcomes[at] = outcomes.get(at, 0) + 1
    return outcomes


def type_of(item: Incoming) -> str:
    """Give the event's type if it is one that is wanted here."""
    return UNKNOWN_TYPE if item.message is None else item.message.envelope.type


def add(to: Outcomes, more: Outcomes) -> Outcomes:
    """Add the second to the first, and return the first."""
    for at, number in more.items():
        to[at] = to.get(at, 0) + number
    return to


def note_delays(routing: Routing, batch: Iterable[Sequence[Incoming]]) -> None:
    """Add to the metrics how long ago the settled events of a poll were created.

    Of many records of a partition, which come in order, every n-th stands for its neighbours (benchmarks/consumer.py).
    """
    now = datetime.now(UTC)
    for items in batch:
        if not items or routing.is_state(items[0].record.topic):
            continue
        step = -(-len(items) // _MOST_OBSERVED)
        delays: dict[str, list[float]] = {}
        for item in items[::step]:
            if item.message is not None:
                envelope = item.message.envelope
                delays.setdefault(envelope.type, []).append(max(0.0, (now - envelope.time).total_seconds()))
        for event_type, seconds in delays.items():
            metrics.END_TO_END_SECONDS.observe_all(event_type, seconds, weight=step)


def count(outcomes: Outcomes) -> None:
    """Add what a committed transaction did to the metrics."""
    for (topic, outcome, event_type), number in outcomes.items():
        metrics.EVENTS.labels(topic, event_type, outcome).inc(number)
        if outcome == DEAD:
            metrics.DEAD_LETTERS.labels(topic).inc(number)
        elif outcome == PARKED:
            metrics.PARKED.labels(topic).inc(number)
