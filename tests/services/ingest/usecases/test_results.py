import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from libs.events.batcher_results import ApiError, ApiRequestCompleted, ApiRequestEnded, ApiRequestFailed
from libs.vocabulary import PlatformName, RequestId
from services.ingest.models import Accepted
from services.ingest.usecases.requests import admit_requests
from services.ingest.usecases.results import end_requests
from tests.support.databases import Databases
from tests.support.ingest import PLATFORMS, RESULT_LIMIT_BYTES, Ingest, IngestServer, an_ingest_server

pytestmark = pytest.mark.db

ENDED_AT = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
CALL = UUID(int=9)


@pytest.fixture(scope="module")
async def server(databases: Databases) -> AsyncIterator[IngestServer]:
    async with an_ingest_server(databases) as made:
        yield made


@pytest.fixture
async def ingest(server: IngestServer) -> Ingest:
    return await server.fresh()


async def accepted(ingest: Ingest) -> RequestId:
    async with ingest.worker.transaction() as conn:
        [decision] = await admit_requests(conn, [ingest.ask()], PLATFORMS)
    assert isinstance(decision, Accepted)
    return decision.request_id


def common(ingest: Ingest, request_id: UUID) -> dict[str, Any]:
    return {
        "request_id": request_id,
        "org_id": ingest.org_id,
        "platform": PlatformName.META,
        "connection_id": ingest.connection_id,
        "request_type": "get_object",
        "ended_at": ENDED_AT,
        "call_id": CALL,
    }


def completed(ingest: Ingest, request_id: UUID, **changes: Any) -> ApiRequestCompleted:
    return ApiRequestCompleted(**(common(ingest, request_id) | {"http_status": 200} | changes))


def failed(ingest: Ingest, request_id: UUID) -> ApiRequestFailed:
    error = ApiError(code="rejected", message="no such object", platform_code="100/33", attempts=1)
    return ApiRequestFailed(**common(ingest, request_id), error=error)


