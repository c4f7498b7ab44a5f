"""Which change is it, and when was it? Natural keys out of parts, and Meta's three ways to write a moment."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

KEY_LETTERS: Final = 200
_PLAIN: Final = re.compile(r"[!-~]*")
_MILLISECONDS_FROM: Final = 100_000_000_000
"""As seconds this is the year 5138, as milliseconds 1973."""
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)
_NUMBER: Final = re.compile(r"[0-9]{1,16}")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a change is to us."""

    change_type: str
    key: str
    occurred_at: datetime | None


@dataclass(frozen=True, slots=True)
class Told:
    """One change as Meta wrote it, with what stands around it."""

    object: str
    field: str
    account_id: str
    value: Any
    text: bytes
    """The value as JSON with sorted keys."""
    entry_time: Any
    """When it was sent; unknown whether a repeated delivery keeps it."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """The value when it is an object, else nothing."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def digest(self) -> str:
        """Stands for the whole value where it names nothing that tells it apart."""
        return hashlib.sha256(self.text).hexdigest()[:32]


def natural_key(*parts: Any) -> str:
    """Join the parts; the first two are plain words and stay readable when the rest is too long or not plain."""
    key = "/".join(_escaped(part) for part in parts).rstrip("/")
    if len(key) <= KEY_LETTERS and _PLAIN.fullmatch(key):
        return key
    return f"{parts[0]}/{parts[1]}/sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def moment(value: Any) -> datetime | None:
    """Read seconds, milliseconds or ISO 8601 with an offset; None for what is none of them or in no plausible year."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = int(value)
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            at = datetime.fromtimestamp(value / 1000 if value >= _MILLISECONDS_FROM else value, UTC)
        else:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    return at.astimezone(UTC) if at.tzinfo is not None and _EARLIEST <= at < _LATEST else None


def inside(value: Any, *names: str) -> Any:
    """Follow names through objects; None where one is missing."""
    for name in names:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def first(fields: Mapping[str, Any], *names: str) -> Any:
    """Give the first of the named fields that says anything."""
    return next((fields[name] for name in names if fields.get(name) not in (None, "")), None)


def _escaped(part: Any) -> str:
    if part is None:
        return ""
    if not isinstance(part, str | int) or isinstance(part, bool):
        part = orjson.dumps(part, option=orjson.OPT_SORT_KEYS).decode()
    return str(part).replace("%", "%25").replace("/", "%2F")
