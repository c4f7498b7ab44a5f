"""The frame around every event: CloudEvents 1.0 in Kafka's binary mode.

Every attribute is a record header `ce_<name>` in UTF-8, the body is the record's value, and `traceparent` is the
context in which the event was created, never changed on its way.
Source: "Kafka Protocol Binding for CloudEvents" 1.0.2, sections 3.1 and 3.2; "CloudEvents" 1.0.2, section 3.
"""

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import orjson
from pydantic import ValidationError

from libs.events.model import Event
from libs.events.topics import EVENTS, topic

SPEC_VERSION: Final = "1.0"
CONTENT_TYPE: Final = "application/json"

MAX_HEADERS: Final = 64
MAX_HEADER_BYTES: Final = 1_024
"""Of one attribute; ids are stored and sent on, so that a caller's long one would become ours."""
MAX_HEADERS_BYTES: Final = 16_384
"""Of all headers together, names included, also of those that are not ours."""
MAX_REASON_CHARS: Final = 1_000
_MAX_VERSION: Final = 2**63 - 1

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_TRACEPARENT: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


class Undecodable(Exception):  # noqa: N818  reads as the fact it reports
    """A record does not fit its contract: it becomes a dead letter as it came. `reason` holds no value of its body."""

    def __init__(self, reason: str) -> None:
        self.reason = _CONTROL.sub("?", reason)[:MAX_REASON_CHARS]
        super().__init__(self.reason)


@dataclass(frozen=True, slots=True)
class Envelope:
    """The attributes of one event. `id` is unique within `source`: consumers deduplicate by the two together."""

    id: str
    type: str
    source: str
    time: datetime
    subject: str | None = None
    org_id: UUID | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    version: int | None = None
    """Of state: grows with every change of the key, also on its tombstone."""
    idempotency_key: str | None = None
    traceparent: str | None = None

    def to_headers(self) -> list[tuple[str, bytes]]:
        """Give the record's headers; attributes without a value are left out."""
        moment = self.time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        attributes = (
            ("ce_id", self.id),
            ("ce_type", self.type),
            ("ce_source", self.source),
            ("ce_specversion", SPEC_VERSION),
            ("ce_time", moment),
            ("content-type", CONTENT_TYPE),
            ("ce_subject", self.subject),
            ("ce_orgid", self.org_id),
            ("ce_correlationid", self.correlation_id),
            ("ce_causationid", self.causation_id),
            ("ce_version", self.version),
            ("ce_idempotencykey", self.idempotency_key),
            ("traceparent", self.traceparent),
        )
        return [(name, str(value).encode()) for name, value in attributes if value is not None]