def parts_of(ingest: Ingest, request_id: UUID, text: str, count: int) -> list[ApiRequestEnded]:
    size = -(-len(text) // count)
    chunks = [text[at : at + size] for at in range(0, len(text), size)]
    return [
        completed(ingest, request_id, part=number, parts=len(chunks), chunk=chunk)
        for number, chunk in enumerate(chunks, start=1)
    ]


async def end(ingest: Ingest, events: Sequence[ApiRequestEnded]) -> None:
    async with ingest.worker.transaction() as conn:
        await end_requests(conn, events, result_limit_bytes=RESULT_LIMIT_BYTES)


async def row_of(ingest: Ingest, request_id: UUID) -> dict[str, Any]:
    [row] = await ingest.rows("SELECT * FROM requests WHERE request_id = $1", request_id)
    return row


async def test_a_completed_request_keeps_its_result(ingest: Ingest) -> None:
    request_id = await accepted(ingest)
    await end(ingest, [completed(ingest, request_id, result={"id": "1", "name": "ü"})])

    row = await row_of(ingest, request_id)
    assert (row["status"], row["ended_at"], row["call_id"], row["http_status"]) == ("completed", ENDED_AT, CALL, 200)
    assert json.loads(row["result"]) == {"id": "1", "name": "ü"}
    assert row["result_bytes"] == len('{"id":"1","name":"ü"}'.encode())


async def test_a_failed_request_keeps_its_error(ingest: Ingest) -> None:
    request_id = await accepted(ingest)
    await end(ingest, [failed(ingest, request_id)])

    row = await row_of(ingest, request_id)
    assert (row["status"], row["http_status"], row["result"]) == ("failed", None, None)
    assert json.loads(row["error"])["platform_code"] == "100/33"


async def test_a_second_ending_changes_nothing(ingest: Ingest) -> None:
    request_id = await accepted(ingest)
    await end(ingest, [completed(ingest, request_id, result=1), failed(ingest, request_id)])
    await end(ingest, [failed(ingest, request_id), completed(ingest, request_id, result=2)])

    row = await row_of(ingest, request_id)
    assert (row["status"], row["result"], row["error"]) == ("completed", "1", None)


async def test_an_ending_of_somebody_elses_request_is_passed_over(ingest: Ingest) -> None:
    request_id = await accepted(ingest)
    stranger = completed(ingest, request_id, result=1).model_copy(update={"org_id": uuid4()})
    await end(ingest, [completed(ingest, uuid4(), result=1), stranger])
    await end(ingest, parts_of(ingest, uuid4(), "[1, 2, 3]", 3))

    assert (await row_of(ingest, request_id))["status"] == "accepted"


async def test_a_result_too_large_to_keep_is_only_measured(ingest: Ingest) -> None:
    request_id = await accepted(ingest)
    await end(ingest, [completed(ingest, request_id, result="x" * RESULT_LIMIT_BYTES)])

    row = await row_of(ingest, request_id)
    assert (row["status"], row["result"], row["result_bytes"]) == ("completed", None, RESULT_LIMIT_BYTES + 2)


@pytest.mark.parametrize("polls", [1, 3], ids=["in one poll", "in three polls"])
async def test_a_result_in_parts_is_joined_when_the_last_one_comes(ingest: Ingest, polls: int) -> None:
    request_id = await accepted(ingest)
    whole = {"data": [{"id": str(number)} for number in range(20)]}
    parts = parts_of(ingest, request_id, json.dumps(whole), 3)
    for poll in [parts] if polls == 1 else [[part] for part in parts]:
        assert (await row_of(ingest, request_id))["status"] == "accepted"
        await end(ingest, poll)

    row = await row_of(ingest, request_id)
    assert row["status"] == "completed"
    assert json.loads(row["result"]) == whole
    assert row["result_bytes"] == len(json.dumps(whole))
    assert await ingest.rows("SELECT 1 FROM request_result_parts") == []


@pytest.mark.parametrize("together", [True, False], ids=["in one poll", "each in a poll of its own"])
@pytest.mark.parametrize("times", [1, 5])
async def test_parts_of_a_result_too_large_to_keep_are_only_measured(
    ingest: Ingest, times: int, together: bool
) -> None:
    request_id = await accepted(ingest)
    text = json.dumps("x" * RESULT_LIMIT_BYTES * times)
    parts = parts_of(ingest, request_id, text, 10)
    for poll in [parts] if together else [[part] for part in parts]:
        await end(ingest, poll)
        kept = await ingest.rows("SELECT sum(length(chunk)) AS chars FROM request_result_parts")
        assert (kept[0]["chars"] or 0) <= RESULT_LIMIT_BYTES + len(text) // 10 + 1

    row = await row_of(ingest, request_id)
    assert (row["status"], row["result"], row["result_bytes"]) == ("completed", None, len(text))
    assert await ingest.rows("SELECT 1 FROM request_result_parts") == []


async def test_parts_that_do_not_make_a_whole_end_the_request_without_a_result(ingest: Ingest) -> None:
    request_id = await accepted(ingest)
    parts = parts_of(ingest, request_id, "[1, 2, 3, 4, 5]", 3)
    await end(ingest, [parts[0], parts[2]])

    row = await row_of(ingest, request_id)
    assert (row["status"], row["result"], row["result_bytes"]) == ("completed", None, None)
    assert await ingest.rows("SELECT 1 FROM request_result_parts") == []


async def test_a_failure_before_the_commit_leaves_the_request_waiting(ingest: Ingest) -> None:
    request_id = await accepted(ingest)
    with pytest.raises(RuntimeError, match="between two steps"):
        async with ingest.worker.transaction() as conn:
            events = [completed(ingest, request_id, result=1)]
            await end_requests(conn, events, result_limit_bytes=RESULT_LIMIT_BYTES)
            raise RuntimeError("between two steps")
    assert (await row_of(ingest, request_id))["status"] == "accepted"
