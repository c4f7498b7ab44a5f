"""What an operator does with dead letters: list, show, redrive with our own handler, drop with a reason."""

import json
import uuid
from base64 import b64decode
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import asyncpg
import pytest
from aiokafka.producer.message_accumulator import BatchBuilder

from libs.events.ingest_identities import Organization
from libs.events.requests import RequestSubmitted
from libs.events.topics import MAX_DEAD_LETTER_BYTES
from libs.messaging import dead_letter_store, dead_letters
from libs.messaging.dead_letters import CannotChange, DeadLetter
from libs.messaging.messages import Message, Route
from libs.postgres import Connection
from tests.support.bus import Headers, a_request, an_organization, declare, headers_for, lookup
from tests.support.databases import ServiceDatabase

pytestmark = pytest.mark.db

REQUESTS = declare("requests.x", "command", RequestSubmitted)
IDENTITIES = declare("identities.x", "state", Organization)
DECLARED = lookup(REQUESTS, IDENTITIES)
ME = "key 1"
BODY = a_request().model_dump_json().encode()


@dataclass
class Record:
    topic: str = REQUESTS.name
    partition: int = 3
    offset: int = 7
    key: bytes | None = b"k"
    value: bytes | None = BODY
    headers: Headers = field(default_factory=lambda: headers_for(RequestSubmitted, event_id="its-own"))


@pytest.fixture
async def connection(ingest_database: ServiceDatabase) -> AsyncIterator[asyncpg.Connection]:
    made = await asyncpg.connect(ingest_database.worker_dsn)
    yield made
    await made.close()


async def _keep(connection: asyncpg.Connection, *records: Record) -> list[DeadLetter]:
    await dead_letter_store.keep(connection, "ingest", [(record, "it did not fit") for record in records])
    # Kept in one transaction, they are of the same moment: only the offset tells which came first.
    return sorted(await dead_letters.list_open(connection), key=lambda letter: letter.offset)


def _routes(handled: list[Message], *, fails: bool = False) -> list[Route]:
    async def handle(conn: Connection, messages: Sequence[Message]) -> None:
        handled.extend(messages)
        if fails:
            await conn.execute("SELECT 1 / 0")

    return [Route(REQUESTS.name, (RequestSubmitted,), handle), Route(IDENTITIES.name, (Organization,), handle)]


async def test_a_dead_letter_is_kept_byte_by_byte_and_once(connection: asyncpg.Connection) -> None:
    record = Record(key=None, value=b"\x00\xff", headers=[("a", None), ("b\x00", b"\xff"), ("b\x00", b"")])
    (letter,) = await _keep(connection, record)
    assert (letter.topic, letter.partition, letter.offset) == (REQUESTS.name, 3, 7)
    assert (letter.key, letter.value) == (None, b"\x00\xff")
    assert letter.headers == (("a", None), ("b\ufffd", b"\xff"), ("b\ufffd", b""))
    assert await _keep(connection, record) == [letter]
    assert await connection.fetchval("SELECT count(*) FROM outbox WHERE aggregatetype = 'ingest.dead_letters'") == 1


@pytest.mark.parametrize(
    "other",
    [
        Record(value=b"{"),
        Record(value=None),
        Record(key=None),
        Record(headers=[("ce_id", b"2")]),
        Record(headers=[("ce_id", None)]),
    ],
)
async def test_a_record_at_a_place_that_was_used_before_the_topic_was_made_anew_is_kept_too(
    connection: asyncpg.Connection, other: Record
) -> None:
    first = Record(headers=[("ce_id", b"1")])
    assert len(await _keep(connection, first)) == 1
    assert [letter.value for letter in await _keep(connection, other)] == [BODY, other.value]
    assert len(await _keep(connection, first, other)) == 2, "delivered again they stay single"
    assert await connection.fetchval("SELECT count(*) FROM outbox WHERE aggregatetype = 'ingest.dead_letters'") == 2


LARGE = 3_000_000


