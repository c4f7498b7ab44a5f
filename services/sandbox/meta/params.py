"""Parameters of a call: query, form, JSON body or multipart, later ones winning (O: any of them may carry them)."""

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson

from services.sandbox.exchange import Query
from services.sandbox.meta.errors import bad_parameter
from services.sandbox.meta.multipart import Part, read_parts

MAX_FIELDS = 1000
MAX_NESTING = 5
_BRACKETED = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])+)")
_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_KEY = re.compile(r"\[([^\[\]]*)\]")
BYTES = "application/octet-stream"
Params = dict[str, str]


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A part of a multipart body that has a file name."""

    filename: str
    content_type: str
    content: bytes


Files = dict[str, AttachedFile]
"""By the name of their part."""


def from_query(query: Query) -> Params:
    """Last value of each name; `name[]`, `name[0]` and `name[a][b]` are gathered into one JSON list or object (T)."""
    params: Params = {}
    nested: dict[str, Any] = {}
    for name, values in query.items():
        bracketed = _BRACKETED.fullmatch(name)
        keys = _KEY.findall(bracketed.group(2)) if bracketed else []
        if bracketed and len(keys) <= MAX_NESTING:
            for value in values:
                _put(nested.setdefault(bracketed.group(1), {}), keys, value)
        else:
            params[name] = values[-1]
    params.update({name: json.dumps(_as_list(value)) for name, value in nested.items()})
    return params


def _put(within: dict[str, Any], keys: list[str], value: str) -> None:
    key = keys[0] or str(len(within))
    if len(keys) == 1:
        within[key] = value
        return
    below = within.setdefault(key, {})
    if isinstance(below, dict):
        _put(below, keys[1:], value)


def _as_list(value: Any) -> Any:
    """What has numbers for keys was a list."""
    if not isinstance(value, dict):
        return value
    if all(key.isascii() and key.isdigit() for key in value):
        return [_as_list(below) for below in value.values()]
    return {key: _as_list(below) for key, below in value.items()}


def from_text(text: str) -> Params:
    """A query string or form body. Raises: GraphError 100 when it has too many fields."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise bad_parameter("too many parameters") from error
    query: Query = {}
    for name, value in pairs:
        query.setdefault(name, []).append(value)
    return from_query(query)


def from_body(body: bytes, content_type: str) -> Params:
    """Raises: GraphError 100 for JSON or multipart that cannot be read."""
    if not body:
        return {}
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        return _from_json(body)
    if kind == "multipart/form-data":
        return _from_multipart(body, content_type)
    if kind == BYTES or kind.startswith(("image/", "video/", "audio/")):
        return {}
    return from_text(body.decode("utf-8", errors="replace"))


def _from_json(body: bytes) -> Params:
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_parameter("The request body is not valid JSON") from error
    if not isinstance(given, dict):
        raise bad_parameter("The request body must be a JSON object")
    return {
        name: value if isinstance(value, str) else orjson.dumps(value).decode()
        for name, value in given.items()
        if value is not None
    }


def _from_multipart(body: bytes, content_type: str) -> Params:
    """Text parts only."""
    return {
        part.name: part.content.decode("utf-8", errors="replace")
        for part in _parts(body, content_type)
        if part.filename is None
    }


def files_from_body(body: bytes, content_type: str) -> Files:
    """Files attached to a multipart body; none for a body of another kind. Raises: GraphError 100."""
    if not body or content_type.partition(";")[0].strip().lower() != "multipart/form-data":
        return {}
    return {
        part.name: AttachedFile(part.filename, part.content_type, part.content)
        for part in _parts(body, content_type)
        if part.filename is not None
    }


def _parts(body: bytes, content_type: str) -> list[Part]:
    named = _BOUNDARY.search(content_type)
    if named is None:
        raise bad_parameter("The multipart body cannot be read")
    try:
        return read_parts(body, (named[1] or named[2]).encode("latin-1", errors="replace"))
    except ValueError as error:
        raise bad_parameter("The multipart body cannot be read") from error
