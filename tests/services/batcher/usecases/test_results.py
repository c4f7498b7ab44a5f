import json
from typing import Any

import pytest

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
