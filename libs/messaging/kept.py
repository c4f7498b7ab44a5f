"""Records that are kept in tables as they came: how headers and identity are stored, and the record read back."""

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from libs.messaging.records import RawRecord

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class KeptRecord:
    """What a table kept, in a record's clothes."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def headers_json(headers: Sequence[tuple[str, bytes | None]]) -> str:
    """Write headers as pairs [name, base64 of the value or null]."""
    return json.dumps(_encoded(headers))


def headers_of(text: str) -> Headers:
    """Read what `headers_json` wrote."""
    pairs: list[tuple[str, str | None]] = json.loads(text)
    return tuple((name, None if value is None else b64decode(value)) for name, value in pairs)


def record_hash(record: RawRecord) -> bytes:
    """Tell records at the same place apart: a topic that was made anew uses its places again."""
    content = [("key", record.key), ("value", record.value), *record.headers]
    return hashlib.sha256(json.dumps(_encoded(content)).encode()).digest()


def storable(text: str) -> str:
    """Give text that Postgres takes: without U+0000 and lone surrogates."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _encoded(headers: Sequence[tuple[str, bytes | None]]) -> list[tuple[str, str | None]]:
    # U+0000 cannot be stored in jsonb, not even in the name of a header.
    return [
        (name.replace("\x00", "\ufffd"), None if value is None else b64encode(value).decode())
        for name, value in headers
    ]
