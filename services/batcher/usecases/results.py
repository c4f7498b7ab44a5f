"""The events that tell how an ask ended."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final
from uuid import UUID

from pydantic_core import from_json, to_json

from libs.events import topics
from libs.events.batcher_results import ApiError, ApiRequestCompleted, ApiRequestFailed
from libs.events.envelope import Envelope
from libs.events.ingest_accepted import ApiRequestAccepted
from libs.events.model import Event
from libs.messaging.outbox import OutboxItem, append_many
from libs.postgres import Connection
from services.batcher.models import Completed, EndedAsk, Failed

SOURCE: Final = "platformbus/batcher"
TOPIC: Final = topics.topic(ApiRequestCompleted.topic)
ROOM_BYTES: Final = 32_768
"""What a message holds beside the result: the other fields, headers, key and the record's frame."""
LEVELS_OF_AN_EVENT: Final = 200
MOST_AT_ONCE: Final = 500
BYTES_AT_ONCE: Final = 8_388_608

Sized = tuple[OutboxItem, int]
"""An event to append and about how many bytes it has."""


async def publish(conn: Connection, items: Iterable[Sized]) -> None:
    """Append the events, in statements of bounded size."""
    waiting: list[OutboxItem] = []
    size = 0
    for item, item_bytes in items:
        if waiting and (len(waiting) == MOST_AT_ONCE or size + item_bytes > BYTES_AT_ONCE):
            await append_many(conn, waiting)
            waiting, size = [], 0
        waiting.append(item)
        size += item_bytes
    await append_many(conn, waiting)


def completed(asks: Sequence[EndedAsk], call_id: UUID, answer: Completed) -> Iterator[Sized]:
    """Make the result of one call for each of its asks, in numbered parts where one message cannot hold it."""
    chunks, size = split(answer.body)
    for ask in asks:
        for part in range(1, max(1, len(chunks)) + 1):
            event = ApiRequestCompleted(
                request_id=ask.request_id,
                org_id=ask.org_id,
                platform=ask.platform,
                connection_id=ask.connection_id,
                request_type=ask.request_type,
                ended_at=ask.ended_at,
                call_id=call_id,
                http_status=answer.http_status,
                result=None if chunks else answer.body,
                part=part,
                parts=max(1, len(chunks)),
                chunk=chunks[part - 1] if chunks else None,
                shared_by=len(asks),
            )
            yield _item(ask, event), size


def failed(ask: EndedAsk, why: Failed, attempts: int) -> Sized:
    """Make the event that says why an ask failed, and how often its call was tried."""
    error = ApiError(code=why.code, message=why.message, platform_code=why.platform_code, attempts=attempts)
    event = ApiRequestFailed(
        request_id=ask.request_id,
        org_id=ask.org_id,
        platform=ask.platform,
        connection_id=ask.connection_id,
        request_type=ask.request_type,
        ended_at=ask.ended_at,
        call_id=ask.call_id,
        error=error,
    )
    return _item(ask, event), len(why.message)


def split(body: Any, max_bytes: int = TOPIC.max_message_bytes) -> tuple[list[str], int]:
    """Cut a result's JSON text into parts that fit a message, none when it fits whole; and the bytes of the largest.

    A result that is nested too deeply for whoever reads the event's JSON comes in parts too, as these are text.

    The parts are ASCII, so that each of their characters takes at most two bytes inside the message's JSON.
    """
    room = max_bytes - ROOM_BYTES
    whole = to_json(body)
    if len(whole) <= room and _can_be_read(whole):
        return [], len(whole)
    text = json.dumps(json.loads(whole), separators=(",", ":"))  # by way of `whole`: it writes infinity as null
    chars = min(room // 2, (len(text) + 1) // 2)  # always several parts: a single one is never text
    return [text[start : start + chars] for start in range(0, len(text), chars)], room


def _can_be_read(whole: bytes) -> bool:
    """Tell whether it can be read as a part of an event: pydantic, which reads ours, ends at 200 levels."""
    if whole.count(b"[") + whole.count(b"{") < LEVELS_OF_AN_EVENT - 2:
        return True
    try:
        from_json(b"[[" + whole + b"]]")
    except ValueError:
        return False
    return True


def _item(ask: EndedAsk, event: Event) -> OutboxItem:
    cause = Envelope(
        id=ask.event_id,
        type=ApiRequestAccepted.event_type,
        source=ask.event_source,
        time=ask.queued_at,
        correlation_id=ask.correlation_id,
        traceparent=ask.traceparent,
    )
    return OutboxItem(
        topic=TOPIC,
        key=f"{ask.org_id}/{ask.request_id}",
        event=event,
        source=SOURCE,
        org_id=ask.org_id,
        subject=str(ask.request_id),
        causation=cause,
    )
