import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from libs.events.ingest_accepted import ApiRequestAccepted, RequestRejected
from libs.vocabulary import ConnectionStatus, KeyId, OrgId
from services.ingest.models import Accepted, Ask, Decision, Duplicate, Refused, RequestStatus
from services.ingest.usecases.requests import admit_requests, check_requests, prune_requests
from tests.support.databases import Databases
from tests.support.ingest import PLATFORMS, Ingest, IngestServer, an_ingest_server

pytestmark = pytest.mark.db


@pytest.fixture(scope="module")
async def server(databases: Databases) -> AsyncIterator[IngestServer]:
    async with an_ingest_server(databases) as made:
        yield made


@pytest.fixture
async def ingest(server: IngestServer) -> Ingest:
    return await server.fresh()


async def admit(ingest: Ingest, *asks: Ask) -> list[Decision]:
    async with ingest.worker.transaction() as conn:
        return await admit_requests(conn, asks, PLATFORMS)


async def test_an_accepted_request_is_a_row_and_an_event_of_one_commit(ingest: Ingest) -> None:
    ask = ingest.ask("once")
    [decision] = await admit(ingest, ask)

    assert isinstance(decision, Accepted)
    [row] = await ingest.rows("SELECT * FROM requests")
    assert row["request_id"] == decision.request_id
    assert (row["status"], row["source"], row["idempotency_key"], row["via"]) == ("accepted", "crm", "once", "kafka")
    assert json.loads(row["params"]) == {"object_id": "120330000000001", "fields": ["id", "name"]}
    [event] = await ingest.outbox("ingest.accepted")
    assert event["type"] == ApiRequestAccepted.event_type
    assert event["aggregateid"] == f"{ingest.org_id}/campaign-1"
    assert event["subject"] == str(decision.request_id)
    assert ask.cause is not None
    assert (event["causation_id"], event["correlation_id"]) == (ask.cause.id, ask.cause.id)
    assert event["body"]["request_id"] == str(decision.request_id)
    assert event["body"]["priority"] == 5


async def test_the_same_key_and_body_again_learns_what_the_first_was(ingest: Ingest) -> None:
    [first] = await admit(ingest, ingest.ask("once"))
    [second] = await admit(ingest, ingest.ask("once"))

    assert isinstance(first, Accepted)
    assert second == Duplicate(first.request_id, RequestStatus.ACCEPTED)
    assert len(await ingest.outbox("ingest.accepted")) == 1


async def test_what_was_accepted_stays_so_when_the_same_would_be_refused_now(ingest: Ingest) -> None:
    [first] = await admit(ingest, ingest.ask("once"))
    async with ingest.worker.transaction() as conn:
        await conn.execute("UPDATE connections SET status = 'revoked'")
    again, other = await admit(ingest, ingest.ask("once"), ingest.ask("new"))

    assert isinstance(first, Accepted)
    assert again == Duplicate(first.request_id, RequestStatus.ACCEPTED)
    assert isinstance(other, Refused)
    async with ingest.worker.transaction() as conn:
        assert await check_requests(conn, [ingest.ask("once")], PLATFORMS) == [again]


async def test_the_same_key_twice_in_one_poll_is_done_once(ingest: Ingest) -> None:
    first, second, third = await admit(ingest, ingest.ask("a"), ingest.ask("b"), ingest.ask("a"))

    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert third == Duplicate(first.request_id, RequestStatus.ACCEPTED)
    assert len(await ingest.rows("SELECT 1 FROM requests")) == 2


async def test_the_same_key_with_another_body_is_rejected_and_the_first_stays(ingest: Ingest) -> None:
    await admit(ingest, ingest.ask("once"))
    [second] = await admit(ingest, ingest.ask("once", payload=ingest.payload(priority=1)))

    assert isinstance(second, Refused)
    assert second.problem.type == "urn:platformbus:problem:idempotency_key_reused"
    statuses = await ingest.rows("SELECT status FROM requests ORDER BY status")
    assert [row["status"] for row in statuses] == ["accepted", "rejected"]
    events = await ingest.outbox("ingest.accepted")
    assert [event["type"] for event in events] == [ApiRequestAccepted.event_type, RequestRejected.event_type]
    assert events[1]["body"]["problem"] == second.problem.model_dump(mode="json")


async def test_equal_keys_of_two_sources_or_organizations_do_not_meet(ingest: Ingest) -> None:
    mine = ingest.ask("once")
    http = ingest.ask("once", source="key:1", via="http", cause=None)
    assert all(isinstance(decision, Accepted) for decision in await admit(ingest, mine, http))


