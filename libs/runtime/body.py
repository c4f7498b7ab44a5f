"""Reads a request's body once, within its limits, and refuses what is not strict JSON before any handler sees it.

Stricter than Python's own parser: NaN and Infinity, lone surrogates and NUL characters cannot be stored, and a body of
thousands of nested arrays exhausts a stack, so each is refused here with its place instead of failing somewhere later.
"""

import asyncio
from typing import Any

import orjson
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.events.problem import ProblemError, ProblemItem, problem
from libs.runtime.problems import pointer, problem_response

METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})
MAX_HEAD_BYTES = 32_768
BODY_SECONDS = 30.0
"""A body that has not arrived by then is given up: the server answers 408 and ends the connection."""
DISCARDED_BYTES = 16 * 1024 * 1024
DISCARD_SECONDS = 5.0
"""How much, and how long, a client may go on sending a body that was refused."""
MAX_DEPTH = 64
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_CLOSE = {"Connection": "close"}


class BodyMiddleware:
    """Gives the application a body that is whole, not too large, and JSON."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self._app = app
        self._max = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        _check_head(scope)
        if scope["method"] not in METHODS_WITH_BODY:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._max:
            await self._refuse_too_large(f"The body is {int(length)} bytes long, more", receive, send)
            return
        try:
            body = await self._read(receive)
        except _TooLarge:
            await self._refuse_too_large("The body is longer", receive, send)
            return
        if body is None:
            return  # the client has gone
        if body:
            refusal = _refusal(headers.get(b"content-type", b""), body)
            if refusal is not None:
                if _is_known(scope):
                    raise refusal
                body = b""  # an unknown address is a 404 or 405 first
        await self._app(scope, _replay(body, receive), send)

    async def _read(self, receive: Receive) -> bytes | None:
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._max:
                raise _TooLarge
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)

    async def _refuse_too_large(self, what: str, receive: Receive, send: Send) -> None:
        """Answer at once, then read on for a while: closing on a client that still sends would lose it the answer."""
        detail = f"{what} than the {self._max} bytes that are taken here."
        item = ProblemItem(where="", what="is too large", how="send less at a time")
        response = problem_response(problem("body_too_large", 413, "Body too large", detail, item), _CLOSE)
        start = {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
        await send(start)
        await send({"type": "http.response.body", "body": response.body, "more_body": True})
        await _discard(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _check_head(scope: Scope) -> None:
    """The server's own limit holds only for heads that arrive in pieces."""
    size = len(scope["path"]) + len(scope["query_string"])
    size += sum(len(name) + len(value) for name, value in scope["headers"])
    if size > MAX_HEAD_BYTES:
        detail = f"Address and headers are {size} bytes long, more than the {MAX_HEAD_BYTES} that are taken here."
        raise ProblemError(problem("head_too_large", 431, "Headers too large", detail), headers=_CLOSE)


class _TooLarge(Exception):  # noqa: N818  a way out of the reading loop
    pass


async def _discard(receive: Receive) -> None:
    left = DISCARDED_BYTES
    try:
        async with asyncio.timeout(DISCARD_SECONDS):
            while left > 0:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
                left -= len(message.get("body", b""))
    except TimeoutError:
        return


def check_json(body: bytes) -> ProblemError | None:
    """Give the refusal of a body that is not strict JSON, with the place, or None."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return _malformed(error)
    if _looks_deep(body) and _depth_exceeds(value, MAX_DEPTH):
        item = ProblemItem(where="", what=f"is nested deeper than {MAX_DEPTH} levels", how="send a flatter value")
        return ProblemError(problem("too_deep", 422, "Nested too deeply", "The body is nested too deeply.", item))
    if b"\\u0000" in body:
        where = _find_nul(value)
        if where is not None:
            item = ProblemItem(where=where, what="contains the character U+0000", how="leave this character out")
            return ProblemError(problem("invalid", 422, "Request not valid", "A text holds a NUL character.", item))
    return None


def _refusal(content_type: bytes, body: bytes) -> ProblemError | None:
    media_type = content_type.split(b";", 1)[0].strip().lower()
    if media_type != b"application/json" and not (media_type.startswith(b"application/") and b"+json" in media_type):
        item = ProblemItem(
            where="header:Content-Type", what="does not say JSON", how="send `Content-Type: application/json`"
        )
        document = problem("not_json", 415, "Media type not supported", "Bodies are JSON here.", item)
        return ProblemError(document, headers={"Accept": "application/json"})
    return check_json(body)


def _malformed(error: orjson.JSONDecodeError) -> ProblemError:
    place = f"line {error.lineno}, column {error.colno}"
    item = ProblemItem(where="", what=f"{error.msg.split(':')[0]} at {place}", how="send valid JSON, in UTF-8")
    detail = f"The body is not JSON: the fault is at {place} (character {error.pos})."
    return ProblemError(problem("malformed_json", 400, "Malformed JSON", detail, item))


def _is_known(scope: Scope) -> bool:
    return any(route.matches(dict(scope))[0] is Match.FULL for route in scope["app"].router.routes)


def _looks_deep(body: bytes) -> bool:
    """Cancel empty pairs level by level; brackets inside texts can only make it say yes too often."""
    brackets = body.translate(None, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        shorter = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if not shorter or len(shorter) == len(brackets):
            return bool(shorter)
        brackets = shorter
    return True


def _depth_exceeds(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [item for parent in level for item in _children(parent)]
        if not level:
            return False
    return any(isinstance(item, dict | list) for item in level)


def _find_nul(value: Any) -> str | None:
    stack: list[tuple[str, Any]] = [("", value)]
    while stack:
        where, item = stack.pop()
        if isinstance(item, str) and "\x00" in item:
            return where
        if isinstance(item, dict):
            if any("\x00" in key for key in item):
                return where
            stack.extend((where + pointer(key), child) for key, child in item.items())
        elif isinstance(item, list):
            stack.extend((where + pointer(index), child) for index, child in enumerate(item))
    return None


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