def new_event_id() -> str:
    """Make an id that sorts by the millisecond it was made in (UUID version 7)."""
    random = int.from_bytes(os.urandom(10), "big")
    number = (time.time_ns() // 1_000_000) << 80 | random
    number = number & ~(0xF << 76) | 0x7 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return str(UUID(int=number))


def read_envelope(headers: Sequence[tuple[str, bytes | None]]) -> Envelope:
    """Read the attributes of a record from its headers.

    A missing `ce_time` becomes now, a malformed `traceparent` none: neither makes a request unreadable. Headers that
    are not of the envelope are passed over, but must be text too.
    Raises: Undecodable, and nothing else.
    """
    texts = _texts(headers)
    if texts.get("ce_specversion") != SPEC_VERSION:
        raise Undecodable(f"header ce_specversion must be {SPEC_VERSION} (CloudEvents in Kafka's binary mode)")
    _check_content_type(texts.get("content-type"))
    traceparent = texts.get("traceparent")
    return Envelope(
        id=_required(texts, "ce_id"),
        type=_required(texts, "ce_type"),
        source=_required(texts, "ce_source"),
        time=_time(texts.get("ce_time")),
        subject=texts.get("ce_subject"),
        org_id=_org_id(texts.get("ce_orgid")),
        correlation_id=texts.get("ce_correlationid"),
        causation_id=texts.get("ce_causationid"),
        version=_version(texts.get("ce_version")),
        idempotency_key=texts.get("ce_idempotencykey"),
        traceparent=traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else None,
    )


def decode(headers: Sequence[tuple[str, bytes | None]], value: bytes | None) -> tuple[Envelope, Event | None]:
    """Read a record: its envelope and its body by the contract of its type; None is the tombstone of state.

    Raises: Undecodable, and nothing else.
    """
    envelope = read_envelope(headers)
    model = EVENTS.get(envelope.type)
    if model is None:
        raise Undecodable(f"event type {envelope.type} is not known here")
    if value is None:
        if topic(model.topic).kind != "state":
            raise Undecodable(f"{envelope.type} has no body, and only state has tombstones")
        return envelope, None
    try:
        event = model.model_validate_json(value)
    except ValidationError as error:
        raise Undecodable(f"the body is no {envelope.type}: {_first_errors(error)}") from None
    _check_storable(value)
    return envelope, event


def _texts(headers: Sequence[tuple[str, bytes | None]]) -> dict[str, str]:
    if len(headers) > MAX_HEADERS:
        raise Undecodable(f"{len(headers)} headers, more than the {MAX_HEADERS} that are read")
    texts: dict[str, str] = {}
    total = 0
    for name, value in headers:
        if value is None:
            raise Undecodable(f"header {name[:64]} is null")
        size = len(value)
        total += len(name) + size
        try:
            text = value.decode()
        except UnicodeDecodeError:
            raise Undecodable(f"header {name[:64]} is not UTF-8") from None
        if name[:3] == "ce_" or name in ("content-type", "traceparent"):
            if not text or size > MAX_HEADER_BYTES or not text.isprintable():  # seldom; a call each would cost a third
                _check_attribute(name, text, size)
            if name in texts:
                raise Undecodable(f"header {name[:64]} is there twice")
            texts[name] = text
    if total > MAX_HEADERS_BYTES:
        raise Undecodable(f"the headers have {total} bytes, more than the {MAX_HEADERS_BYTES} that are read")
    return texts


def _check_attribute(name: str, text: str, size: int) -> None:
    if size > MAX_HEADER_BYTES:
        raise Undecodable(f"header {name[:64]} has {size} bytes, more than the {MAX_HEADER_BYTES} that are read")
    if not text:
        raise Undecodable(f"header {name[:64]} is empty; leave it out instead")
    if not text.isprintable() and _CONTROL.search(text):
        raise Undecodable(f"header {name[:64]} holds a control character")


def _required(texts: dict[str, str], name: str) -> str:
    text = texts.get(name)
    if text is None:
        raise Undecodable(f"header {name} is missing")
    return text


def _check_content_type(text: str | None) -> None:
    media_type = CONTENT_TYPE if text is None else text.split(";", 1)[0].strip().lower()
    if media_type.startswith("application/cloudevents"):
        raise Undecodable("header content-type asks for CloudEvents' structured mode; only the binary mode is read")
    if media_type != CONTENT_TYPE:
        raise Undecodable(f"header content-type must be {CONTENT_TYPE}")


def _time(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
        # Moments at the edge of the calendar have no UTC form, and Postgres would be given one.
        return _aware(moment).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Undecodable("header ce_time is not an RFC 3339 time with an offset") from None


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("no offset")
    return moment


@lru_cache(maxsize=4_096)
def _org_id(text: str | None) -> UUID | None:
    if text is None:
        return None
    if not _UUID.fullmatch(text):
        raise Undecodable("header ce_orgid is not a UUID")
    return UUID(text)


def _version(text: str | None) -> int | None:
    if text is None:
        return None
    if len(text) > len(str(_MAX_VERSION)) or not (text.isascii() and text.isdigit()) or int(text) > _MAX_VERSION:
        raise Undecodable("header ce_version is not a whole number of 63 bits")
    return int(text)


def _first_errors(error: ValidationError) -> str:
    """Name places and faults without the values, which may be secret."""
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    told = [
        f"{'.'.join(str(part) for part in item['loc'])[:120] or 'body'}: {item['msg'][:200]}" for item in errors[:3]
    ]
    more = f"; and {len(errors) - len(told)} more" if len(errors) > len(told) else ""
    return "; ".join(told) + more


def _check_storable(value: bytes) -> None:
    """Refuse what pydantic's parser takes but neither JSON nor Postgres does: NaN, infinities, the character U+0000."""
    if b"NaN" not in value and b"Infinity" not in value and b"\\u0000" not in value:
        return
    try:
        parsed = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise Undecodable(f"the body is not JSON: {error.msg}") from None
    if b"\\u0000" in value and _holds_nul(parsed):
        raise Undecodable("the body holds the character U+0000, which cannot be stored")


def _holds_nul(parsed: Any) -> bool:
    stack = [parsed]
    while stack:
        item = stack.pop()
        if isinstance(item, str) and "\x00" in item:
            return True
        if isinstance(item, dict):
            stack.extend(item)
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return False
