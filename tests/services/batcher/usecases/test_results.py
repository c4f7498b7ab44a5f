import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from libs.events.batcher_results import ApiRequestCompleted
from libs.vocabulary import PlatformName
from services.batcher.usecases.results import ROOM_BYTES, split


@pytest.mark.parametrize("text", ["a", '"', "\\", "ä", "\U0001f44b", "\x00", '\n"'])
def test_parts_fit_their_message_whatever_they_hold(text: str) -> None:
    body: dict[str, Any] = {"text": text * 120_000}
    limit = ROOM_BYTES + 20_000
    chunks, size = split(body, limit)
    assert json.loads("".join(chunks)) == body
    assert all(len(json.dumps(chunk).encode()) <= limit - ROOM_BYTES + 2 for chunk in chunks)
    assert size <= limit


def test_what_fits_stays_whole() -> None:
    assert split({"a": 1})[0] == []


@pytest.mark.parametrize("levels", [1, 197, 198, 199, 200])
def test_a_result_of_any_depth_can_be_read_by_who_reads_the_events(levels: int) -> None:
    body = json.loads('{"deep":' * levels + "1" + "}" * levels)
    chunks, _ = split(body)
    assert len(chunks) != 1, "one part is the result itself"
    event = ApiRequestCompleted(
        request_id=uuid4(),
        org_id=uuid4(),
        platform=PlatformName.META,
        connection_id=uuid4(),
        request_type="get_object",
        ended_at=datetime.now(UTC),
        call_id=uuid4(),
        http_status=200,
        result=None if chunks else body,
        chunk="".join(chunks) or None,
    )
    read = ApiRequestCompleted.model_validate_json(event.model_dump_json())
    assert (json.loads(read.chunk) if read.chunk is not None else read.result) == body
