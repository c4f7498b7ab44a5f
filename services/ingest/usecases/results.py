"""How requests end: the batcher's answers, each counted once."""

import json
from collections.abc import Sequence
from typing import Final, Literal

from pydantic_core import to_json

from libs.events.batcher_results import ApiRequestCompleted, ApiRequestEnded, ApiRequestFailed
from libs.postgres import Connection
from libs.telemetry.metrics import counter
from libs.vocabulary import OrgId, RequestId
from services.ingest.models import Ending, RequestStatus, ResultPart
from services.ingest.store import requests as store

ENDINGS: Final = counter("ingest_endings_total", "Endings of requests by what they changed", ("outcome",))


async def end_requests(conn: Connection, events: Sequence[ApiRequestEnded], *, result_limit_bytes: int) -> None:
    """End the requests that the events speak of, once: a second ending changes nothing and is counted.

    A result in parts ends its request with the last part; the parts of a key come in order.
    """
    await store.insert_parts(conn, [part for event in events if (part := _part(event, result_limit_bytes))])
    last = [event for event in events if isinstance(event, ApiRequestCompleted) and event.part == event.parts > 1]
    taken = await store.take_parts(conn, [RequestId(event.request_id) for event in last])
    first: dict[RequestId, Ending] = {}
    repeated = 0
    for event in events:
        ending = _ending(event, taken, result_limit_bytes)
        if ending is not None and first.setdefault(ending.request_id, ending) is not ending:
            repeated += 1
    ended = await store.end_requests(conn, list(first.values()))
    left = [request_id for request_id in first if request_id not in ended]
    known = await store.known_requests(conn, left) if left else set()
    for request_id in ended:
        ENDINGS.labels(first[request_id].status.value).inc()
    ENDINGS.labels("repeated").inc(repeated + len(known))
    ENDINGS.labels("unknown").inc(len(left) - len(known))


def _part(event: ApiRequestEnded, limit_bytes: int) -> ResultPart | None:
    """The part to keep: only its size when the result is surely too large to be kept whole."""
    if not isinstance(event, ApiRequestCompleted) or event.parts == 1 or event.chunk is None:
        return None
    chunk = event.chunk if (event.part - 1) * len(event.chunk) <= limit_bytes else None
    size = len(event.chunk.encode())
    return ResultPart(RequestId(event.request_id), OrgId(event.org_id), event.part, event.parts, chunk, size)


def _ending(event: ApiRequestEnded, taken: dict[RequestId, list[ResultPart]], limit_bytes: int) -> Ending | None:
    if isinstance(event, ApiRequestFailed):
        error = event.error.model_dump_json()
        return _row(event, RequestStatus.FAILED, error=error)
    assert isinstance(event, ApiRequestCompleted), "no other event ends a request"
    if event.parts == 1:
        text = to_json(event.result, inf_nan_mode="null").decode()
        size = len(text.encode())
        return _row(event, RequestStatus.COMPLETED, result=text if size <= limit_bytes else None, size=size)
    if event.part < event.parts:
        return None
    parts = taken.get(RequestId(event.request_id), [])
    if [part.part for part in parts] != list(range(1, event.parts + 1)):
        return _row(event, RequestStatus.COMPLETED)
    size = sum(part.chunk_bytes for part in parts)
    chunks = [part.chunk for part in parts if part.chunk is not None]
    if size > limit_bytes or len(chunks) < len(parts):
        return _row(event, RequestStatus.COMPLETED, size=size)
    joined = _joined(chunks)
    return _row(event, RequestStatus.COMPLETED, result=joined, size=size if joined is not None else None)


def _joined(chunks: Sequence[str]) -> str | None:
    """The whole, if the parts together are JSON."""
    text = "".join(chunks)
    try:
        json.loads(text)
    except ValueError:
        return None
    return text


def _row(
    event: ApiRequestEnded,
    status: Literal[RequestStatus.COMPLETED, RequestStatus.FAILED],
    *,
    result: str | None = None,
    size: int | None = None,
    error: str | None = None,
) -> Ending:
    completed = isinstance(event, ApiRequestCompleted)
    return Ending(
        request_id=RequestId(event.request_id),
        org_id=OrgId(event.org_id),
        status=status,
        ended_at=event.ended_at,
        call_id=event.call_id if isinstance(event, ApiRequestCompleted | ApiRequestFailed) else None,
        http_status=event.http_status if isinstance(event, ApiRequestCompleted) else None,
        result=result if completed else None,
        result_bytes=size if completed else None,
        error=error,
    )