async def test_a_refused_request_is_kept_and_answered_in_the_same_words(ingest: Ingest) -> None:
    ask = ingest.ask("once", kind="teleport", object_key="x\x00" + "ü" * 600)
    [decision] = await admit(ingest, ask)

    assert isinstance(decision, Refused)
    [row] = await ingest.rows("SELECT * FROM requests")
    assert row["status"] == "rejected"
    assert row["ended_at"] is not None
    assert json.loads(row["problem"]) == decision.problem.model_dump(mode="json")
    [event] = await ingest.outbox("ingest.accepted")
    assert event["body"]["problem"] == decision.problem.model_dump(mode="json")
    assert ask.cause is not None
    assert (event["body"]["event_id"], event["body"]["kind"]) == (ask.cause.id, "teleport")
    assert event["body"]["object_key"] == "x?" + "ü" * 255
    assert len(event["aggregateid"].encode()) < 1_024, "readers take no longer key"


async def test_a_refused_request_may_be_asked_again_when_it_is_mended(ingest: Ingest) -> None:
    revoked = await ingest.put_connection(ConnectionStatus.REVOKED)
    [refused] = await admit(ingest, ingest.ask("once", payload=ingest.payload(connection_id=str(revoked))))
    assert isinstance(refused, Refused)

    [mended] = await admit(ingest, ingest.ask("once"))

    assert isinstance(mended, Accepted)


async def test_what_http_refuses_leaves_no_trace(ingest: Ingest) -> None:
    [decision] = await admit(ingest, ingest.ask("once", source="key:1", via="http", cause=None, kind="teleport"))

    assert isinstance(decision, Refused)
    assert await ingest.rows("SELECT 1 FROM requests") == []
    assert await ingest.outbox("ingest.accepted") == []


async def test_asks_without_a_key_are_never_duplicates(ingest: Ingest) -> None:
    ask = ingest.ask(source="key:1", via="http", cause=None, idempotency_key=None)
    assert all(isinstance(decision, Accepted) for decision in await admit(ingest, ask, ask))


async def test_a_failure_before_the_commit_leaves_neither_row_nor_event(ingest: Ingest) -> None:
    with pytest.raises(RuntimeError, match="between two steps"):
        async with ingest.worker.transaction() as conn:
            await admit_requests(conn, [ingest.ask("once")], PLATFORMS)
            raise RuntimeError("between two steps")

    assert await ingest.rows("SELECT 1 FROM requests UNION ALL SELECT 1 FROM outbox") == []
    [again] = await admit(ingest, ingest.ask("once"))
    assert isinstance(again, Accepted)


@pytest.mark.parametrize("step", range(1, 8))
async def test_a_failure_between_any_two_statements_leaves_nothing_behind(ingest: Ingest, step: int) -> None:
    asks = [ingest.ask("once"), ingest.ask("once"), ingest.ask("refused", kind="teleport")]
    with pytest.raises(ConnectionResetError):
        async with ingest.worker.transaction() as conn:
            failing: Any = CountingConnection(conn, fail_at=step)
            await admit_requests(failing, asks, PLATFORMS)
            raise ConnectionResetError("after the last statement")

    assert await ingest.rows("SELECT 1 FROM requests UNION ALL SELECT 1 FROM outbox") == []
    again = await admit(ingest, *asks)
    assert [type(decision) for decision in again] == [Accepted, Duplicate, Refused]


async def test_a_duplicate_waits_for_its_twin_and_then_learns_its_answer(ingest: Ingest) -> None:
    first_wrote, go_on = asyncio.Event(), asyncio.Event()

    async def first() -> list[Decision]:
        async with ingest.worker.transaction() as conn:
            decisions = await admit_requests(conn, [ingest.ask("once")], PLATFORMS)
            first_wrote.set()
            await go_on.wait()
            return decisions

    async def second() -> list[Decision]:
        await first_wrote.wait()
        async with ingest.worker.transaction() as conn:
            pid = await conn.fetchval("SELECT pg_backend_pid()")
            asking = asyncio.create_task(admit_requests(conn, [ingest.ask("once")], PLATFORMS))
            while not await ingest.rows("SELECT 1 FROM pg_locks WHERE pid = $1 AND NOT granted", pid):
                assert not asking.done(), "it should wait for its twin"
            go_on.set()
            return await asking

    [[accepted], [duplicate]] = await asyncio.gather(first(), second())
    assert isinstance(accepted, Accepted)
    assert duplicate == Duplicate(accepted.request_id, RequestStatus.ACCEPTED)