@pytest.mark.parametrize(
    ("record", "left_out"),
    [
        (Record(value=b"x" * 1_048_576), ""),
        (Record(value=b"x" * LARGE), "value"),
        (Record(value=b"x" * LARGE, headers=[("x", b"y" * LARGE)]), "headers, value"),
        (Record(headers=[(str(n), None) for n in range(200_000)]), "headers"),
        (Record(key=b"\xff" * 1_000_000), "key"),
    ],
)
async def test_a_copy_too_large_for_its_topic_goes_without_what_makes_it_so_and_says_where_it_is(
    connection: asyncpg.Connection, record: Record, left_out: str
) -> None:
    """A broker judges a record by its compressed size; our copy is not compressed."""
    (letter,) = await _keep(connection, record)
    assert (letter.key, letter.value, letter.headers) == (record.key, record.value, tuple(record.headers))
    row = await connection.fetchrow("SELECT aggregateid, payload, raw_headers FROM outbox")
    pairs = [(name, value and b64decode(value)) for name, value in json.loads(row["raw_headers"])]
    batch = BatchBuilder(100 * LARGE, 0)
    batch.append(timestamp=0, key=row["aggregateid"].encode(), value=row["payload"], headers=pairs)
    assert len(batch._build()) <= MAX_DEAD_LETTER_BYTES
    headers = dict(pairs)
    assert headers["dl_id"].decode() == str(letter.id)
    assert headers.get("dl_left_out", b"").decode() == left_out
    assert row["payload"] == (None if "value" in left_out else record.value)
    assert row["aggregateid"] == ("" if "key" in left_out else "k")
    if left_out:
        assert int(headers["dl_bytes"]) > MAX_DEAD_LETTER_BYTES
    if "headers" not in left_out:
        assert pairs[: len(record.headers)] == record.headers


async def test_a_redrive_runs_the_handler_once_under_the_same_event_id(connection: asyncpg.Connection) -> None:
    handled: list[Message] = []
    (letter,) = await _keep(connection, Record())
    await dead_letters.redrive(connection, letter.id, _routes(handled), DECLARED, actor=ME)
    assert [message.envelope.id for message in handled] == ["its-own"]
    ended = await dead_letters.get(connection, letter.id)
    assert ended
    assert (ended.status, ended.note) == ("redriven", None)
    assert await dead_letters.list_open(connection) == []
    with pytest.raises(CannotChange, match="it was redriven"):
        await dead_letters.redrive(connection, letter.id, _routes(handled), DECLARED, actor=ME)
    assert len(handled) == 1


async def test_a_redrive_of_what_was_handled_meanwhile_only_ends_it(connection: asyncpg.Connection) -> None:
    handled: list[Message] = []
    first, second = await _keep(connection, Record(), Record(offset=8))
    await dead_letters.redrive(connection, first.id, _routes(handled), DECLARED, actor=ME)
    await dead_letters.redrive(connection, second.id, _routes(handled), DECLARED, actor=ME)
    ended = await dead_letters.get(connection, second.id)
    assert ended
    assert (len(handled), ended.note) == (1, "was handled before")


async def test_an_overtaken_state_is_not_applied_by_a_redrive(connection: asyncpg.Connection) -> None:
    handled: list[Message] = []
    body = an_organization("x").model_dump_json().encode()
    newer, older = await _keep(
        connection,
        Record(IDENTITIES.name, offset=1, value=body, headers=headers_for(Organization, version=5)),
        Record(IDENTITIES.name, offset=2, value=body, headers=headers_for(Organization, version=4)),
    )
    await dead_letters.redrive(connection, newer.id, _routes(handled), DECLARED, actor=ME)
    await dead_letters.redrive(connection, older.id, _routes(handled), DECLARED, actor=ME)
    assert [message.envelope.version for message in handled] == [5]


async def test_a_redrive_that_fails_leaves_the_letter_open_and_nothing_else_behind(
    connection: asyncpg.Connection,
) -> None:
    (letter,) = await _keep(connection, Record())
    with pytest.raises(CannotChange, match="division by zero"):
        async with connection.transaction():
            await dead_letters.redrive(connection, letter.id, _routes([], fails=True), DECLARED, actor=ME)
    assert await dead_letters.list_open(connection) == [letter]
    assert await connection.fetchval("SELECT count(*) FROM inbox") == 0


async def test_what_still_does_not_fit_or_nobody_wants_stays_open_with_the_reason(
    connection: asyncpg.Connection,
) -> None:
    broken, strange = await _keep(connection, Record(value=b"{"), Record("other.topic", offset=9))
    with pytest.raises(CannotChange, match="does not fit its contract"):
        await dead_letters.redrive(connection, broken.id, _routes([]), DECLARED, actor=ME)
    with pytest.raises(CannotChange, match=r"nothing here reads topic other\.topic"):
        await dead_letters.redrive(connection, strange.id, _routes([]), DECLARED, actor=ME)
    with pytest.raises(CannotChange, match="there is no dead letter"):
        await dead_letters.redrive(connection, uuid.uuid4(), _routes([]), DECLARED, actor=ME)
    assert len(await dead_letters.list_open(connection)) == 2


async def test_a_dropped_letter_is_kept_with_the_reason(connection: asyncpg.Connection) -> None:
    (letter,) = await _keep(connection, Record())
    await dead_letters.drop(connection, letter.id, "a test of the producer's", actor=ME)
    dropped = await dead_letters.get(connection, letter.id)
    assert dropped
    assert (dropped.status, dropped.note) == ("dropped", "a test of the producer's")
    with pytest.raises(CannotChange, match="it was dropped"):
        await dead_letters.drop(connection, letter.id, "again", actor=ME)
