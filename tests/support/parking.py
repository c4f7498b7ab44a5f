"""A consumer without a broker: a made-up log of records, polled as Kafka would have them polled, over real tables."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import asyncpg

from libs.events.ingest_identities import Organization
from libs.events.requests import RequestSubmitted
from libs.messaging.consumer import ConsumerOptions
from libs.messaging.messages import Message, Route
from libs.messaging.parked.options import ReplayOptions
from libs.messaging.parked.replay import Replayer
from libs.messaging.parked.settling import Settler
from libs.messaging.passing import is_passing
from libs.messaging.processing import Processor
from libs.messaging.records import Routing
from libs.postgres import Connection, Database
from tests.support.bus import Headers, a_request, an_organization, declare, headers_for, lookup

FACTS = declare("facts.x", "fact", RequestSubmitted)
STATES = declare("states.x", "state", Organization)
AT_ONCE = ReplayOptions(first_wait_seconds=0.0, longest_wait_seconds=0.0, poll_seconds=0.01, lease_seconds=0.0)
"""Keys are due as soon as they are parked, and claims keep nobody else away: only the epoch does."""
QUICK = ConsumerOptions(
    session_timeout_ms=6_000,
    first_wait_seconds=0.05,
    replay=ReplayOptions(first_wait_seconds=0.05, longest_wait_seconds=0.2, poll_seconds=0.02),
)

CREATE = "CREATE TABLE applied (id bigint GENERATED ALWAYS AS IDENTITY, topic text, key text, what text NOT NULL)"
APPLIED = "SELECT topic, key, what FROM applied ORDER BY id"


class Broken(Exception):  # noqa: N818
    """What a handler raises that was told to."""


@dataclass
class Record:
    """A record as the consumer's client gives it."""

    topic: str
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    partition: int = 0


@dataclass
class Log:
    """A partition of each topic."""

    records: list[Record] = field(default_factory=list)

    def fact(self, key: str | None, what: str, **changes: Any) -> Record:
        """Publish a fact; its body says `what`."""
        event_id = changes.pop("event_id", None)
        body = a_request(what=what).model_dump_json().encode()
        headers = headers_for(RequestSubmitted, event_id=event_id)
        return self._add(FACTS.name, key, body, headers)

    def state(self, key: str, version: int, *, ended: bool = False) -> Record:
        """Publish a state."""
        body = None if ended else an_organization(str(version)).model_dump_json().encode()
        return self._add(STATES.name, key, body, headers_for(Organization, version=version))

    def _add(self, topic: str, key: str | None, body: bytes | None, headers: Headers) -> Record:
        offset = sum(record.topic == topic for record in self.records)
        record = Record(topic, offset, None if key is None else key.encode(), body, headers)
        self.records.append(record)
        return record


Fails = Callable[[str, str], bool]


class Troubles:
    """Which records fail how often before they succeed: some never, some once, some again and again."""

    def __init__(self, dice: random.Random, share: float) -> None:
        self._dice = dice
        self._share = share
        self._left: dict[tuple[str, str], int] = {}

    def __call__(self, key: str, what: str) -> bool:
        at = (key, what)
        if at not in self._left:
            self._left[at] = self._dice.randrange(1, 9) if self._dice.random() < self._share else 0
        self._left[at] -= 1
        return self._left[at] >= 0


class Bench:
    """The parts of a consumer over one database, with handlers that note what they apply and fail when told to."""

    def __init__(self, database: Database, owner: asyncpg.Connection) -> None:
        self.database = database
        self.owner = owner
        self.log = Log()
        self.fails: Fails = lambda _key, _what: False
        self.pause: Callable[[], Any] = lambda: asyncio.sleep(0)
        self.routes = [
            Route(FACTS.name, (RequestSubmitted,), self._handle),
            Route(STATES.name, (Organization,), self._handle),
        ]
        self.declarations = lookup(FACTS, STATES)
        self.routing = Routing(self.routes, self.declarations)

    def settler(self) -> Settler:
        return Settler("ingest", self.database, self.routing, Processor("ingest", self.routing), 0.0)

    def replayer(self, options: ReplayOptions = AT_ONCE, *, most_attempts: int = 1_000_000) -> Replayer:
        return Replayer("ingest", self.database, self.routing, options, most_attempts=most_attempts)

    async def poll(self, records: Sequence[Record]) -> dict[str, int]:
        """Settle records as one poll; give how many ended how."""
        outcomes = await self.settler().settle([self.routing.read(record) for record in records], is_passing)
        counts: dict[str, int] = {}
        for (_, outcome, _), number in outcomes.items():
            counts[outcome] = counts.get(outcome, 0) + number
        return counts

    async def replay(self, options: ReplayOptions = AT_ONCE, *, most_attempts: int = 1_000_000) -> int:
        """Replay once each key that is due."""
        return await self.replayer(options, most_attempts=most_attempts).replay_due(asyncio.Event())

    async def replay_all(self) -> None:
        """Replay until no key is blocked."""
        while await self.owner.fetchval("SELECT count(*) FROM parked_keys"):
            await self.replay()

    async def applied(self, topic: str = FACTS.name, key: str | None = None) -> list[str]:
        """What the handlers applied, in order."""
        rows = await self.owner.fetch(APPLIED)
        return [row["what"] for row in rows if row["topic"] == topic and key in (None, row["key"])]

    async def parked(self) -> list[tuple[str, str]]:
        """Key and status of every record that was ever parked, in order."""
        return [(row["key"], row["status"]) for row in await self.owner.fetch("SELECT * FROM parked ORDER BY seq")]

    async def blocked(self) -> list[tuple[str, str]]:
        """Key and status of every blocked key."""
        rows = await self.owner.fetch("SELECT key, status FROM parked_keys ORDER BY key")
        return [(row["key"], row["status"]) for row in rows]

    async def _handle(self, conn: Connection, messages: Sequence[Message]) -> None:
        for message in messages:
            what = what_of(message)
            await self.pause()
            if self.fails(message.key, what):
                raise Broken(f"{message.key}: {what}")
            await conn.execute(
                "INSERT INTO applied (topic, key, what) VALUES ($1, $2, $3)", message.topic, message.key, what
            )


def what_of(message: Message) -> str:
    """What a record of the log says: the fact's word, the state's version."""
    if message.topic == STATES.name:
        return str(message.envelope.version)
    return cast("str", cast("RequestSubmitted", message.data).payload["what"])


class CutsOff(Database):
    """Transactions that a crash may undo right before their commit, or end right after it."""

    def __init__(self, database: Database, dice: random.Random, share: float) -> None:
        vars(self).update(vars(database))
        self._dice = dice
        self._share = share

    def transaction(self) -> Any:
        return _CutOff(super().transaction(), self._dice, self._share)


class CutOff(BaseException):
    """The process would have ended here."""


class _CutOff:
    def __init__(self, inner: Any, dice: random.Random, share: float) -> None:
        self._inner = inner
        self._dice = dice
        self._share = share

    async def __aenter__(self) -> Any:
        return await self._inner.__aenter__()

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> Any:
        chance = self._dice.random()
        if kind is None and chance < self._share / 2:
            cut = CutOff("before the commit")
            await self._inner.__aexit__(CutOff, cut, None)
            raise cut
        done = await self._inner.__aexit__(kind, error, trace)
        if kind is None and chance < self._share:
            raise CutOff("after the commit")
        return done