async def test_the_twin_of_a_rolled_back_request_is_accepted(ingest: Ingest) -> None:
    async with ingest.worker.acquire() as conn:
        transaction = conn.transaction()
        await transaction.__aenter__()
        await admit_requests(conn, [ingest.ask("once")], PLATFORMS)
        twin = asyncio.create_task(admit(ingest, ingest.ask("once")))
        await asyncio.sleep(0)
        await transaction.__aexit__(RuntimeError, RuntimeError("gone"), None)
    assert isinstance((await twin)[0], Accepted)


async def test_crossing_polls_do_not_lock_each_other_out(ingest: Ingest) -> None:
    keys = [str(number) for number in range(40)]

    async def poll(order: list[str]) -> list[Decision]:
        return await admit(ingest, *(ingest.ask(key, object_key=key) for key in order))

    both = await asyncio.gather(poll(keys), poll(list(reversed(keys))))

    accepted = [decision for decisions in both for decision in decisions if isinstance(decision, Accepted)]
    assert len(accepted) == 40


async def test_the_number_of_statements_does_not_grow_with_the_asks(ingest: Ingest) -> None:
    asks = [ingest.ask(f"good-{number}", object_key=str(number)) for number in range(200)]
    asks += [ingest.ask(f"bad-{number}", kind="teleport") for number in range(200)]

    async with ingest.worker.transaction() as conn:
        counted: Any = CountingConnection(conn)
        decisions = await admit_requests(counted, asks, PLATFORMS)

    assert sum(isinstance(decision, Accepted) for decision in decisions) == 200
    assert counted.statements <= 8
    events = await ingest.outbox("ingest.accepted")
    assert [event["idempotency_key"] for event in events] == [ask.idempotency_key for ask in asks]


async def test_a_dry_run_says_the_same_and_writes_nothing(ingest: Ingest) -> None:
    [accepted] = await admit(ingest, ingest.ask("once"))
    assert isinstance(accepted, Accepted)
    asks = [
        ingest.ask("new"),
        ingest.ask("once"),
        ingest.ask("once", object_key="other"),
        ingest.ask("new", kind="teleport"),
    ]
    async with ingest.worker.transaction() as conn:
        new, duplicate, reused, refused = await check_requests(conn, asks, PLATFORMS)

    assert isinstance(new, Accepted)
    assert duplicate == Duplicate(accepted.request_id, RequestStatus.ACCEPTED)
    assert isinstance(reused, Refused)
    assert isinstance(refused, Refused)
    assert len(await ingest.rows("SELECT 1 FROM requests")) == 1


async def test_the_api_role_admits_for_its_organization_and_for_no_other(ingest: Ingest) -> None:
    mine = ingest.ask(source="key:1", via="http", cause=None, key_id=KeyId(uuid4()))
    async with ingest.api.tenant_transaction(ingest.org_id) as conn:
        [decision] = await admit_requests(conn, [mine], PLATFORMS)
    assert isinstance(decision, Accepted)

    async with ingest.api.tenant_transaction(OrgId(uuid4())) as conn:
        [decision] = await admit_requests(conn, [mine], PLATFORMS)
        assert isinstance(decision, Refused)
        assert decision.problem.type.endswith("organization_unknown")
        assert await conn.fetch("SELECT request_id FROM requests") == []


async def test_pruning_forgets_old_ended_requests_and_frees_their_keys(ingest: Ingest) -> None:
    await admit(ingest, ingest.ask("old"), ingest.ask("waiting"), ingest.ask("young"))
    async with ingest.worker.transaction() as conn:
        old = datetime.now(UTC) - timedelta(days=31)
        await conn.execute("UPDATE requests SET received_at = $1 WHERE idempotency_key <> 'young'", old)
        ended = "UPDATE requests SET status = 'completed', ended_at = now() WHERE idempotency_key <> 'waiting'"
        await conn.execute(ended)

    assert await prune_requests(ingest.worker, 30) == {"requests_deleted": 1}

    left = await ingest.rows("SELECT idempotency_key FROM requests ORDER BY 1")
    assert [row["idempotency_key"] for row in left] == ["waiting", "young"]
    assert isinstance((await admit(ingest, ingest.ask("old")))[0], Accepted)


class CountingConnection:
    """A connection that counts the statements it runs, and breaks before one of them."""

    def __init__(self, conn: Any, *, fail_at: int | None = None) -> None:
        self._conn = conn
        self._fail_at = fail_at
        self.statements = 0

    def __getattr__(self, name: str) -> Any:
        if name in {"execute", "executemany", "fetch", "fetchrow", "fetchval"}:
            self.statements += 1
            if self.statements == self._fail_at:
                raise ConnectionResetError(f"before statement {self._fail_at}")
        return getattr(self._conn, name)
