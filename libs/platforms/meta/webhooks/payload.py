"""A delivery's bytes as JSON, read strictly: what two readers could understand differently is not understood at all.

The signature says who wrote a body, not that it can be kept: U+0000, lone surrogates, numbers that no other reader
holds, and depth would each break a table or a topic further on.
"""

import json
import math
from typing import Any, Final, NoReturn

import orjson

from libs.platforms.base import UnknownShape

MAX_DEPTH: Final = 32
"""Levels of lists and objects in one value; Meta's samples have at most 8. Far below what any JSON reader takes."""
MAX_VALUE_BYTES: Final = 900_000
"""Of one value as JSON: a record of webhooks.events holds 1,048,576 bytes, envelope and headers included."""
_LARGEST_INTEGER: Final = 2**63 - 1
_INTEGER_LETTERS: Final = 20


def read(body: bytes) -> Any:
    """Give the body's JSON. Raises UnknownShape."""
    try:
        return _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise UnknownShape(f"the body is not UTF-8, at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise UnknownShape(f"the body is not JSON: {error.msg}, at letter {error.pos}") from None
    except RecursionError:
        raise UnknownShape("the body is nested too deeply") from None


def checked(value: Any, place: str) -> tuple[Any, bytes]:
    """Give a value that every reader of ours can hold, and its JSON. Raises UnknownShape, naming the place."""
    text = _dumped(value, place)
    if len(text) > MAX_VALUE_BYTES:
        raise UnknownShape(f"{place} has {len(text)} bytes; an event holds {MAX_VALUE_BYTES}")
    if text.count(b"{") + text.count(b"[") > MAX_DEPTH and _depth_exceeds(value, MAX_DEPTH):
        raise UnknownShape(f"{place} is nested deeper than {MAX_DEPTH} levels")
    if b"\\u0000" in text:
        value = _without_null(value)
        text = _dumped(value, place)
    return value, text


def _dumped(value: Any, place: str) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise UnknownShape(f"{place} cannot be kept as JSON: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise UnknownShape("the body has an object that names a key twice")
    return made


def _integer(text: str) -> int:
    if len(text) > _INTEGER_LETTERS or abs(number := int(text)) > _LARGEST_INTEGER:
        raise UnknownShape(f"the body has an integer that 64 bits do not hold: {text[:_INTEGER_LETTERS]}...")
    return number


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise UnknownShape(f"the body has a number that is too large: {text[:_INTEGER_LETTERS]}")
    return number


def _constant(name: str) -> NoReturn:
    raise UnknownShape(f"the body has {name}, which is not JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
)


def _depth_exceeds(value: Any, levels: int) -> bool:
    layer = [value]
    for _ in range(levels + 1):
        nested = [inner for inner in layer if isinstance(inner, dict | list)]
        if not nested:
            return False
        layer = [part for inner in nested for part in (inner.values() if isinstance(inner, dict) else inner)]
    return True


def _without_null(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, list):
        return [_without_null(part) for part in value]
    if isinstance(value, dict):
        return {_without_null(name): _without_null(part) for name, part in value.items()}
    return value
