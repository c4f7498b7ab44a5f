"""Parameters of a call: query, form, JSON body or multipart, later ones winning (O: any of them may carry them)."""

import json
import re
from email import policy
from email.parser import BytesParser
from urllib.parse import parse_qsl

import orjson

from services.sandbox.exchange import Query
from services.sandbox.meta.errors import bad_parameter

MAX_FIELDS = 1000
MAX_PARTS = 200
_BRACKET = re.compile(r"^([^\[\]]+)\[\d*\]$")
Params = dict[str, str]


def from_query(query: Query) -> Params:
    """Last value of each name; `name[]` and `name[0]` are gathered into one JSON list."""
    params: Params = {}
    lists: dict[str, list[str]] = {}
    for name, values in query.items():
        bracket = _BRACKET.match(name)
        if bracket:
            lists.setdefault(bracket.group(1), []).extend(values)
        else:
            params[name] = values[-1]
    params.update({name: json.dumps(values) for name, values in lists.items()})
    return params


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
    """Text parts only: attached files belong to publishing, which is not covered."""
    head = f"Content-Type: {content_type}\r\nMIME-Version: 1.0\r\n\r\n".encode("latin-1", errors="replace")
    message = BytesParser(policy=policy.HTTP).parsebytes(head + body)
    if not message.is_multipart():
        raise bad_parameter("The multipart body cannot be read")
    params: Params = {}
    parts = list(message.iter_parts())
    if len(parts) > MAX_PARTS:
        raise bad_parameter("The multipart body has too many parts")
    for part in parts:
        name = part.get_param("name", header="content-disposition")
        if not isinstance(name, str) or part.get_filename() is not None:
            continue
        content = part.get_payload(decode=True)
        params[name] = content.decode("utf-8", errors="replace") if isinstance(content, bytes) else ""
    return params
